//! Moving a shard to another site: its files are copied while it serves; then the writer flushes what is left, hands the shard over
//! by a manifest on either site, and ends.
//!
//! The old site says first that the shard is moving, and where to; then the new site gets a manifest of the next epoch. A crash in
//! between finds no manifest on the new site, and the shard still lives on the old one, as soon as the new site can be asked. Where it stays unknown whether the new
//! manifest was written, the old site goes on under an epoch beyond that one, so that exactly one of the two counts.

use std::collections::HashMap;
use std::sync::Arc;

use proximadb_model::{Epoch, Manifest, ManifestNumber, Memtable, SegmentEntry, ShardState};
use proximadb_ports::{Fault, PortError, Result, chain};
use tokio::sync::mpsc;

use super::{Event, Inbox, Put, Snapshot, Writer};
use crate::background::{Copied, Workshop};
use crate::shard::{HandedOver, MoveOrder};
use crate::shard_files::ShardFiles;

/// A move on its way.
pub(super) struct Move {
    order: MoveOrder,
    /// The shard's files on the target.
    shop: Workshop,
    trash: mpsc::UnboundedReceiver<proximadb_model::FileId>,
    step: Step,
}

/// A move that is done, to be told to whoever asked for it.
pub(super) struct Left {
    reply: tokio::sync::oneshot::Sender<Result<HandedOver>>,
    snapshot: Snapshot,
    shop: Workshop,
    trash: mpsc::UnboundedReceiver<proximadb_model::FileId>,
}

enum Step {
    /// Waits until nothing else changes the segments.
    Wanted,
    Copying,
    /// Everything that was there is copied; only the last part is missing.
    Copied(Copied),
}

impl Writer {
    pub(super) fn begin_move(&mut self, order: MoveOrder) {
        let refuse = |why: &str| PortError::new(Fault::Conflict, "shard.move", self.shard.id, why);
        if self.moving.is_some() || self.shard.is_dropped() {
            let _ = order.reply.send(Err(refuse("the shard is moved already, or was dropped")));
            return;
        }
        if order.target.id == self.shard.home.id {
            let _ = order.reply.send(Err(refuse("the shard lies there")));
            return;
        }
        let (sender, trash) = mpsc::unbounded_channel();
        let files = ShardFiles::new(self.shard.id, &order.target);
        let shop = Workshop { env: Arc::clone(&self.shop.env), files, trash: sender };
        self.moving = Some(Move { order, shop, trash, step: Step::Wanted });
    }

