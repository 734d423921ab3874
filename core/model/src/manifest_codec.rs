//! How a manifest is written: format version 1, or 2 where a plugin computes the distances; byte table in docs/formats/manifest.adoc.
//! Reading takes any bytes and allocates no more than they hold.

use std::collections::BTreeMap;
use std::str::FromStr;

use bytes::Bytes;

use crate::collection::{Collection, CollectionSpec, FieldType, IndexSettings, PinnedMetric, Schema};
use crate::ids::{CollectionId, Epoch, FileId, ManifestNumber, Sequence, ShardId, SiteId, Uid};
use crate::invalid::Invalid;
use crate::manifest::{Manifest, RememberedWrite, SegmentEntry, SegmentMeta, ShardState, SidecarMeta};
use crate::metric::ScoreKind;
use crate::name::CollectionName;
use crate::record::Dimension;
use crate::time::Timestamp;

const MAGIC: &[u8; 4] = b"PDBM";
/// What releases read that know no plugins; written wherever it can say everything.
const VERSION_1: u16 = 1;
/// With a pinned metric after the collection.
const VERSION_2: u16 = 2;

impl Manifest {
    /// The manifest's file.
    pub fn encode(&self) -> Bytes {
        debug_assert_eq!(self.check(), Ok(()));
        let mut out = Writer(Vec::with_capacity(512 + self.segments.len() * 160));
        out.0.extend_from_slice(MAGIC);
        let version = if self.collection.pinned.is_some() { VERSION_2 } else { VERSION_1 };
        out.0.extend_from_slice(&version.to_le_bytes());
        out.u64(self.number.0);
        out.uid(self.shard.collection.0);
        out.u32(self.shard.index);
        out.uid(self.site.0);
        out.u64(self.epoch.0);
        match self.state {
            ShardState::Live => out.u8(0),
            ShardState::Dropped => out.u8(1),
            ShardState::Moving(to) => {
                out.u8(2);
                out.uid(to.0);
            }
        }
        out.u64(self.flushed_through.0);
        out.u64(self.written.0 as u64);
        out.uid(self.put_id);
        write_collection(&mut out, &self.collection);
        if let Some(pinned) = &self.collection.pinned {
            write_pinned(&mut out, pinned);
        }
        out.u32(self.segments.len() as u32);
        for segment in &self.segments {
            write_segment(&mut out, segment);
        }
        out.u32(self.remembered.len() as u32);
        for write in &self.remembered {
            out.text(&write.key);
            out.u64(write.fingerprint);
            out.u64(write.sequence.0);
            out.u32(write.put);
            out.u32(write.deleted);
        }
        let crc = crc32c::crc32c(&out.0);
        out.u32(crc);
        out.0.into()
    }

    /// Reads a manifest's file.
    ///
    /// # Errors
    /// [`Invalid`] on `manifest` when the bytes are not what [`Manifest::encode`] wrote, or say something that cannot be.
    pub fn decode(bytes: &[u8]) -> Result<Self, Invalid> {
        decode(bytes).map_err(|e| e.within("manifest"))
    }
}

fn decode(bytes: &[u8]) -> Result<Manifest, Invalid> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| Invalid::new("", "is too short"))?;
    if !body.starts_with(MAGIC) {
        return Err(Invalid::new("magic", "is not that of a manifest"));
    }
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(Invalid::new("checksum", "does not match"));
    }
    let mut from = Reader(&body[MAGIC.len()..]);
    let version = u16::from_le_bytes(from.array()?);
    if ![VERSION_1, VERSION_2].contains(&version) {
        return Err(Invalid::new("version", format!("is {version}, this release reads {VERSION_1} and {VERSION_2}")));
    }
    let number = ManifestNumber(from.u64()?);
    let shard = ShardId { collection: CollectionId(from.uid()?), index: from.u32()? };
    let site = SiteId(from.uid()?);
    let epoch = Epoch(from.u64()?);
    let state = match from.u8()? {
        0 => ShardState::Live,
        1 => ShardState::Dropped,
        2 => ShardState::Moving(SiteId(from.uid()?)),
        other => return Err(Invalid::new("state", format!("{other} is not a state"))),
    };
    let flushed_through = Sequence(from.u64()?);
    let written = Timestamp(from.u64()? as i64);
    let put_id = from.uid()?;
    let mut collection = read_collection(&mut from, shard.collection)?;
    if version == VERSION_2 {
        collection.pinned = Some(read_pinned(&mut from)?);
    }
    let segments = from.list(read_segment)?;
    let remembered = from.list(|from| {
        Ok(RememberedWrite {
            key: from.text()?,
            fingerprint: from.u64()?,
            sequence: Sequence(from.u64()?),
            put: from.u32()?,
            deleted: from.u32()?,
        })
    })?;
    if !from.0.is_empty() {
        return Err(Invalid::new("", "has bytes after its end"));
    }
    let manifest = Manifest { number, shard, site, epoch, collection, state, flushed_through, segments, remembered, written, put_id };
    manifest.check()?;
    Ok(manifest)
}

