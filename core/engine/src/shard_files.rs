//! The files of one shard on its site: manifests, deletion vectors, index sidecars. Segments go through their own store.

use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::{FileId, Manifest, ManifestNumber, RowSet, SegmentEntry, ShardId, SidecarMeta, Uid};
use proximadb_ports::{Fault, Filesystem, PortError, PutMode, Result, SegmentStore, mutants};

use crate::layout;
use crate::parts::SiteAccess;

/// The files of one shard.
#[derive(Clone)]
pub(crate) struct ShardFiles {
    pub(crate) shard: ShardId,
    pub(crate) filesystem: Arc<dyn Filesystem>,
    pub(crate) segments: Arc<dyn SegmentStore>,
}

/// How a manifest's put went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there and durable.
    Done,
    /// The number is taken by the manifest with this put-id.
    Taken(Uid),
}

impl ShardFiles {
    /// The files of a shard on a site.
    pub(crate) fn new(shard: ShardId, access: &SiteAccess) -> Self {
        Self { shard, filesystem: Arc::clone(&access.filesystem), segments: Arc::clone(&access.segments) }
    }

    /// Writes a manifest under its number, if the number is free. A lost reply is told from another writer's file by the put-id.
    pub(crate) async fn put_manifest(&self, manifest: &Manifest) -> Result<Put> {
        let key = layout::manifest(self.shard, manifest.number);
        let mode = if mutants::is_on("bug_plain_put") { PutMode::Overwrite } else { PutMode::CreateOnly };
        match self.filesystem.put(&key, manifest.encode(), mode).await {
            // A writer that has taken over deletes the numbers behind it, so a free number proves nothing: a later one does.
            Ok(()) => match self.manifest_numbers().await?.last() {
                Some(last) if *last > manifest.number => Ok(Put::Taken(self.read_manifest(*last).await?.put_id)),
                _ => Ok(Put::Done),
            },
            Err(e) if e.fault == Fault::Conflict => {
                let there = self.read_manifest(manifest.number).await?;
                Ok(if there.put_id == manifest.put_id { Put::Done } else { Put::Taken(there.put_id) })
            }
            Err(e) => Err(e),
        }
    }

    /// The numbers of all manifests, ascending.
    pub(crate) async fn manifest_numbers(&self) -> Result<Vec<ManifestNumber>> {
        let prefix = layout::manifests(self.shard);
        let listed = self.filesystem.list(&prefix).await?;
        Ok(listed.iter().filter_map(|o| o.key.rsplit('/').next().and_then(layout::manifest_number)).collect())
    }

