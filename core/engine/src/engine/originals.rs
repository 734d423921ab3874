//! Bringing what searches can do without at first: the originals of graphs, one segment after the other for each site.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use proximadb_model::ShardId;
use proximadb_ports::{Fault, chain};
use tokio::sync::watch;

use super::Engine;
use crate::env::Env;
use crate::segment_build;
use crate::shard::Shard;
use crate::snapshot::Segment;

/// Pause before what could not be read is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn bring_originals<'a>(&self, shards: impl Iterator<Item = &'a Arc<Shard>>) {
        let mut by_site: BTreeMap<u32, Vec<(ShardId, Weak<Segment>)>> = BTreeMap::new();
        for shard in shards {
            let of_site = by_site.entry(shard.site.instance).or_default();
            of_site.extend(shard.snapshot().segments.iter().map(|view| (shard.id, Arc::downgrade(&view.segment))));
        }
        for segments in by_site.into_values() {
            let task = bring(Arc::clone(&self.env), segments, self.stopping.subscribe());
            self.env.executor.spawn("originals", Box::pin(task));
        }
    }
}

/// Brings the originals of segments that are still there when their turn comes.
async fn bring(env: Arc<Env>, segments: Vec<(ShardId, Weak<Segment>)>, stopping: watch::Receiver<bool>) {
    for (shard, segment) in segments {
        let mut subject = None;
        while !*stopping.borrow()
            && let Some(segment) = segment.upgrade()
            && let Err(e) = segment_build::bring_originals(&segment).await
        {
            let named = format!("shard {shard}, segment {}", segment.meta.id);
            drop(segment);
            env.problem(named.clone(), chain(&e));
            subject = Some(named);
            if e.fault == Fault::Corrupt {
                break;
            }
            env.clock.sleep(AGAIN_AFTER).await;
        }
        if let Some(subject) = subject
            && segment.upgrade().is_none_or(|s| s.awaited.as_ref().is_none_or(|a| a.originals.get().is_some()))
        {
            env.clear_problem(&subject);
        }
    }
}
