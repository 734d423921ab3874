//! The command line. Everything else is a setting.

use std::path::PathBuf;

use clap::Parser;

/// A vector database: REST on 5678, gRPC on 5679, data in open Parquet.
#[derive(Parser, Debug)]
#[command(name = "proximadb-server", version)]
pub(crate) struct Arguments {
    /// A TOML file with settings; what it does not say has its default.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of logs and segments, unless the settings name disks or buckets.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Check the settings, tell what they describe, and end.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Check that a WebAssembly component is a plugin that can be relied on, tell what it costs, and end.
    #[arg(long, value_name = "FILE")]
    pub(crate) check_plugin: Option<PathBuf>,
    /// With --check-plugin: what the plugin is told.
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "check_plugin")]
    pub(crate) plugin_settings: String,
    /// With --check-plugin: components of the vectors.
    #[arg(long, value_name = "N", default_value_t = 384, requires = "check_plugin")]
    pub(crate) plugin_dimension: usize,
    /// Load sample sentences with their embeddings into the collection `sample` and show a first search.
    #[arg(long)]
    pub(crate) sample: bool,
}
