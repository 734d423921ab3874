//! Fields of segments that filters have asked for, kept in memory as indexes within one bound over all of them.
//!
//! A field is read when a filter first asks for it, in the background; until then, and where there is no room, the caller reads
//! the segment's file. Knows no search and no snapshot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use proximadb_model::limits::{FILTER_FIELDS_MAX, FILTER_READS_MAX};
use proximadb_model::{FieldIndex, FieldIndexBuilder, Filter, RowSet, Value, filter_paths};
use proximadb_ports::{Clock, Executor, Fault, PortError, Result, SegmentReader, Telemetry, ValueVisitor, chain};
use tokio::sync::{Semaphore, oneshot};

/// What was used within this time is not given up for another field, so that two do not take turns in reading their files.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// A field that found no room, or could not be read, is not tried again before.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Bytes of a field's name and its place, counted with its index.
const FIELD_BYTES: usize = 512;

/// Why a filter is not answered from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// A field is being read.
    Reading,
    /// There is no room for a field.
    NoRoom,
    /// A field could not be read.
    Failed,
    /// It compares lists or objects as wholes.
    Wholes,
}

impl Absent {
    /// The words in `explain`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "file: its fields are being read into memory",
            Self::NoRoom => "file: the memory for filters is used up (memory.filter_bytes_max)",
            Self::Failed => "file: a field could not be read into memory",
            Self::Wholes => "file: it compares lists or objects as wholes",
        }
    }
}

/// What all segments share: the bound, and whose turn it is to read.
pub(crate) struct ColumnKeeper {
    clock: Arc<dyn Clock>,
    executor: Arc<dyn Executor>,
    telemetry: Arc<dyn Telemetry>,
    bytes_max: usize,
    state: Mutex<State>,
    /// One field at a time is read, so that what it takes on the way is bounded too.
    turn: Semaphore,
}

#[derive(Default)]
struct State {
    bytes: usize,
    fields: u64,
    held: BTreeMap<u64, Held>,
    reading: usize,
}

/// A field that counts.
struct Held {
    columns: Weak<Columns>,
    path: String,
    bytes: usize,
    used: Arc<AtomicU64>,
}

/// The fields of one segment.
pub(crate) struct Columns {
    keeper: Arc<ColumnKeeper>,
    rows: usize,
    fields: Mutex<BTreeMap<String, Field>>,
}

enum Field {
    Reading,
    Resident(Resident),
    Refused { why: Absent, until: Duration },
}

#[derive(Clone)]
struct Resident {
    number: u64,
    index: Arc<FieldIndex>,
    /// Milliseconds of the clock at its last use.
    used: Arc<AtomicU64>,
}

