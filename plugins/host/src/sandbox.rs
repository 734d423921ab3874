//! The engine that compiles plugins, and the walls around each of their instances. Knows no world of plugins.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use proximadb_ports::{Fault, PortError};
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store};

use crate::options::{Interruption, PluginOptions};
use crate::plugin_error::PluginError;
use crate::ticker::Ticker;
use crate::walls::{self, Walls};

/// Compiled components that are kept for the next plugin of the same bytes, such as a metric for another dimension.
const COMPILED_MAX: usize = 64;

/// One engine with its limits; every plugin of a host lives in it.
pub(crate) struct Sandbox {
    engine: Engine,
    options: PluginOptions,
    long_call: fn(),
    compiled: Mutex<HashMap<[u8; 32], Component>>,
    /// None where instructions are counted.
    ticker: Option<Ticker>,
}

impl Sandbox {
    /// # Errors
    /// `Invalid` for limits that contradict each other; `Unavailable` when no thread can be had.
    pub(crate) fn new(options: PluginOptions, long_call: fn()) -> Result<Self, PortError> {
        const OP: &str = "plugins.open";
        let mut config = Config::new();
        // The results of these depend on the processor, or nobody needs them: a small surface is the better wall.
        config.wasm_relaxed_simd(false).wasm_memory64(false).wasm_multi_memory(false);
        config.max_wasm_stack(options.stack_bytes_max);
        match options.interruption {
            Interruption::Time { .. } => config.epoch_interruption(true),
            Interruption::Fuel { .. } => config.consume_fuel(true),
        };
        let refused = |error: wasmtime::Error| {
            PortError::new(Fault::Invalid, OP, "the options", "no engine can be made with these limits").with_source(error)
        };
        if let Some(folder) = &options.cache_dir {
            let no_cache = |error: wasmtime::Error| {
                PortError::new(Fault::Unavailable, OP, folder.display(), "the folder of compiled plugins cannot be used").with_source(error)
            };
            let mut cache = CacheConfig::new();
            cache.with_directory(folder);
            config.cache(Some(Cache::new(cache).map_err(no_cache)?));
        }
        let engine = Engine::new(&config).map_err(refused)?;
        let ticker = match options.interruption {
            Interruption::Time { tick, .. } if tick.is_zero() => {
                return Err(PortError::new(Fault::Invalid, OP, "the options", "time must pass between two ticks"));
            }
            Interruption::Time { tick, call_max } => {
                let no_thread = |error| PortError::new(Fault::Unavailable, OP, "the ticker", "no thread can be had").with_source(error);
                Some(Ticker::start(engine.clone(), tick, walls::ticks_max(tick, call_max)).map_err(no_thread)?)
            }
            Interruption::Fuel { .. } => None,
        };
        Ok(Self { engine, options, long_call, compiled: Mutex::default(), ticker })
    }

    pub(crate) fn options(&self) -> &PluginOptions {
        &self.options
    }

    /// Compiles a component, or finds it compiled; the second value is its sha256.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn compile(&self, bytes: &[u8], expected: Option<[u8; 32]>) -> Result<(InstancePre<Walls>, [u8; 32]), PluginError> {
        let max = self.options.component_bytes_max;
        if bytes.len() > max {
            return Err(PluginError::TooLarge { bytes: bytes.len(), max });
        }
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(PluginError::OtherBytes { expected: hex(&expected), actual: hex(&digest) });
        }
        let component = self.component(bytes, digest)?;
        if let Some((name, _)) = component.component_type().imports(&self.engine).next() {
            return Err(PluginError::Imports(name.to_owned()));
        }
        let pre = Linker::new(&self.engine).instantiate_pre(&component).map_err(PluginError::NotAComponent)?;
        Ok((pre, digest))
    }

    fn component(&self, bytes: &[u8], digest: [u8; 32]) -> Result<Component, PluginError> {
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = compiled().get(&digest) {
            return Ok(component.clone());
        }
        let component = Component::from_binary(&self.engine, bytes).map_err(PluginError::NotAComponent)?;
        let mut compiled = compiled();
        if compiled.len() < COMPILED_MAX {
            compiled.insert(digest, component.clone());
        }
        Ok(component)
    }

    /// An empty store behind the limits, its time for a first call already running.
    ///
    /// # Errors
    /// None that a plugin could cause.
    pub(crate) fn store(&self) -> Result<Store<Walls>, PluginError> {
        let mut store = Store::new(&self.engine, Walls::new(&self.options, self.long_call, self.ticker.as_ref().map(Ticker::waker)));
        store.limiter(|walls| &mut walls.limits);
        if matches!(self.options.interruption, Interruption::Time { .. }) {
            store.epoch_deadline_callback(|mut store| Ok(store.data_mut().look()));
        }
        self.allow_a_call(&mut store)?;
        Ok(store)
    }

    /// Gives a store the whole time of one call, from now on.
    ///
    /// # Errors
    /// None that a plugin could cause.
    pub(crate) fn allow_a_call(&self, store: &mut Store<Walls>) -> Result<(), PluginError> {
        match self.options.interruption {
            Interruption::Time { .. } => {
                let ticks = store.data_mut().begin();
                store.set_epoch_deadline(ticks);
                Ok(())
            }
            Interruption::Fuel { call_max } => store.set_fuel(call_max).map_err(PluginError::Trapped),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
