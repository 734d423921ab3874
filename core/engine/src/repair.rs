//! Checking stored files against their manifest, and putting damaged ones anew from their second copies.

use std::sync::Arc;
use std::time::Duration;

use proximadb_model::{Manifest, SegmentEntry, ShardId};
use proximadb_ports::{Clock, Fault, Filesystem, Mirror, PortError, PutMode, Result};

use crate::env::Env;
use crate::layout;
use crate::parts::SiteAccess;
use crate::shard_files::ShardFiles;

/// Bytes that are read at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// How fast files are read that nobody waits for.
pub(crate) struct Pace<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) bytes_per_second: u64,
}

impl Pace<'_> {
    async fn after(&self, bytes: u64) {
        if self.bytes_per_second > 0 {
            self.clock.sleep(Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)).await;
        }
    }
}

/// Whether an object is there with this size and CRC-32C.
///
/// # Errors
/// Those of reading, but for an object that is not there.
pub(crate) async fn is_whole(objects: &dyn Filesystem, key: &str, bytes: u64, checksum: u32, pace: Option<&Pace<'_>>) -> Result<bool> {
    match objects.size(key).await {
        Ok(size) if size == bytes => {}
        Ok(_) => return Ok(false),
        Err(e) if e.fault == Fault::NotFound => return Ok(false),
        Err(e) => return Err(e),
    }
    let (mut at, mut crc) = (0, 0);
    while at < bytes {
        let end = bytes.min(at + CHUNK_BYTES);
        let parts = match objects.get_ranges(key, std::slice::from_ref(&(at..end))).await {
            Ok(parts) => parts,
            Err(e) if matches!(e.fault, Fault::NotFound | Fault::Invalid) => return Ok(false),
            Err(e) => return Err(e),
        };
        crc = parts.iter().fold(crc, |crc, part| crc32c::crc32c_append(crc, part));
        if let Some(pace) = pace {
            pace.after(end - at).await;
        }
        at = end;
    }
    Ok(crc == checksum)
}

/// Whether an error says that a stored file is not what was written.
pub(crate) fn is_damage(error: &PortError) -> bool {
    matches!(error.fault, Fault::Corrupt | Fault::NotFound)
}

/// Puts the damaged files of a segment anew from their second copies, and gives their number.
///
/// # Errors
/// `Corrupt` when a second copy is damaged too; those of either site.
pub(crate) async fn segment(env: &Env, files: &ShardFiles, mirror: &dyn Mirror, entry: &SegmentEntry) -> Result<u32> {
    let mut repaired = 0;
    for (key, bytes, checksum) in files.keys(entry) {
        if is_whole(&*files.filesystem, &key, bytes, checksum, None).await? {
            continue;
        }
        let copy = mirror.second_copy(&key).await?;
        if copy.len() as u64 != bytes || crc32c::crc32c(&copy) != checksum {
            return Err(PortError::new(Fault::Corrupt, "repair", &key, "its second copy is damaged too"));
        }
        mirror.restore(&key, copy).await?;
        tracing::warn!(key, "repaired from its second copy");
        env.telemetry.count("proximadb_files_repaired_total", &[], 1);
        repaired += 1;
    }
    Ok(repaired)
}

/// Reads everything that a shard's manifest names, on its site and in the second copies, and puts anew what is damaged in one of
/// both. Gives what is damaged for good.
///
/// # Errors
/// Those of reading the site itself.
pub(crate) async fn scrub(env: &Env, files: &ShardFiles, access: &SiteAccess, manifest: &Manifest, pace: &Pace<'_>) -> Result<Vec<String>> {
    let mut damaged = Vec::new();
    let key = layout::manifest(files.shard, manifest.number);
    match files.read_manifest(manifest.number).await {
        Ok(_) => {}
        // The shard is at its next one already.
        Err(e) if e.fault == Fault::NotFound => return Ok(damaged),
        Err(e) if e.fault == Fault::Corrupt => {
            // What it says is in memory.
            files.filesystem.put(&key, manifest.encode(), PutMode::Overwrite).await?;
            tracing::warn!(key, "the manifest was damaged and is written anew");
            env.telemetry.count("proximadb_files_repaired_total", &[], 1);
        }
        Err(e) => return Err(e),
    }
    for (key, bytes, checksum) in manifest.segments.iter().flat_map(|entry| files.keys(entry)) {
        let own = is_whole(&*files.filesystem, &key, bytes, checksum, Some(pace)).await?;
        env.telemetry.count("proximadb_bytes_scrubbed_total", &[], bytes);
        let Some(mirror) = access.mirror.as_ref().filter(|mirror| mirror.behind().is_none()) else {
            if !own {
                damaged.push(key);
            }
            continue;
        };
        // What cannot be reached now is looked at the next time.
        let Ok(second) = mirror.second() else { continue };
        let Ok(copy_is_whole) = is_whole(&*second, &key, bytes, checksum, Some(pace)).await else { continue };
        let repaired = match (own, copy_is_whole) {
            (true, true) => continue,
            (false, true) => mirror.restore(&key, second.get(&key).await?).await,
            (true, false) => mirror.restore_second(&key, files.filesystem.get(&key).await?).await,
            (false, false) => {
                damaged.push(key);
                continue;
            }
        };
        repaired?;
        tracing::warn!(key, second = own, "a damaged copy was put anew from the other one");
        env.telemetry.count("proximadb_files_repaired_total", &[], 1);
    }
    Ok(damaged)
}

/// Brings back everything of a shard from its site's second copies, its manifest last; `None` where they have nothing of it either.
///
/// # Errors
/// `Corrupt` for a manifest that cannot be read; those of either site.
pub(crate) async fn whole_shard(access: &SiteAccess, shard: ShardId) -> Result<Option<Manifest>> {
    let Some(mirror) = &access.mirror else { return Ok(None) };
    let copies = ShardFiles { shard, filesystem: mirror.second()?, segments: Arc::clone(&access.segments) };
    let Some(number) = copies.manifest_numbers().await?.last().copied() else { return Ok(None) };
    let manifest = copies.read_manifest(number).await?;
    let keys = manifest.segments.iter().flat_map(|entry| copies.keys(entry)).map(|(key, _, _)| key);
    for key in keys.chain([layout::manifest(shard, number)]) {
        mirror.restore(&key, mirror.second_copy(&key).await?).await?;
    }
    Ok(Some(manifest))
}
