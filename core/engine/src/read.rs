//! Reading records from a snapshot: by id, by condition, in order of their ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use proximadb_model::{Filter, Projection, RecordId, RowSet, Rows, Timestamp, TopK};
use proximadb_ports::{Fault, PortError, ReadOptions, Result, StoredRecord};

use crate::snapshot::{Place, SegmentView, Snapshot};

/// What of a record is wanted.
pub(crate) type Wanted = ReadOptions;

/// Records at known places, in the order of the places.
pub(crate) async fn fetch(snapshot: &Snapshot, places: &[Place], wanted: Wanted) -> Result<Vec<StoredRecord>> {
    let mut out: Vec<Option<StoredRecord>> = vec![None; places.len()];
    let mut by_segment: BTreeMap<usize, Vec<(usize, u32)>> = BTreeMap::new();
    for (i, place) in places.iter().enumerate() {
        match *place {
            Place::Active { block, row } => out[i] = Some(from_memtable(snapshot.active.blocks(), block, row, wanted)),
            Place::Frozen { block, row } => {
                let blocks = snapshot.frozen.as_ref().map_or(&[][..], |m| m.blocks());
                out[i] = Some(from_memtable(blocks, block, row, wanted));
            }
            Place::Segment { segment, row } => by_segment.entry(segment).or_default().push((i, row as u32)),
        }
    }
    for (segment, rows) in by_segment {
        let view = &snapshot.segments[segment];
        for (i, record) in from_segment(view, &rows, wanted).await? {
            out[i] = Some(record);
        }
    }
    Ok(out.into_iter().flatten().collect())
}

fn from_memtable(blocks: &[proximadb_model::Block], block: usize, row: usize, wanted: Wanted) -> StoredRecord {
    let rows = blocks[block].rows();
    StoredRecord {
        id: rows.ids[row].clone(),
        vector: if wanted.vector { rows.vector(row).map(<[f32]>::to_vec) } else { None },
        metadata: wanted.metadata.then(|| Arc::clone(&rows.metadata[row])),
        expires: rows.expires[row],
        version: rows.sequences[row],
    }
}

async fn from_segment(view: &SegmentView, rows: &[(usize, u32)], wanted: Wanted) -> Result<Vec<(usize, StoredRecord)>> {
    let segment = &view.segment;
    let numbers: Vec<u32> = rows.iter().map(|(_, row)| *row).collect();
    let mut stored = if wanted.vector {
        segment.reader.fetch(&numbers, Projection { vectors: true, metadata: wanted.metadata }).await?
    } else {
        Rows::new(0)
    };
    if wanted.metadata && !wanted.vector {
        stored.metadata = segment.reader.metadata(&numbers).await?;
    }
    let mut out = Vec::with_capacity(rows.len());
    for (place, (i, row)) in rows.iter().enumerate() {
        let row = *row as usize;
        let id = resident_id(view, row)?;
        let vector = if wanted.vector { stored.vector(place).map(<[f32]>::to_vec) } else { None };
        let metadata = stored.metadata.get(place).map(Arc::clone);
        let expires = segment.expires.get(row).copied().flatten();
        let version = segment.sequences.get(row).copied().unwrap_or_default();
        out.push((*i, StoredRecord { id, vector, metadata, expires, version }));
    }
    Ok(out)
}

pub(crate) fn resident_id(view: &SegmentView, row: usize) -> Result<RecordId> {
    let corrupt = || PortError::new(Fault::Corrupt, "segment.read", view.segment.meta.id, "a row has no valid id");
    RecordId::new(view.segment.ids.id(row).ok_or_else(corrupt)?).map_err(|_| corrupt())
}

/// Records by id, in the order asked.
pub(crate) async fn get(snapshot: &Snapshot, ids: &[RecordId], wanted: Wanted, now: Timestamp) -> Result<Vec<Option<StoredRecord>>> {
    let places: Vec<_> = ids.iter().map(|id| snapshot.find(id.as_str()).filter(|_| snapshot.is_visible(id.as_str(), now))).collect();
    let known: Vec<_> = places.iter().copied().flatten().collect();
    let mut records = fetch(snapshot, &known, wanted).await?.into_iter();
    Ok(places.into_iter().map(|place| place.and_then(|_| records.next())).collect())
}

/// The rows of a segment that count, and how that was found out.
pub(crate) struct Allowed {
    /// The rows; `None` when all count.
    pub(crate) rows: Option<RowSet>,
    /// Rows whose values were looked at in the file.
    pub(crate) rows_examined: u64,
    /// What answered the filter, for `explain`.
    pub(crate) filter: &'static str,
}

