//! The rules between settings and the ranges that their types cannot say. What concerns sites is checked where they are made.

use std::net::SocketAddr;

use proximadb_model::limits::TIMEOUT_MS_MAX;

use crate::error::ConfigError;
use crate::settings::Settings;
use crate::wal::DistributionStrategy;

/// Smaller logs would be all headers.
const FILE_BYTES_MIN: u64 = 64 << 10;
/// With less, the parts that are bounded by a share of it could not do their work.
const BUDGET_BYTES_MIN: u64 = 16 << 20;
/// Larger numbers of threads are a slip of the keyboard.
const THREADS_MAX: u64 = 1_024;
/// More connections than a process may have files open.
const CONNECTIONS_MAX: u64 = 1 << 20;
/// An hour; whoever waits longer than this for a server to stop kills it.
const DRAIN_SECONDS_MAX: u64 = 3_600;

impl Settings {
    /// Checks everything that does not need the working directory.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_server()?;
        let wal = &self.storage.wal_config;
        range("compute.threads", u64::from(self.compute.threads), 0, THREADS_MAX)?;
        range("search.timeout_ms", self.search.timeout_ms, 1, TIMEOUT_MS_MAX)?;
        if self.memory.budget_bytes > 0 {
            range("memory.budget_bytes", self.memory.budget_bytes, BUDGET_BYTES_MIN, 1 << 50)?;
        }
        range("memory.filter_bytes_max", self.memory.filter_bytes_max, 0, 1 << 50)?;
        range("storage.segment.compression_level", u64::from(self.storage.segment.compression_level), 1, 22)?;
        range("storage.wal_config.file_bytes_max", wal.file_bytes_max, FILE_BYTES_MIN, u64::from(u32::MAX))?;
        range("storage.wal_config.memory_flush_size_bytes", wal.memory_flush_size_bytes, 1, 1 << 40)?;
        range("storage.wal_config.copies", u64::from(wal.copies), 0, 2)?;
        let disk = &self.storage.disk;
        let times = [
            ("check_every_ms", disk.check_every_ms),
            ("answer_within_ms", disk.answer_within_ms),
            ("deadline_ms", disk.deadline_ms),
            ("copy_deadline_ms", disk.copy_deadline_ms),
        ];
        for (name, value) in times {
            range(&format!("storage.disk.{name}"), value, 10, TIMEOUT_MS_MAX)?;
        }
        range("storage.disk.scrub_every_seconds", disk.scrub_every_seconds, 1, 366 * 86_400)?;
        if !wal.collection_affinity {
            let reason = "must be true: the log, the segments and the indexes of a shard always stay on one site";
            return Err(ConfigError::contradiction("storage.wal_config.collection_affinity", reason));
        }
        if wal.fallback_strategy.plugin().is_some() {
            let reason = "must be a built-in strategy: it is what is left when a plugin fails";
            return Err(ConfigError::contradiction("storage.wal_config.fallback_strategy", reason));
        }
        self.check_plugins()?;
        if !wal.manual.is_empty() && !wal.may_ask_for(&DistributionStrategy::Manual) {
            let reason = "is read only with distribution_strategy = \"Manual\"";
            return Err(ConfigError::contradiction("storage.wal_config.manual", reason));
        }
        Ok(())
    }

    fn check_server(&self) -> Result<(), ConfigError> {
        let server = &self.server;
        range("server.drain_seconds", server.drain_seconds, 0, DRAIN_SECONDS_MAX)?;
        range("server.connections_max", u64::from(server.connections_max), 1, CONNECTIONS_MAX)?;
        range("server.threads", u64::from(server.threads), 0, THREADS_MAX)?;
        if server.rest_listen == server.grpc_listen && server.rest_listen.port() != 0 {
            let reason = format!("is {} like server.rest_listen; REST and gRPC need an address each", server.grpc_listen);
            return Err(ConfigError::contradiction("server.grpc_listen", reason));
        }
        for (key, address) in [("server.rest_listen", server.rest_listen), ("server.grpc_listen", server.grpc_listen)] {
            if !is_loopback(address) && !server.allow_unauthenticated_network {
                let reason = format!(
                    "{address} can be reached from the network, and the server does not authenticate anybody; \
                     use a loopback address such as 127.0.0.1:{}, or set server.allow_unauthenticated_network = true if all who can \
                     reach it may read, change and delete everything",
                    address.port()
                );
                return Err(ConfigError::contradiction(key, reason));
            }
        }
        Ok(())
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

pub(crate) fn range(key: &str, value: u64, low: u64, high: u64) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::contradiction(key, format!("must be {low} to {high}, got {value}")))
    }
}