impl ColumnKeeper {
    pub(crate) fn new(clock: Arc<dyn Clock>, executor: Arc<dyn Executor>, telemetry: Arc<dyn Telemetry>, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { clock, executor, telemetry, bytes_max, state: Mutex::default(), turn: Semaphore::new(1) })
    }

    /// The fields of a segment of so many rows: none yet.
    pub(crate) fn columns(keeper: &Arc<Self>, rows: usize) -> Arc<Columns> {
        Arc::new(Columns { keeper: Arc::clone(keeper), rows, fields: Mutex::default() })
    }

    // What is under the lock is whole after each step, so a poisoned one tells nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the fields of all segments take.
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes
    }

    fn now_millis(&self) -> u64 {
        self.clock.monotonic().as_millis() as u64
    }

    /// Bytes that a field may take: what is free, and what fields take that were not used for long.
    fn room(&self) -> usize {
        let state = self.state();
        let idle: usize = state.held.values().filter(|held| self.is_idle(held)).map(|held| held.bytes).sum();
        self.bytes_max.saturating_sub(state.bytes.saturating_sub(idle))
    }

    fn is_idle(&self, held: &Held) -> bool {
        self.now_millis().saturating_sub(held.used.load(Ordering::Relaxed)) >= KEPT_FOR.as_millis() as u64
    }

    /// Counts a field, after those that were not used for longest have made room; `None` where there is none.
    fn admit(&self, columns: &Arc<Columns>, path: &str, index: FieldIndex) -> Option<Resident> {
        let bytes = index.bytes() + FIELD_BYTES;
        let mut gone = Vec::new();
        let resident = {
            let mut state = self.state();
            let mut idle: Vec<(u64, u64, usize)> = state
                .held
                .iter()
                .filter(|(_, held)| self.is_idle(held))
                .map(|(number, held)| (held.used.load(Ordering::Relaxed), *number, held.bytes))
                .collect();
            let idle_bytes: usize = idle.iter().map(|(_, _, bytes)| bytes).sum();
            if (state.bytes - idle_bytes).saturating_add(bytes) > self.bytes_max {
                return None;
            }
            idle.sort_unstable();
            for (_, number, _) in idle {
                if state.bytes.saturating_add(bytes) <= self.bytes_max {
                    break;
                }
                if let Some(held) = state.held.remove(&number) {
                    state.bytes -= held.bytes;
                    gone.push((number, held));
                }
            }
            state.fields += 1;
            state.bytes += bytes;
            let (number, used) = (state.fields, Arc::new(AtomicU64::new(self.now_millis())));
            let held = Held { columns: Arc::downgrade(columns), path: path.to_owned(), bytes, used: Arc::clone(&used) };
            state.held.insert(number, held);
            Resident { number, index: Arc::new(index), used }
        };
        // Outside the lock: each segment's own lock is taken first elsewhere.
        for (number, held) in gone {
            if let Some(columns) = held.columns.upgrade() {
                columns.forget(&held.path, number);
            }
        }
        self.report();
        Some(resident)
    }

    fn release(&self, numbers: impl Iterator<Item = u64>) {
        {
            let mut state = self.state();
            for number in numbers {
                if let Some(held) = state.held.remove(&number) {
                    state.bytes -= held.bytes;
                }
            }
        }
        self.report();
    }

    fn report(&self) {
        let (bytes, fields) = {
            let state = self.state();
            (state.bytes, state.held.len())
        };
        self.telemetry.gauge("proximadb_filter_memory_bytes", &[], bytes as f64);
        self.telemetry.gauge("proximadb_filter_fields", &[], fields as f64);
    }

    fn may_read(&self) -> bool {
        let mut state = self.state();
        let may = state.reading < FILTER_READS_MAX;
        state.reading += usize::from(may);
        may
    }
}

impl Columns {
    fn fields(&self) -> MutexGuard<'_, BTreeMap<String, Field>> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows for which a filter holds, from memory. Where a field is not there it is read in the background, for the next time.
    pub(crate) fn select(self: &Arc<Self>, reader: &Arc<dyn SegmentReader>, filter: &Filter) -> std::result::Result<RowSet, Absent> {
        let residents = self.residents(reader, &filter_paths(filter))?;
        filter.select(self.rows, &|path| residents.get(path).map(|resident| &*resident.index)).ok_or(Absent::Wholes)
    }

