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
    /// Load sample sentences with their embeddings into the collection `sample` and show a first search.
    #[arg(long)]
    pub(crate) sample: bool,
}