fn write_collection(out: &mut Writer, collection: &Collection) {
    let spec = &collection.spec;
    out.text(spec.name.as_str());
    out.u32(spec.dimension.get() as u32);
    out.text(&spec.metric.to_string());
    out.u32(spec.shards);
    out.text(spec.index.kind.as_str());
    out.u32(spec.index.m);
    out.u32(spec.index.ef_construction);
    out.u32(spec.index.ef_search);
    out.text(&spec.description);
    out.u64(collection.created.0 as u64);
    out.u32(spec.schema.fields().len() as u32);
    for (name, kind) in spec.schema.fields() {
        out.text(name);
        out.text(kind.as_str());
    }
}

fn read_collection(from: &mut Reader<'_>, id: CollectionId) -> Result<Collection, Invalid> {
    let name = CollectionName::new(&from.text()?)?;
    let dimension = Dimension::new(u64::from(from.u32()?))?;
    let metric = from.parsed()?;
    let shards = from.u32()?;
    let index = IndexSettings { kind: from.parsed()?, m: from.u32()?, ef_construction: from.u32()?, ef_search: from.u32()? };
    let description = from.text()?;
    let created = Timestamp(from.u64()? as i64);
    let fields: Vec<(String, FieldType)> = from.list(|from| Ok((from.text()?, from.parsed()?)))?;
    let schema = Schema::new(fields.into_iter().collect::<BTreeMap<_, _>>())?;
    let spec = CollectionSpec { name, dimension, metric, schema, shards, index, description };
    spec.check()?;
    Ok(Collection { id, spec, created, pinned: None })
}

fn write_pinned(out: &mut Writer, pinned: &PinnedMetric) {
    out.0.extend_from_slice(&pinned.sha256);
    out.u8(match pinned.score_kind {
        ScoreKind::Similarity => 0,
        ScoreKind::Distance => 1,
    });
}

fn read_pinned(from: &mut Reader<'_>) -> Result<PinnedMetric, Invalid> {
    let sha256 = from.array()?;
    let score_kind = match from.u8()? {
        0 => ScoreKind::Similarity,
        1 => ScoreKind::Distance,
        other => return Err(Invalid::new("score_kind", format!("{other} is not a kind of score"))),
    };
    Ok(PinnedMetric { sha256, score_kind })
}

fn write_segment(out: &mut Writer, segment: &SegmentEntry) {
    let meta = &segment.meta;
    out.uid(meta.id.0);
    out.u32(meta.rows);
    out.u64(meta.bytes);
    out.u32(meta.checksum);
    out.u64(meta.sequences.0.0);
    out.u64(meta.sequences.1.0);
    out.u64(meta.created.0 as u64);
    out.u8(u8::from(segment.dead.is_some()) | u8::from(segment.index.is_some()) << 1);
    if let Some((file, count)) = &segment.dead {
        write_sidecar(out, file);
        out.u32(*count);
    }
    if let Some((file, kind)) = &segment.index {
        write_sidecar(out, file);
        out.text(kind);
    }
}

