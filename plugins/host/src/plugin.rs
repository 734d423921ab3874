//! What every plugin has, whatever its role: a name, a component, a breaker, and what it was used for. Knows no role.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proximadb_model::is_plugin_name;
use proximadb_ports::{Clock, PortError};
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::breaker::Breaker;
use crate::plugin_error::PluginError;
use crate::sandbox::Sandbox;
use crate::walls::Walls;

/// A compiled component under its name in the configuration.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) sandbox: Arc<Sandbox>,
    component: InstancePre<Walls>,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    calls: AtomicU64,
    faults: AtomicU64,
    busy_nanos: AtomicU64,
    last_fault: Mutex<Option<String>>,
}

/// What a plugin was used for since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginUse {
    /// Calls that went through to it.
    pub calls: u64,
    /// Those of them in which it broke its contract.
    pub faults: u64,
    /// Time in those calls, over all threads.
    pub busy: Duration,
    /// Whether it is left alone at this moment.
    pub is_resting: bool,
    /// What the last fault was.
    pub last_fault: Option<String>,
}

impl Plugin {
    /// # Errors
    /// What is wrong with the name or the bytes.
    pub(crate) fn new(
        sandbox: &Arc<Sandbox>,
        clock: &Arc<dyn Clock>,
        name: &str,
        bytes: &[u8],
        sha256: Option<[u8; 32]>,
    ) -> Result<Self, PluginError> {
        if !is_plugin_name(name) {
            return Err(PluginError::Name);
        }
        let (component, sha256) = sandbox.compile(bytes, sha256)?;
        Ok(Self {
            name: name.to_owned(),
            sha256,
            sandbox: Arc::clone(sandbox),
            component,
            breaker: Breaker::new(sandbox.options().breaker),
            clock: Arc::clone(clock),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            last_fault: Mutex::default(),
        })
    }

    /// A new instance in a store of its own, with the time of one call for its start and the first call together.
    ///
    /// # Errors
    /// A start that traps or runs into a limit.
    pub(crate) fn instance(&self) -> Result<(Store<Walls>, Instance), PluginError> {
        let mut store = self.sandbox.store()?;
        let instance = self.component.instantiate(&mut store).map_err(PluginError::trapped)?;
        Ok((store, instance))
    }

    /// Runs what calls the plugin, unless it is to be left alone, and counts its faults.
    ///
    /// # Errors
    /// Those of `call`, and `Plugin` while the breaker is open.
    pub(crate) fn guard<T>(&self, op: &'static str, call: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PortError> {
        let began = self.clock.monotonic();
        if !self.breaker.lets_through(began) {
            return Err(PluginError::Resting.at(op, &self.name));
        }
        let outcome = call();
        let ended = self.clock.monotonic();
        self.calls.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(ended.saturating_sub(began).as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
        outcome.map_err(|error| {
            if error.is_misbehaviour() {
                self.faults.fetch_add(1, Ordering::Relaxed);
                self.breaker.count(ended);
                *self.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.with_root_cause());
            }
            error.at(op, &self.name)
        })
    }

    pub(crate) fn use_so_far(&self) -> PluginUse {
        PluginUse {
            calls: self.calls.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed)),
            is_resting: !self.breaker.lets_through(self.clock.monotonic()),
            last_fault: self.last_fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