    /// Whether a move keeps other work on segments from beginning.
    pub(super) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Takes the next step of a move where one is due.
    pub(super) async fn go_on_moving(&mut self) {
        let (maintaining, flushing) = (self.maintaining, self.flushing);
        match &mut self.moving {
            Some(going) if matches!(going.step, Step::Wanted) && !maintaining => {
                going.step = Step::Copying;
                let (from, to, copied) = (self.shop.clone(), going.shop.clone(), Arc::clone(&going.order.copied));
                let (snapshot, finished) = (self.shard.snapshot(), self.finished.clone());
                self.shop.env.executor.spawn(
                    "shard-copy",
                    Box::pin(async move {
                        let mut known = Copied { views: HashMap::new() };
                        let result = from.copy_to(&to, &snapshot.manifest, &snapshot.metric, &copied, &mut known).await;
                        let _ = finished.send(Event::Copied(result.map(|()| known))).await;
                    }),
                );
            }
            Some(going) if matches!(going.step, Step::Copied(_)) && !flushing => {
                let Some(Move { order, shop, trash, step: Step::Copied(copied) }) = self.moving.take() else { return };
                match self.hand_over(&order, &shop, copied).await {
                    Ok(snapshot) => self.handed_over = Some(Left { reply: order.reply, snapshot, shop, trash }),
                    Err(e) => {
                        Self::clear_target(&shop).await;
                        let _ = order.reply.send(Err(e));
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) async fn finish_copy(&mut self, copied: Result<Copied>) {
        match (copied, self.moving.take()) {
            (Ok(copied), Some(going)) => self.moving = Some(Move { step: Step::Copied(copied), ..going }),
            (Err(e), Some(going)) => {
                Self::clear_target(&going.shop).await;
                let _ = going.order.reply.send(Err(e));
            }
            (_, None) => {}
        }
    }

    /// Removes from the target what was copied for nothing, as far as that is possible; a later move to it overwrites it.
    async fn clear_target(shop: &Workshop) {
        if let Err(e) = shop.files.delete_all().await {
            tracing::warn!(shard = %shop.files.shard, error = chain(&e), "what a failed move had copied could not be removed");
        }
    }

    async fn hand_over(&mut self, order: &MoveOrder, shop: &Workshop, mut copied: Copied) -> Result<Snapshot> {
        self.open_log().await?;
        self.flush_now().await?;
        let before = self.snapshot();
        self.shop.copy_to(shop, &before.manifest, &before.metric, &order.copied, &mut copied).await?;
        let segments = before.segments.iter().map(|view| {
            let there = copied.views.remove(&view.segment.meta.id);
            // The rows that are dead now, some of which have died since the file beside the segment was written.
            there.map(|there| crate::snapshot::SegmentView { dead: Arc::clone(&view.dead), ..there })
        });
        let segments = segments.collect::<Option<Vec<_>>>();
        let segments = segments.ok_or_else(|| PortError::new(Fault::Internal, "shard.move", self.shard.id, "a segment was not opened"))?;
        let target = order.target.id;
        let left = self.commit(|manifest| manifest.state = ShardState::Moving(target)).await?;
        let arrived = Manifest {
            number: ManifestNumber(left.number.0 + 1),
            epoch: Epoch(left.epoch.0 + order.epochs),
            site: target,
            state: ShardState::Live,
            put_id: self.shop.env.entropy.uid(),
            ..Manifest::clone(&left)
        };
        if let Err(e) = Self::arrive(shop, &arrived).await {
            // Whether the manifest is there or not, it counts for nothing once there is one of a later epoch here.
            self.log = None;
            self.epoch = Epoch(arrived.epoch.0 + 1);
            let manifest = self.commit(|manifest| manifest.state = ShardState::Live).await?;
            let mut snapshot = Snapshot::clone(&self.snapshot());
            snapshot.manifest = manifest;
            self.publish(snapshot);
            return Err(e);
        }
        Ok(Snapshot {
            manifest: Arc::new(arrived),
            metric: Arc::clone(&before.metric),
            active: Memtable::new(before.dimension()),
            frozen: None,
            segments,
            remembered: Arc::clone(&before.remembered),
        })
    }

    async fn arrive(shop: &Workshop, manifest: &Manifest) -> Result<()> {
        match shop.files.put_manifest(manifest).await? {
            Put::Done => Ok(()),
            Put::Taken(_) => Err(PortError::new(Fault::Conflict, "shard.move", manifest.shard, "the target has a manifest of this shard")),
        }
    }

    /// Writes everything that is in memory as a segment, and waits for it.
    async fn flush_now(&mut self) -> Result<()> {
        loop {
            let mut snapshot = Snapshot::clone(&self.snapshot());
            if snapshot.frozen.is_none() {
                if snapshot.active.last() <= snapshot.manifest.flushed_through {
                    return Ok(());
                }
                let empty = Memtable::new(snapshot.dimension());
                snapshot.frozen = Some(std::mem::replace(&mut snapshot.active, empty));
                self.publish(snapshot.clone());
            }
            let Some(frozen) = snapshot.frozen.clone() else { return Ok(()) };
            let flushed = self.shop.flush(&snapshot, &frozen).await;
            self.finish_flush(flushed).await?;
        }
    }

    /// Ends a writer whose shard lives elsewhere now.
    pub(super) fn leave(self) {
        let Some(Left { reply, snapshot, shop, trash }) = self.handed_over else { return };
        let inbox = Inbox { writes: self.writes, orders: self.orders, trash };
        // When nobody waits for it any more the process is ending, and the next start finds the shard on its new site.
        let _ = reply.send(Ok(HandedOver { snapshot, shop, inbox, old_readers: self.trash }));
    }
}

/// The files of one segment, for those who count what a move has to copy.
pub(crate) fn bytes_of(entry: &SegmentEntry) -> u64 {
    entry.meta.bytes + entry.dead.as_ref().map_or(0, |(m, _)| m.bytes) + entry.index.as_ref().map_or(0, |(m, _)| m.bytes)
}