impl Allowed {
    /// How many rows count, of a segment with so many.
    pub(crate) fn count(&self, rows: usize) -> usize {
        self.rows.as_ref().map_or(rows, RowSet::count)
    }
}

/// The rows of a segment that a reader at `now` may see and for which the filter holds.
pub(crate) async fn allowed(view: &SegmentView, filter: Option<&Filter>, now: Timestamp) -> Result<Allowed> {
    let visible = view.visible(now);
    let Some(filter) = filter else { return Ok(Allowed { rows: visible, rows_examined: 0, filter: "none" }) };
    let segment = &view.segment;
    let (mut rows, rows_examined, by) = match segment.columns.select(&segment.reader, filter) {
        Ok(rows) => (rows, 0, "memory"),
        Err(absent) => {
            let selection = segment.reader.select(filter).await?;
            (selection.rows, selection.rows_examined, absent.as_str())
        }
    };
    if let Some(visible) = visible {
        rows.intersect(&visible);
    }
    Ok(Allowed { rows: Some(rows), rows_examined, filter: by })
}

/// The number of records that a reader at `now` sees and for which the filter holds.
pub(crate) async fn count(snapshot: &Snapshot, filter: Option<&Filter>, now: Timestamp) -> Result<u64> {
    let mut count = 0usize;
    for memtable in snapshot.memtables() {
        for block in memtable.blocks() {
            let holds = |row: &usize| block.is_visible(*row, now) && filter.is_none_or(|f| f.matches(&block.rows().metadata[*row]));
            count += (0..block.rows().len()).filter(holds).count();
        }
    }
    for view in &snapshot.segments {
        count += allowed(view, filter, now).await?.count(view.rows());
    }
    Ok(count as u64)
}

/// The ids of all records that a reader at `now` sees and for which the filter holds, in no order.
pub(crate) async fn select_ids(snapshot: &Snapshot, filter: Option<&Filter>, now: Timestamp) -> Result<Vec<RecordId>> {
    let mut ids = Vec::new();
    for (id, _) in memtable_rows(snapshot, filter, now) {
        ids.push(id.clone());
    }
    for view in &snapshot.segments {
        let rows = allowed(view, filter, now).await?.rows;
        let rows = rows.unwrap_or_else(|| RowSet::all(view.rows()));
        for row in rows.iter() {
            ids.push(resident_id(view, row)?);
        }
    }
    Ok(ids)
}

fn memtable_rows<'a>(snapshot: &'a Snapshot, filter: Option<&'a Filter>, now: Timestamp) -> impl Iterator<Item = (&'a RecordId, Place)> {
    let active = snapshot.active.blocks().iter().enumerate().map(|(b, block)| (b, block, true));
    let frozen = snapshot.frozen.iter().flat_map(|m| m.blocks().iter().enumerate().map(|(b, block)| (b, block, false)));
    active.chain(frozen).flat_map(move |(b, block, is_active)| {
        let holds = move |row: &usize| block.is_visible(*row, now) && filter.is_none_or(|f| f.matches(&block.rows().metadata[*row]));
        (0..block.rows().len()).filter(holds).map(move |row| {
            let place = if is_active { Place::Active { block: b, row } } else { Place::Frozen { block: b, row } };
            (&block.rows().ids[row], place)
        })
    })
}

/// The places of the first `limit` records by id after `after`, with their ids, in order.
pub(crate) async fn page(
    snapshot: &Snapshot,
    filter: Option<&Filter>,
    after: Option<&str>,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<(String, Place)>> {
    let mut first = TopK::new(limit);
    let mut offer = |id: &str, place: Place| {
        if after.is_none_or(|a| id > a) && first.bound().is_none_or(|b: &InOrder| id < b.id.as_str()) {
            first.push(InOrder { id: id.to_owned(), place });
        }
    };
    for (id, place) in memtable_rows(snapshot, filter, now) {
        offer(id.as_str(), place);
    }
    for (segment, view) in snapshot.segments.iter().enumerate() {
        let rows = allowed(view, filter, now).await?.rows;
        let rows = rows.unwrap_or_else(|| RowSet::all(view.rows()));
        for row in rows.iter() {
            if let Some(id) = view.segment.ids.id(row) {
                offer(id, Place::Segment { segment, row });
            }
        }
    }
    Ok(first.into_sorted().into_iter().map(|found| (found.id, found.place)).collect())
}

struct InOrder {
    id: String,
    place: Place,
}

impl PartialEq for InOrder {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}
impl Eq for InOrder {}
impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for InOrder {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }
}