fn read_segment(from: &mut Reader<'_>) -> Result<SegmentEntry, Invalid> {
    let meta = SegmentMeta {
        id: FileId(from.uid()?),
        rows: from.u32()?,
        bytes: from.u64()?,
        checksum: from.u32()?,
        sequences: (Sequence(from.u64()?), Sequence(from.u64()?)),
        created: Timestamp(from.u64()? as i64),
    };
    let flags = from.u8()?;
    if flags > 3 {
        return Err(Invalid::new("segments", "has a flag that this release does not know"));
    }
    let dead = if flags & 1 != 0 { Some((read_sidecar(from)?, from.u32()?)) } else { None };
    let index = if flags & 2 != 0 { Some((read_sidecar(from)?, from.text()?)) } else { None };
    Ok(SegmentEntry { meta, dead, index })
}

fn write_sidecar(out: &mut Writer, file: &SidecarMeta) {
    out.uid(file.id.0);
    out.u64(file.bytes);
    out.u32(file.checksum);
}

fn read_sidecar(from: &mut Reader<'_>) -> Result<SidecarMeta, Invalid> {
    Ok(SidecarMeta { id: FileId(from.uid()?), bytes: from.u64()?, checksum: from.u32()? })
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, n: u8) {
        self.0.push(n);
    }
    fn u32(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    fn u64(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    fn uid(&mut self, uid: Uid) {
        self.0.extend_from_slice(uid.as_bytes());
    }
    fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend_from_slice(text.as_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Invalid> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| Invalid::new("", "ends too early"))?;
        self.0 = rest;
        Ok(*head)
    }
    fn u8(&mut self) -> Result<u8, Invalid> {
        self.array::<1>().map(|[n]| n)
    }
    fn u32(&mut self) -> Result<u32, Invalid> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Result<u64, Invalid> {
        self.array().map(u64::from_le_bytes)
    }
    fn uid(&mut self) -> Result<Uid, Invalid> {
        self.array().map(Uid)
    }
    fn text(&mut self) -> Result<String, Invalid> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(|| Invalid::new("", "ends too early"))?;
        self.0 = rest;
        String::from_utf8(head.to_vec()).map_err(|_| Invalid::new("", "has text that is not UTF-8"))
    }
    fn parsed<T: FromStr<Err = Invalid>>(&mut self) -> Result<T, Invalid> {
        self.text()?.parse()
    }
    /// A list whose length is not trusted: it grows as items are really there.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Invalid>) -> Result<Vec<T>, Invalid> {
        let count = self.u32()?;
        let mut out = Vec::new();
        for _ in 0..count {
            out.push(item(self)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::MetricKind;
    use proptest::prelude::*;

    fn uid(n: u8) -> Uid {
        Uid([n; 16])
    }

    pub(super) fn sample() -> Manifest {
        let id = CollectionId(uid(1));
        let mut spec =
            CollectionSpec::new(CollectionName::new("documents").expect("valid"), Dimension::new(384).expect("valid"), MetricKind::Cosine);
        spec.shards = 2;
        // The fixtures' own, whatever the defaults have become.
        spec.index = IndexSettings { m: 16, ef_construction: 128, ef_search: 96, ..IndexSettings::default() };
        spec.description = "für alle".to_owned();
        spec.schema = Schema::new(BTreeMap::from([("year".to_owned(), FieldType::Integer)])).expect("valid");
        let meta = |n: u8| SegmentMeta {
            id: FileId(uid(n)),
            rows: 10,
            bytes: 1_000,
            checksum: 7,
            sequences: (Sequence(1), Sequence(12)),
            created: Timestamp(5),
        };
        let sidecar = |n: u8| SidecarMeta { id: FileId(uid(n)), bytes: 9, checksum: 3 };
        Manifest {
            number: ManifestNumber(3),
            shard: ShardId { collection: id, index: 1 },
            site: SiteId(uid(2)),
            epoch: Epoch(4),
            collection: Collection { id, spec, created: Timestamp(-1), pinned: None },
            state: ShardState::Live,
            flushed_through: Sequence(12),
            segments: vec![
                SegmentEntry { meta: meta(10), dead: None, index: None },
                SegmentEntry { meta: meta(11), dead: Some((sidecar(12), 3)), index: Some((sidecar(13), "graph".to_owned())) },
            ],
            remembered: vec![RememberedWrite { key: "k".to_owned(), fingerprint: 1, sequence: Sequence(12), put: 1, deleted: 0 }],
            written: Timestamp(6),
            put_id: uid(99),
        }
    }

    fn of_a_plugin() -> Manifest {
        let mut manifest = sample();
        manifest.collection.spec.metric = MetricKind::Wasm("near".to_owned());
        manifest.collection.pinned = Some(PinnedMetric { sha256: [0xa5; 32], score_kind: ScoreKind::Distance });
        manifest
    }

    #[test]
    fn only_the_collections_of_plugins_need_version_2() {
        assert_eq!(sample().encode()[4..6], [1, 0]);
        let mut manifest = of_a_plugin();
        assert_eq!(manifest.encode()[4..6], [2, 0]);
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        manifest.collection.pinned = manifest.collection.pinned.map(|p| PinnedMetric { score_kind: ScoreKind::Similarity, ..p });
        assert_eq!(manifest.collection.score_kind(), ScoreKind::Similarity);
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut manifest = sample();
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        manifest.state = ShardState::Moving(SiteId(uid(8)));
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    /// Files that this version wrote once are read for ever, and written alike as long as it is this version.
    #[test]
    fn the_fixtures_are_read_and_written() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/testdata/manifest");
        let states = [("live", ShardState::Live), ("dropped", ShardState::Dropped), ("moving", ShardState::Moving(SiteId(uid(8))))];
        for (name, state) in states {
            let mut manifest = sample();
            manifest.state = state;
            if state == ShardState::Dropped {
                manifest.segments.clear();
            }
            let path = folder.join(format!("{name}-v1.manifest"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
                std::fs::create_dir_all(&folder).expect("a folder");
                std::fs::write(&path, manifest.encode()).expect("writable");
            }
            let bytes = std::fs::read(&path).expect("the fixture is committed");
            assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest), "{name}");
            assert_eq!(manifest.encode(), bytes, "{name}");
        }
    }

    #[test]
    fn the_fixture_of_version_2_is_read_and_written() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/testdata/manifest/plugin-v2.manifest");
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
            std::fs::write(&path, of_a_plugin().encode()).expect("writable");
        }
        let bytes = std::fs::read(&path).expect("the fixture is committed");
        assert_eq!(Manifest::decode(&bytes), Ok(of_a_plugin()));
        assert_eq!(of_a_plugin().encode(), bytes);
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(place in 0usize..1_000, flip in 1u8..) {
            let mut bytes = if flip % 2 == 0 { sample() } else { of_a_plugin() }.encode().to_vec();
            let place = place % bytes.len();
            bytes[place] ^= flip;
            prop_assert!(Manifest::decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(version in VERSION_1..=VERSION_2, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = [MAGIC.as_slice(), &version.to_le_bytes(), &body].concat();
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            let _ = Manifest::decode(&bytes);
        }

        #[test]
        fn any_cut_is_refused(cut in 0usize..1_000) {
            let bytes = sample().encode();
            prop_assert!(Manifest::decode(&bytes[..cut % bytes.len()]).is_err());
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let breaks: [fn(&mut Manifest); 8] = [
            |m| m.collection.spec.metric = MetricKind::Wasm("near".to_owned()),
            |m| m.collection.pinned = of_a_plugin().collection.pinned,
            |m| m.shard.index = 2,
            |m| m.segments[0].meta.rows = 0,
            |m| m.segments[0].meta.sequences.1 = Sequence(13),
            |m| m.segments[1].meta.id = m.segments[0].meta.id,
            |m| m.state = ShardState::Dropped,
            |m| m.segments[1].dead = Some((SidecarMeta { id: FileId(uid(12)), bytes: 1, checksum: 1 }, 11)),
        ];
        for broken in breaks {
            let mut manifest = sample();
            broken(&mut manifest);
            assert!(manifest.check().is_err());
        }
    }
}