    pub(crate) async fn read_manifest(&self, number: ManifestNumber) -> Result<Manifest> {
        let key = layout::manifest(self.shard, number);
        let bytes = self.filesystem.get(&key).await?;
        let corrupt = |why: String| PortError::new(Fault::Corrupt, "manifest.read", &key, why);
        let manifest = Manifest::decode(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if manifest.shard != self.shard || manifest.number != number {
            return Err(corrupt("is the manifest of another shard or number".to_owned()));
        }
        Ok(manifest)
    }

    pub(crate) async fn delete_manifest(&self, number: ManifestNumber) -> Result<()> {
        self.filesystem.delete(&layout::manifest(self.shard, number)).await
    }

    pub(crate) async fn write_dead(&self, id: FileId, rows: &RowSet) -> Result<SidecarMeta> {
        self.write(layout::dead(self.shard, id), id, Bytes::from(rows.to_bytes())).await
    }

    /// Reads a deletion vector over `rows` rows, of which `count` must be dead.
    pub(crate) async fn read_dead(&self, meta: &SidecarMeta, rows: usize, count: u32) -> Result<RowSet> {
        let key = layout::dead(self.shard, meta.id);
        let bytes = self.read(&key, meta).await?;
        match RowSet::from_bytes(&bytes, rows) {
            Ok(set) if set.count() == count as usize => Ok(set),
            Ok(_) => Err(PortError::new(Fault::Corrupt, "dead.read", &key, "does not count as many rows as the manifest says")),
            Err(e) => Err(PortError::new(Fault::Corrupt, "dead.read", &key, e.to_string())),
        }
    }

    pub(crate) async fn write_index(&self, id: FileId, bytes: Bytes) -> Result<SidecarMeta> {
        self.write(layout::index(self.shard, id), id, bytes).await
    }

    pub(crate) async fn read_index(&self, meta: &SidecarMeta) -> Result<Bytes> {
        self.read(&layout::index(self.shard, meta.id), meta).await
    }

    pub(crate) async fn delete_sidecars(&self, entry: &SegmentEntry) -> Result<()> {
        if let Some((meta, _)) = &entry.dead {
            self.delete_dead(meta.id).await?;
        }
        if let Some((meta, _)) = &entry.index {
            self.delete_index(meta.id).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_index(&self, id: FileId) -> Result<()> {
        self.filesystem.delete(&layout::index(self.shard, id)).await
    }

    pub(crate) async fn delete_dead(&self, id: FileId) -> Result<()> {
        self.filesystem.delete(&layout::dead(self.shard, id)).await
    }

    pub(crate) async fn delete_segment(&self, id: FileId) -> Result<()> {
        self.segments.delete(self.shard, id).await
    }

    /// Deletes what the newest manifest does not name: leftovers of work that a crash interrupted. Gives the number of files.
    pub(crate) async fn delete_unnamed(&self, manifest: &Manifest) -> Result<u32> {
        let named: std::collections::BTreeSet<String> = manifest.files().map(|id| id.to_string()).collect();
        let current = layout::manifest(self.shard, manifest.number);
        let mut deleted = 0;
        let mut listed = self.filesystem.list(&layout::shard(self.shard)).await?;
        // Manifests first: while an older one can be read, the files that it names stay.
        listed.sort_by_key(|o| !o.key.contains("/manifest/"));
        for object in listed {
            let name = object.key.rsplit('/').next().unwrap_or_default();
            let stem = name.split('.').next().unwrap_or_default();
            if object.key != current && !named.contains(stem) {
                self.filesystem.delete(&object.key).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// The files of a segment and what stands beside it, with the bytes and the checksum that each must have.
    pub(crate) fn keys(&self, entry: &SegmentEntry) -> Vec<(String, u64, u32)> {
        let mut keys = vec![(self.segments.key(self.shard, entry.meta.id), entry.meta.bytes, entry.meta.checksum)];
        keys.extend(entry.dead.iter().map(|(meta, _)| (layout::dead(self.shard, meta.id), meta.bytes, meta.checksum)));
        keys.extend(entry.index.iter().map(|(meta, _)| (layout::index(self.shard, meta.id), meta.bytes, meta.checksum)));
        keys
    }

    /// Deletes everything of the shard, its newest manifest last: as long as anything is there, it says what this is.
    pub(crate) async fn delete_all(&self) -> Result<()> {
        let mut listed = self.filesystem.list(&layout::shard(self.shard)).await?;
        listed.sort_by(|a, b| (a.key.contains("/manifest/"), &a.key).cmp(&(b.key.contains("/manifest/"), &b.key)));
        for object in listed {
            self.filesystem.delete(&object.key).await?;
        }
        Ok(())
    }

    async fn write(&self, key: String, id: FileId, bytes: Bytes) -> Result<SidecarMeta> {
        let meta = SidecarMeta { id, bytes: bytes.len() as u64, checksum: crc32c::crc32c(&bytes) };
        self.filesystem.put(&key, bytes, PutMode::CreateOnly).await?;
        Ok(meta)
    }

    async fn read(&self, key: &str, meta: &SidecarMeta) -> Result<Bytes> {
        let bytes = self.filesystem.get(key).await?;
        if bytes.len() as u64 != meta.bytes || crc32c::crc32c(&bytes) != meta.checksum {
            return Err(PortError::new(Fault::Corrupt, "sidecar.read", key, "size or checksum is not what the manifest says"));
        }
        Ok(bytes)
    }
}
