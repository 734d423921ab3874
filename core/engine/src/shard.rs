//! A shard as the rest of the engine sees it: the published state, and a bounded queue to its single writer.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use proximadb_model::{CollectionPatch, FileId, ShardId, ShardState};
use proximadb_ports::{Durability, Fault, PortError, Result, WriteOutcome};
use tokio::sync::{mpsc, oneshot};

use crate::background::Workshop;
use crate::parts::SiteAccess;
use crate::resolve::ShardChanges;
use crate::site::SiteRef;
use crate::snapshot::Snapshot;
use crate::writer::Inbox;

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
    Move(MoveOrder),
    Stop(oneshot::Sender<()>),
}

/// Where a shard is to go.
pub(crate) struct MoveOrder {
    pub(crate) target: Arc<SiteAccess>,
    /// Bytes that have been copied.
    pub(crate) copied: Arc<AtomicU64>,
    /// By how much the epoch of the new place is beyond that of this one.
    pub(crate) epochs: u64,
    pub(crate) reply: oneshot::Sender<Result<HandedOver>>,
}

/// A shard that lies on another site now, without a writer yet. Whoever waits for an answer waits for the next writer's.
pub(crate) struct HandedOver {
    pub(crate) snapshot: Snapshot,
    pub(crate) shop: Workshop,
    pub(crate) inbox: Inbox,
    /// Ends once nobody reads the files on the old site any more.
    pub(crate) old_readers: mpsc::UnboundedReceiver<FileId>,
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

    /// Moves the shard's files to another site. Reads go on here until the caller shows them the other place; writes wait.
    ///
    /// # Errors
    /// `Conflict` while it is moved already; those of both sites. The shard stays where it is then.
    pub(crate) async fn hand_over(&self, target: Arc<SiteAccess>, copied: Arc<AtomicU64>, epochs: u64) -> Result<HandedOver> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Move(MoveOrder { target, copied, epochs, reply })).await.map_err(|_| self.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
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
        self.state.load().manifest.segments.iter().map(crate::writer::bytes_of).sum()
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
