//! The worlds of `plugins/wit/v0_1` as Rust, generated at compile time: what the macros of this crate expand to, and the way out
//! for a plugin that wants the contract as it stands.
#![allow(missing_docs, unsafe_code, clippy::all, reason = "the code is not written here; its documentation is the WIT's")]

/// The world `metric-plugin`.
pub mod metric {
    wit_bindgen::generate!({
        path: "../wit/v0_1",
        world: "metric-plugin",
        pub_export_macro: true,
        default_bindings_module: "proximadb_plugin_guest::bindings::metric",
    });
}

/// The world `assigner-plugin`.
pub mod assigner {
    wit_bindgen::generate!({
        path: "../wit/v0_1",
        world: "assigner-plugin",
        pub_export_macro: true,
        default_bindings_module: "proximadb_plugin_guest::bindings::assigner",
    });
}
