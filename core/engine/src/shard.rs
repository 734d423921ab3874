//! A shard as the rest of the engine sees it: the published state, and a bounded queue to its single writer.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use proximadb_model::{CollectionPatch, ShardId, ShardState};
use proximadb_ports::{Durability, Fault, PortError, Result, WriteOutcome};
use tokio::sync::{mpsc, oneshot};

use crate::parts::SiteAccess;
use crate::resolve::ShardChanges;
use crate::site::SiteRef;
use crate::snapshot::Snapshot;

/// A write on its way to a shard.
pub(crate) struct ShardWrite {
    pub(crate) changes: ShardChanges,
    pub(crate) durability: Durability,
    pub(crate) reply: oneshot::Sender<Result<ShardOutcome>>,
}

/// What a shard did with its part of a write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardOutcome {
    pub(crate) outcome: WriteOutcome,
    /// A delete by filter has left some for another round.
    pub(crate) more: bool,
}

/// What a shard is told besides writes.
pub(crate) enum Order {
    Flush(oneshot::Sender<Result<()>>),
    Update(CollectionPatch, oneshot::Sender<Result<()>>),
    Drop(oneshot::Sender<Result<()>>),
    Stop(oneshot::Sender<()>),
}

/// A shard that is open.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) site: SiteRef,
    /// The site's adapters as they were when the shard was opened.
    pub(crate) home: Arc<SiteAccess>,
    pub(crate) state: ArcSwap<Snapshot>,
    pub(crate) writes: mpsc::Sender<ShardWrite>,
    pub(crate) orders: mpsc::Sender<Order>,
    trouble: Mutex<Option<String>>,
}

impl Shard {
    pub(crate) fn new(
        id: ShardId,
        site: SiteRef,
        home: Arc<SiteAccess>,
        state: Snapshot,
        writes: mpsc::Sender<ShardWrite>,
        orders: mpsc::Sender<Order>,
    ) -> Arc<Self> {
        Arc::new(Self { id, site, home, state: ArcSwap::from_pointee(state), writes, orders, trouble: Mutex::new(None) })
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.state.load_full()
    }

    /// What is wrong with the shard at the moment.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_trouble(&self, what: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    pub(crate) async fn write(&self, changes: ShardChanges, durability: Durability) -> Result<ShardOutcome> {
        let (reply, answer) = oneshot::channel();
        self.writes.send(ShardWrite { changes, durability, reply }).await.map_err(|_| self.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    pub(crate) async fn flush(&self) -> Result<()> {
        self.order(Order::Flush).await
    }

    pub(crate) async fn update(&self, patch: CollectionPatch) -> Result<()> {
        self.order(|reply| Order::Update(patch, reply)).await
    }

    pub(crate) async fn drop_files(&self) -> Result<()> {
        self.order(Order::Drop).await
    }

    /// Ends the writer after what it is doing.
    pub(crate) async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        if self.orders.send(Order::Stop(reply)).await.is_ok() {
            let _ = answer.await;
        }
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.state.load().manifest.state == ShardState::Dropped
    }

    /// Bytes of the shard's segments and sidecars.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let bytes = |s: &proximadb_model::SegmentEntry| {
            s.meta.bytes + s.dead.as_ref().map_or(0, |(m, _)| m.bytes) + s.index.as_ref().map_or(0, |(m, _)| m.bytes)
        };
        self.state.load().manifest.segments.iter().map(bytes).sum()
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<Result<()>>) -> Order) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| self.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    fn closed(&self) -> PortError {
        PortError::new(Fault::Unavailable, "shard", self.id, "the shard's writer has ended")
    }
}
