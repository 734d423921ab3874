//! The ledger of what the engine holds in memory, part by part, and the originals that stay for it. Decides nothing itself: what is
//! let go and what comes back [`plan::plan_memory`] says. Reads no file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use proximadb_model::plan::{self, MemorySettings, Residence};
use proximadb_ports::{Clock, Fault, MemoryStatus, PortError, Result, Telemetry};
use tokio::sync::Notify;

use crate::columns::ColumnKeeper;
use crate::shard::Shard;
use crate::snapshot::Segment;

/// Records between two looks at the ledger, as a share of the budget and in bytes at most.
const GROWTH_SHARE: u64 = 256;
const GROWTH_BYTES_MAX: u64 = 8 << 20;
/// While writes are refused, how often they have the ledger looked at.
const REFUSED_FOR: Duration = Duration::from_millis(100);

/// Counts what is there and lets originals go.
pub(crate) struct MemoryKeeper {
    clock: Arc<dyn Clock>,
    telemetry: Arc<dyn Telemetry>,
    columns: Arc<ColumnKeeper>,
    settings: MemorySettings,
    known: Mutex<Known>,
    /// One look at a time, so that nobody counts on the same free bytes as another.
    turn: Mutex<()>,
    /// Bytes that work in the background has been promised.
    working: AtomicU64,
    /// Bytes of records since the last look.
    grown: AtomicU64,
    /// Milliseconds of the clock at the last look.
    looked: AtomicU64,
    over: AtomicBool,
    /// Wakes whoever brings originals.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct Known {
    segments: Vec<Weak<Segment>>,
    shards: Vec<Weak<Shard>>,
}

/// What a look at the ledger found.
pub(crate) struct Look {
    /// Bytes by part.
    pub(crate) parts: BTreeMap<&'static str, u64>,
    /// Whether the whole is beyond the budget, with everything gone that can go.
    pub(crate) is_over: bool,
    /// Segments whose originals should be brought, the most useful first.
    pub(crate) bring: Vec<Arc<Segment>>,
}

/// Bytes that some work has been promised; given back when it is dropped.
pub(crate) struct Reservation {
    keeper: Arc<MemoryKeeper>,
    bytes: u64,
}

impl Reservation {
    /// Gives all but so many bytes back.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        self.keeper.working.fetch_sub(back, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.keeper.working.fetch_sub(self.bytes, Ordering::Relaxed);
        self.keeper.changed.notify_one();
    }
}

impl MemoryKeeper {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        telemetry: Arc<dyn Telemetry>,
        columns: Arc<ColumnKeeper>,
        settings: MemorySettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            telemetry,
            columns,
            settings,
            known: Mutex::default(),
            turn: Mutex::default(),
            working: AtomicU64::new(0),
            grown: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            over: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    // What is under the lock is whole after each step, so a poisoned one tells nothing.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a segment for as long as somebody holds it.
    pub(crate) fn count_segment(&self, segment: &Arc<Segment>) {
        self.known().segments.push(Arc::downgrade(segment));
        self.changed.notify_one();
    }

    /// Counts the memtables of a shard, and what its store keeps, for as long as somebody holds it.
    pub(crate) fn count_shard(&self, shard: &Arc<Shard>) {
        self.known().shards.push(Arc::downgrade(shard));
        self.changed.notify_one();
    }

    /// Looks at the ledger with `wanted` bytes more, and lets go what has to.
    pub(crate) fn look(&self, wanted: u64) -> Look {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_in_turn(wanted)
    }

    fn look_in_turn(&self, wanted: u64) -> Look {
        self.grown.store(0, Ordering::Relaxed);
        self.looked.store(self.clock.monotonic().as_millis() as u64, Ordering::Relaxed);
        let (segments, shards) = {
            let mut known = self.known();
            known.segments.retain(|segment| segment.strong_count() > 0);
            known.shards.retain(|shard| shard.strong_count() > 0);
            let segments: Vec<_> = known.segments.iter().filter_map(Weak::upgrade).collect();
            (segments, known.shards.iter().filter_map(Weak::upgrade).collect::<Vec<_>>())
        };
        let mut parts = self.parts(&segments, &shards);
        let now = self.clock.now();
        let residences: Vec<_> = segments.iter().map(|segment| segment.residence(now)).collect();
        let movable = |at: &usize| residences[*at].is_some();
        let places: Vec<usize> = (0..segments.len()).filter(movable).collect();
        let movables: Vec<Residence> = residences.iter().flatten().copied().collect();
        let movable_bytes: u64 = movables.iter().filter(|residence| residence.resident).map(|residence| residence.bytes).sum();
        let used: u64 = parts.values().sum();
        let plan = plan::plan_memory(used.saturating_sub(movable_bytes).saturating_add(wanted), &movables, &self.settings);
        for &at in &plan.let_go {
            segments[places[at]].let_originals_go();
            if let Some(bytes) = parts.get_mut("originals") {
                *bytes = bytes.saturating_sub(movables[at].bytes);
            }
        }
        let mut bring = Vec::with_capacity(plan.bring.len());
        for (at, residence) in movables.iter().enumerate() {
            let comes = plan.bring.contains(&at);
            segments[places[at]].set_lean(!comes && (!residence.resident || plan.let_go.contains(&at)));
        }
        bring.extend(plan.bring.iter().map(|at| Arc::clone(&segments[places[*at]])));
        if wanted == 0 {
            self.over.store(plan.is_over, Ordering::Relaxed);
        }
        for (part, bytes) in &parts {
            self.telemetry.gauge("proximadb_memory_bytes", &[("part", *part)], *bytes as f64);
        }
        Look { parts, is_over: plan.is_over, bring }
    }

