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
            allow_unauthenticated_network: false,
        }
    }
}

impl ServerSettings {
    /// The time to finish as a duration.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
