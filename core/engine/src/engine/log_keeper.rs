//! Keeping logs short: shards that hold back the oldest file of a log that has grown too long are flushed.

use proximadb_ports::chain;
use std::sync::{Arc, Weak};

use proximadb_model::CollectionRef;
use tokio::sync::watch;

use super::Engine;

impl Engine {
    /// Flushes the shards that keep the oldest file of a log that has grown too long, so that it can be freed.
    async fn shorten_logs(&self) {
        for site in &self.sites {
            let Ok(access) = site.access() else { continue };
            if access.wal.stats().bytes < self.env.settings.wal_bytes_max {
                continue;
            }
            for id in access.wal.oldest_holders().shards {
                let collection = self.catalog.find(&CollectionRef::Id(id.collection));
                let Ok(collection) = collection else { continue };
                if let Ok(shard) = collection.shard(id.index)
                    && let Err(e) = shard.flush().await
                {
                    tracing::warn!(shard = %id, error = chain(&e), "the log cannot be shortened");
                }
            }
        }
    }
}

/// Runs until the engine is stopped or gone.
pub(super) async fn keep_logs_short(engine: Weak<Engine>, mut stopped: watch::Receiver<bool>) {
    loop {
        let Some(held) = engine.upgrade() else { return };
        let (clock, every) = (Arc::clone(&held.env.clock), held.env.settings.wal_check_every);
        drop(held);
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = clock.sleep(every) => {}
        }
        let Some(held) = engine.upgrade() else { return };
        held.shorten_logs().await;
        held.bury_again().await;
    }
}
