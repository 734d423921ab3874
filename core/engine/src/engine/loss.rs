//! Going on without what is damaged for good, when an operator says so.

use std::sync::Arc;

use proximadb_model::{CollectionRef, Epoch, Manifest, Sequence, ShardId, ShardState};
use proximadb_ports::{Fault, Loss, PortError, Result};

use super::Engine;
use crate::catalog::{Gap, OpenCollection, Slot};
use crate::recover::{self, FoundShard};
use crate::shard_files::{Put, ShardFiles};

impl Engine {
    /// Drops a shard that cannot be opened: a manifest after the last one says so, and its files go with the next start.
    pub(super) async fn drop_damaged(&self, collection: &OpenCollection, index: u32, gap: &Gap) -> Result<()> {
        let id = ShardId { collection: collection.id, index };
        let away = || PortError::new(Fault::Unavailable, "collection.drop", id, gap.why.clone());
        let access = gap.site.and_then(|site| self.site(site)).ok_or_else(away)?.access()?;
        let files = ShardFiles::new(id, &access);
        let last = files.manifest_numbers().await?.last().copied().unwrap_or_default();
        let dropped = Manifest {
            number: last.plus(1),
            shard: id,
            site: access.id,
            epoch: Epoch(u64::from(u32::MAX)),
            collection: collection.describe(),
            state: ShardState::Dropped,
            flushed_through: Sequence(0),
            segments: Vec::new(),
            remembered: Vec::new(),
            written: self.env.clock.now(),
            put_id: self.env.entropy.uid(),
        };
        match files.put_manifest(&dropped).await? {
            Put::Done => {
                self.env.clear_problem(&format!("shard {id}"));
                Ok(())
            }
            Put::Taken(_) => Err(PortError::new(Fault::Fenced, "collection.drop", id, "another writer has taken over this shard")),
        }
    }

    pub(super) async fn give_up(&self, collection: &CollectionRef) -> Result<Vec<Loss>> {
        let _turn = self.directory.lock().await;
        let found = self.catalog.find(collection)?;
        let mut losses = Vec::new();
        for (index, slot) in found.slots().iter().enumerate() {
            let Slot::Missing(gap) = slot else { continue };
            let id = ShardId { collection: found.id, index: index as u32 };
            let site = gap.site.and_then(|site| self.site(site));
            let (Some(site), Fault::Corrupt) = (site, gap.fault) else {
                let message = format!("shard {index} is away, which is no loss: {}", gap.why);
                return Err(PortError::new(Fault::Unavailable, "collection.accept_loss", found.id, message));
            };
            let access = site.access()?;
            let files = ShardFiles::new(id, &access);
            let number = files.manifest_numbers().await?.last().copied();
            let number = number.ok_or_else(|| {
                PortError::new(
                    Fault::Corrupt,
                    "collection.accept_loss",
                    id,
                    "nothing is left of this shard; the collection can only be dropped",
                )
            })?;
            let manifest = files.read_manifest(number).await?;
            let found_shard = FoundShard { site: Arc::clone(site), access, manifest };
            let (shard, lost) = recover::open_without_lost(&self.env, found_shard).await?;
            for loss in &lost {
                tracing::warn!(shard = %id, what = loss.what, rows = loss.rows, "given up");
            }
            losses.extend(lost);
            found.set_slot(index as u32, Slot::Open(shard));
            self.env.clear_problem(&format!("shard {id}"));
        }
        self.report_gaps();
        Ok(losses)
    }
}