    fn parts(&self, segments: &[Arc<Segment>], shards: &[Arc<Shard>]) -> BTreeMap<&'static str, u64> {
        let mut parts = BTreeMap::from([
            ("filters", self.columns.bytes() as u64),
            ("indexes", 0),
            ("memtables", 0),
            ("metadata", 0),
            ("originals", 0),
            ("rows", 0),
            ("work", self.working.load(Ordering::Relaxed)),
        ]);
        let mut add = |part: &'static str, bytes: u64| *parts.entry(part).or_default() += bytes;
        for segment in segments {
            add("rows", segment.row_bytes() as u64);
            add("indexes", segment.index_bytes() as u64);
            add("originals", segment.original_bytes());
        }
        let mut stores = Vec::new();
        for shard in shards {
            let snapshot = shard.snapshot();
            add("memtables", snapshot.memtables().map(|memtable| memtable.bytes() as u64).sum());
            let store = Arc::as_ptr(&shard.home.segments).cast::<()>();
            if !stores.contains(&store) {
                stores.push(store);
                add("metadata", shard.home.segments.cached_bytes() as u64);
            }
        }
        parts
    }

    /// Promises bytes to work that can wait.
    ///
    /// # Errors
    /// `Exhausted` where the budget does not leave so many, with everything gone that can go; the caller tries again later.
    pub(crate) fn reserve(self: &Arc<Self>, what: &'static str, bytes: u64) -> Result<Reservation> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.look_in_turn(bytes).is_over {
            let message =
                format!("waits for {bytes} bytes of memory, which memory.budget_bytes = {} does not leave", self.settings.budget_bytes);
            return Err(PortError::new(Fault::Exhausted, "memory.reserve", what, message));
        }
        Ok(self.promise(bytes))
    }

    /// Promises bytes to work that frees more than it takes, whatever there is.
    pub(crate) fn reserve_at_once(self: &Arc<Self>, bytes: u64) -> Reservation {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_in_turn(bytes);
        self.promise(bytes)
    }

    fn promise(self: &Arc<Self>, bytes: u64) -> Reservation {
        self.working.fetch_add(bytes, Ordering::Relaxed);
        Reservation { keeper: Arc::clone(self), bytes }
    }

    /// Lets records of so many bytes in.
    ///
    /// # Errors
    /// `Exhausted` where memory is beyond the budget and nothing is left that could go.
    pub(crate) fn admit(&self, bytes: u64) -> Result<()> {
        let grown = self.grown.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let since = self.clock.monotonic().saturating_sub(Duration::from_millis(self.looked.load(Ordering::Relaxed)));
        let is_due = grown >= (self.settings.budget_bytes / GROWTH_SHARE).min(GROWTH_BYTES_MAX);
        if is_due || (self.is_over() && since >= REFUSED_FOR) {
            self.look(0);
        }
        if !self.is_over() {
            return Ok(());
        }
        self.changed.notify_one();
        let budget = self.settings.budget_bytes;
        let message = format!("memory is beyond memory.budget_bytes = {budget}, and nothing is left that could be let go; try again later");
        Err(PortError::new(Fault::Exhausted, "write", "the process", message))
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The shard whose memtable takes most, where any takes something.
    pub(crate) fn fullest_shard(&self) -> Option<Arc<Shard>> {
        let shards: Vec<_> = self.known().shards.iter().filter_map(Weak::upgrade).collect();
        let bytes = |shard: &Arc<Shard>| shard.snapshot().active.bytes();
        shards.into_iter().filter(|shard| bytes(shard) > 0).max_by_key(bytes)
    }

    /// What health tells.
    pub(crate) fn status(&self) -> MemoryStatus {
        let Look { parts, is_over, .. } = self.look(0);
        let is_lean = self.known().segments.iter().filter_map(Weak::upgrade).any(|segment| segment.is_lean());
        let state = match (is_over, is_lean) {
            (true, _) => "over",
            (false, true) => "lean",
            (false, false) => "roomy",
        };
        let parts: Vec<_> = parts.into_iter().collect();
        let budget_bytes = (self.settings.budget_bytes < u64::MAX).then_some(self.settings.budget_bytes);
        MemoryStatus { state, budget_bytes, used_bytes: parts.iter().map(|(_, bytes)| bytes).sum(), parts }
    }
}
