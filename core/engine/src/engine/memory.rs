//! Keeping within the memory that the process may take: originals come where there is room, and memtables are flushed where there is
//! none.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use proximadb_model::FileId;
use proximadb_ports::{Fault, chain};
use tokio::sync::watch;

use super::Engine;
use crate::env::Env;
use crate::segment_build;
use crate::snapshot::Segment;

/// How often the ledger is looked at when nothing has changed that is told; searches and memtables do not tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause before what could not be read is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Segments whose originals could not be read, with what health says of it and the time before which they are not tried again.
type Failed = BTreeMap<FileId, (String, Duration)>;

/// Runs until the engine is stopped or gone.
pub(super) async fn keep_within_memory(engine: Weak<Engine>, mut stopped: watch::Receiver<bool>) {
    let mut failed = Failed::new();
    loop {
        let Some(held) = engine.upgrade() else { return };
        let env = Arc::clone(&held.env);
        drop(held);
        let look = env.memory.look(0);
        if look.is_over
            && let Some(shard) = env.memory.fullest_shard()
            && let Err(e) = shard.flush().await
        {
            tracing::warn!(shard = %shard.id, error = chain(&e), "memory cannot be freed");
        }
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = bring(&env, look.bring, &mut failed) => {}
        }
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = env.memory.changed.notified() => {}
            () = env.clock.sleep(LOOK_EVERY) => {}
        }
    }
}

/// Brings originals, of each site one segment after the other.
async fn bring(env: &Env, segments: Vec<Arc<Segment>>, failed: &mut Failed) {
    let now = env.clock.monotonic();
    let mut by_site: BTreeMap<usize, Vec<Arc<Segment>>> = BTreeMap::new();
    for segment in segments.into_iter().filter(|segment| failed.get(&segment.meta.id).is_none_or(|(_, again)| *again <= now)) {
        by_site.entry(segment.store_number()).or_default().push(segment);
    }
    let of_site = |segments: Vec<Arc<Segment>>| async move {
        let mut outcomes = Vec::new();
        for segment in segments {
            // Somebody may have dropped it meanwhile.
            if Arc::strong_count(&segment) > 1 {
                outcomes.push((segment.meta.id, segment_build::bring_originals(&segment).await));
            }
        }
        outcomes
    };
    for (id, outcome) in join_all(by_site.into_values().map(of_site)).await.into_iter().flatten() {
        match outcome {
            Ok(_) => {
                if let Some((subject, _)) = failed.remove(&id) {
                    env.clear_problem(&subject);
                }
            }
            Err(e) => {
                let subject = format!("originals of segment {id}");
                env.problem_once(subject.clone(), chain(&e));
                let again = if e.fault == Fault::Corrupt { Duration::MAX } else { env.clock.monotonic().saturating_add(AGAIN_AFTER) };
                failed.insert(id, (subject, again));
            }
        }
    }
}
