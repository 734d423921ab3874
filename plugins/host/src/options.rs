//! What plugins may take: memory, time, and faults before they are left alone. Plain data, the same for every plugin of a host.

use std::path::PathBuf;
use std::time::Duration;

/// The bounds that a host holds every plugin to.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginOptions {
    /// Bytes of a component.
    pub component_bytes_max: usize,
    /// Bytes of an instance's memory, of which it has one.
    pub memory_bytes_max: usize,
    /// Elements of one table of an instance.
    pub table_elements_max: usize,
    /// Core modules, and tables, that one component may consist of.
    pub instances_max: usize,
    /// Bytes of stack that a call may take; well below that of the threads that call.
    pub stack_bytes_max: usize,
    /// What ends a call that takes too long.
    pub interruption: Interruption,
    /// Bytes of vectors that a metric is handed in one call; one vector goes in even where it is larger.
    pub block_bytes_max: usize,
    /// Instances of one plugin that are kept for the next call, each with up to `memory_bytes_max`.
    pub warm_instances_max: usize,
    /// Folder of compiled components, for the next start; what lies there is run as it is, so nobody else may write it. Without one
    /// every start compiles.
    pub cache_dir: Option<PathBuf>,
    /// When a plugin that keeps failing is left alone.
    pub breaker: BreakerOptions,
}

impl Default for PluginOptions {
    fn default() -> Self {
        Self {
            component_bytes_max: 8 << 20,
            memory_bytes_max: 64 << 20,
            table_elements_max: 10_000,
            instances_max: 4,
            stack_bytes_max: 512 << 10,
            interruption: Interruption::Time { tick: Duration::from_millis(2), call_max: Duration::from_millis(100) },
            block_bytes_max: 1 << 20,
            warm_instances_max: 8,
            cache_dir: None,
            breaker: BreakerOptions::default(),
        }
    }
}

/// What ends a call that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Processor time of the calling thread, looked at in time with a thread of the host's that ticks; a call ends between `call_max`
    /// and two ticks later. What others take of the processor is not counted, up to fifty times `call_max` in all.
    Time {
        /// Time between two ticks.
        tick: Duration,
        /// Processor time of one call.
        call_max: Duration,
    },
    /// Instructions, roughly: the same call always ends at the same place, as simulations need it. Costs more.
    Fuel {
        /// Instructions of one call.
        call_max: u64,
    },
}

/// When a plugin that keeps failing is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Faults within the window that open the breaker.
    pub faults_max: usize,
    /// The time that faults are remembered.
    pub window: Duration,
    /// The time without calls once the breaker is open.
    pub cool_down: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { faults_max: 5, window: Duration::from_secs(60), cool_down: Duration::from_secs(30) }
    }
}
