//! What every plugin has, whatever its role: a name, a component, a breaker. Knows no role.

use std::sync::Arc;

use proximadb_model::is_plugin_name;
use proximadb_ports::{Clock, PortError};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Store, StoreLimits};

use crate::breaker::Breaker;
use crate::plugin_error::PluginError;
use crate::sandbox::Sandbox;

/// A compiled component under its name in the configuration.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) sandbox: Arc<Sandbox>,
    component: InstancePre<StoreLimits>,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
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
        let breaker = Breaker::new(sandbox.options().breaker);
        Ok(Self { name: name.to_owned(), sha256, sandbox: Arc::clone(sandbox), component, breaker, clock: Arc::clone(clock) })
    }

    /// A new instance in a store of its own, with the time of one call for its start and the first call together.
    ///
    /// # Errors
    /// A start that traps or runs into a limit.
    pub(crate) fn instance(&self) -> Result<(Store<StoreLimits>, Instance), PluginError> {
        let mut store = self.sandbox.store()?;
        let instance = self.component.instantiate(&mut store).map_err(PluginError::trapped)?;
        Ok((store, instance))
    }

    /// Runs what calls the plugin, unless it is to be left alone, and counts its faults.
    ///
    /// # Errors
    /// Those of `call`, and `Plugin` while the breaker is open.
    pub(crate) fn guard<T>(&self, op: &'static str, call: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PortError> {
        if !self.breaker.lets_through(self.clock.monotonic()) {
            return Err(PluginError::Resting.at(op, &self.name));
        }
        call().map_err(|error| {
            if error.is_misbehaviour() {
                self.breaker.count(self.clock.monotonic());
            }
            error.at(op, &self.name)
        })
    }
}
