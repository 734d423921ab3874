//! Reading stored files again, slowly, so that damage is found while there is another copy.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::Engine;
use proximadb_ports::chain;

use crate::repair::{self, Pace};
use crate::shard_files::ShardFiles;
use crate::site::SiteRef;

/// Runs for one site until the engine is stopped or gone.
pub(super) async fn scrub_site(engine: Weak<Engine>, site: SiteRef, mut stopped: watch::Receiver<bool>) {
    let mut pause = Duration::from_secs(60);
    loop {
        let Some(held) = engine.upgrade() else { return };
        let (clock, every) = (Arc::clone(&held.env.clock), held.env.settings.scrub_every);
        drop(held);
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = clock.sleep(pause.min(every)) => {}
        }
        let Some(held) = engine.upgrade() else { return };
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = held.scrub(&site) => {}
        }
        pause = every;
    }
}

impl Engine {
    /// Looks at all shards of a site once.
    async fn scrub(&self, site: &SiteRef) {
        let pace = Pace { clock: &*self.env.clock, bytes_per_second: self.env.settings.scrub_bytes_per_second };
        for shard in self.catalog.shards().into_iter().filter(|shard| Arc::ptr_eq(&shard.site, site)) {
            let files = ShardFiles::new(shard.id, &shard.home);
            // The snapshot keeps the segments' files from being removed meanwhile.
            let snapshot = shard.snapshot();
            let subject = format!("files of shard {}", shard.id);
            match repair::scrub(&self.env, &files, &shard.home, &snapshot.manifest, &pace).await {
                Ok(damaged) if damaged.is_empty() => self.env.clear_problem(&subject),
                // Sidecars of a manifest that has been replaced meanwhile are gone rightly.
                Ok(_) if shard.snapshot().manifest.number != snapshot.manifest.number => {}
                Ok(damaged) => self.env.problem(subject, format!("damaged, without a whole copy: {}", damaged.join(", "))),
                Err(e) => tracing::warn!(shard = %shard.id, error = chain(&e), "its files could not be checked"),
            }
        }
    }
}
