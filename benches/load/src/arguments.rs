//! What the load generator is told.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Searches a running ProximaDB server with held-out queries, each once in a run, and prints a line of JSON for each breadth.
#[derive(Parser, Debug)]
#[command(name = "load", version)]
pub(crate) struct Arguments {
    /// Directory with base.f16.npy, queries.f16.npy, gt_none.npy and, for filters, meta.json and gt_FILTER.npy.
    pub(crate) data: PathBuf,
    /// How to speak to the server.
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    pub(crate) protocol: Protocol,
    /// Address of the server for this protocol; that of its default settings when absent.
    #[arg(long)]
    pub(crate) address: Option<String>,
    /// The collection; its records have the rows of the base as their ids.
    #[arg(long, default_value = "load")]
    pub(crate) collection: String,
    /// Make the collection, write every row of the base, and wait until all are indexed.
    #[arg(long)]
    pub(crate) ingest: bool,
    /// Records in one write.
    #[arg(long, default_value_t = 1_000, value_parser = 1..=10_000)]
    pub(crate) batch: i64,
    /// A file with one JSON object a row, the metadata of the records.
    #[arg(long)]
    pub(crate) metadata: Option<PathBuf>,
    /// Connections, each with `--streams` searches under way at any time.
    #[arg(long, default_value_t = 1, value_parser = 1..=1_024)]
    pub(crate) connections: i64,
    /// Searches under way at any time over each connection of gRPC.
    #[arg(long, default_value_t = 1, value_parser = 1..=1_024)]
    pub(crate) streams: i64,
    /// Breadths to try; none leaves it to the collection.
    #[arg(long, value_delimiter = ',')]
    pub(crate) ef: Vec<u64>,
    /// A filter of meta.json, such as f10.
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// Ask for the metadata of the hits.
    #[arg(long)]
    pub(crate) with_metadata: bool,
    /// Runs of which the median is told; each takes all queries once, in another order.
    #[arg(long, default_value_t = 5, value_parser = 1..=1_000)]
    pub(crate) runs: i64,
    /// Process of the server, whose CPU time is to be told.
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    /// Name of what is measured, in the lines.
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// File to append the lines to; standard output has them in any case.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// A way to speak to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// gRPC, vectors as packed bytes.
    Grpc,
    /// REST, vectors in JSON as base64.
    Rest,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Rest => "rest",
        }
    }

    pub(crate) fn default_address(self) -> &'static str {
        match self {
            Self::Grpc => "127.0.0.1:5679",
            Self::Rest => "127.0.0.1:5678",
        }
    }
}