    /// Bytes that the fields take.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |field: &Field| if let Field::Resident(resident) = field { resident.index.bytes() + FIELD_BYTES } else { 0 };
        self.fields().values().map(bytes).sum()
    }

    /// The paths of the fields that are in memory.
    pub(crate) fn resident_paths(&self) -> Vec<String> {
        self.fields().iter().filter(|(_, field)| matches!(field, Field::Resident(_))).map(|(path, _)| path.clone()).collect()
    }

    /// Reads fields in the background, as if a filter had asked for them.
    pub(crate) fn warm(self: &Arc<Self>, reader: &Arc<dyn SegmentReader>, paths: &[String]) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        // What is not there yet is on its way now; where there is no room, the first filter learns so.
        let _ = self.residents(reader, &paths);
    }

    fn residents<'a>(
        self: &Arc<Self>,
        reader: &Arc<dyn SegmentReader>,
        paths: &[&'a str],
    ) -> std::result::Result<BTreeMap<&'a str, Resident>, Absent> {
        let now = self.keeper.clock.monotonic();
        let (mut found, mut missing, mut why) = (BTreeMap::new(), Vec::new(), None);
        {
            let mut fields = self.fields();
            for path in paths {
                match fields.get(*path) {
                    Some(Field::Resident(resident)) => {
                        resident.used.store(now.as_millis() as u64, Ordering::Relaxed);
                        found.insert(*path, resident.clone());
                    }
                    Some(Field::Reading) => why = why.or(Some(Absent::Reading)),
                    Some(Field::Refused { why: refused, until }) if *until > now => why = Some(*refused),
                    Some(Field::Refused { .. }) | None => missing.push((*path).to_owned()),
                }
            }
            // Names come from users, so there are only so many; those that were refused make room first.
            if !missing.is_empty() && fields.len() + missing.len() > FILTER_FIELDS_MAX {
                fields.retain(|_, field| !matches!(field, Field::Refused { .. }));
            }
            if missing.is_empty() {
            } else if fields.len() + missing.len() > FILTER_FIELDS_MAX {
                why = Some(Absent::NoRoom);
                missing.clear();
            } else if !self.keeper.may_read() {
                why = why.or(Some(Absent::Reading));
                missing.clear();
            } else {
                why = why.or(Some(Absent::Reading));
                for path in &missing {
                    fields.insert(path.clone(), Field::Reading);
                }
            }
        }
        if !missing.is_empty() {
            let task = read(Arc::downgrade(self), Arc::clone(&self.keeper), Arc::clone(reader), self.rows, missing);
            self.keeper.executor.spawn("filter-fields", Box::pin(task));
        }
        match why {
            None => Ok(found),
            Some(why) => Err(why),
        }
    }

    fn forget(&self, path: &str, number: u64) {
        let mut fields = self.fields();
        if matches!(fields.get(path), Some(Field::Resident(resident)) if resident.number == number) {
            fields.remove(path);
        }
    }

    fn settle(&self, path: &str, field: Field) {
        self.fields().insert(path.to_owned(), field);
    }
}

impl Drop for Columns {
    fn drop(&mut self) {
        let fields = std::mem::take(&mut *self.fields());
        let numbers = fields.values().filter_map(|field| if let Field::Resident(resident) = field { Some(resident.number) } else { None });
        self.keeper.release(numbers);
    }
}

/// Reads fields of a segment that is still there when their turn comes.
async fn read(columns: Weak<Columns>, keeper: Arc<ColumnKeeper>, reader: Arc<dyn SegmentReader>, rows: usize, paths: Vec<String>) {
    // The task may be ended anywhere; then the whole process is.
    let _reading = Reading(&keeper);
    let _turn = keeper.turn.acquire().await;
    for path in paths {
        if columns.strong_count() == 0 {
            return;
        }
        let built = build(&keeper, &*reader, rows, &path).await;
        let Some(columns) = columns.upgrade() else { return };
        let until = keeper.clock.monotonic().saturating_add(REFUSED_FOR);
        let field = match built {
            Ok(Some(index)) => keeper.admit(&columns, &path, index).map(Field::Resident),
            Ok(None) => None,
            Err(e) => {
                tracing::warn!(error = chain(&e), "a field for filters could not be read; filters read the file instead");
                columns.settle(&path, Field::Refused { why: Absent::Failed, until });
                continue;
            }
        };
        columns.settle(&path, field.unwrap_or(Field::Refused { why: Absent::NoRoom, until }));
    }
}

struct Reading<'a>(&'a ColumnKeeper);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.state().reading -= 1;
    }
}

/// The index of one field; `None` where there is no room for it.
async fn build(keeper: &ColumnKeeper, reader: &dyn SegmentReader, rows: usize, path: &str) -> Result<Option<FieldIndex>> {
    let mut collected = Collected { builder: FieldIndexBuilder::new(rows), room: keeper.room() };
    reader.values(&[path.to_owned()], &mut collected).await?;
    if !collected.fits() {
        return Ok(None);
    }
    let (reply, answer) = oneshot::channel();
    let builder = collected.builder;
    keeper.executor.background("filter-fields", Box::new(move || drop(reply.send(builder.finish()))));
    answer.await.map_err(|_| PortError::new(Fault::Internal, "filter.build", path, "ended without an answer"))
}

struct Collected {
    builder: FieldIndexBuilder,
    room: usize,
}

impl Collected {
    fn fits(&self) -> bool {
        self.builder.bytes() <= self.room
    }
}

impl ValueVisitor for Collected {
    fn value(&mut self, _path: usize, row: usize, value: &Value) {
        self.builder.push(row, value);
    }

    fn wants_more(&self) -> bool {
        self.fits()
    }
}
