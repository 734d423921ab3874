//! Addresses and the manner of stopping. Binds nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the server listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Address of REST; port 0 takes a free one.
    pub rest_listen: SocketAddr,
    /// Address of gRPC; port 0 takes a free one.
    pub grpc_listen: SocketAddr,
    /// Whether gRPC describes itself to tools.
    pub reflection: bool,
    /// Seconds that requests under way get to finish when the server is told to stop.
    pub drain_seconds: u64,
    /// Connections that REST and gRPC each have at a time; who comes then waits.
    pub connections_max: u32,
    /// Threads that serve connections; 0 means one for each core.
    pub threads: u32,
    /// Whether addresses beyond loopback may be listened on although nobody has to say who they are.
    pub allow_unauthenticated_network: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            rest_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5678)),
            grpc_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5679)),
            reflection: false,
            drain_seconds: 10,
            connections_max: 4_096,
            threads: 0,
            allow_unauthenticated_network: false,
        }
    }
}

impl ServerSettings {
    /// Threads that serve connections on a machine with so many cores.
    pub fn connection_threads(&self, cores: usize) -> usize {
        if self.threads == 0 { cores } else { self.threads as usize }
    }

    /// The time to finish as a duration.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
