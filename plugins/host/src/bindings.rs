//! The worlds of `plugins/wit/v0_1` as Rust types. Generated at compile time; nothing of them leaves this crate.

pub(crate) mod metric {
    wasmtime::component::bindgen!({ path: "../wit/v0_1", world: "metric-plugin" });
}

pub(crate) mod assigner {
    wasmtime::component::bindgen!({ path: "../wit/v0_1", world: "assigner-plugin" });
}
