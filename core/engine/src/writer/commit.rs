//! The writer's commits: each step that changes which files count is one new manifest, durable before anything relies on it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proximadb_model::{Epoch, Manifest, ManifestNumber, Memtable, RowSet, SegmentEntry, ShardState};
use proximadb_ports::{Fault, PortError, Result, chain, mutants};

use super::{Event, OWN_GRAPH_PAUSE, OWN_GRAPH_PAUSE_MAX, Put, Snapshot, Writer};
use crate::background::{Flushed, Indexed, Merged, is_the_metrics_fault};
use crate::snapshot::SegmentView;

impl Writer {
    /// Opens the log for writing under a new epoch, unless it is open. Done with the first write, so that a start without
    /// writes changes nothing on disk.
    ///
    /// # Errors
    /// `Fenced` when another writer has taken over; those of the store and the log.
    pub(super) async fn open_log(&mut self) -> Result<()> {
        if self.log.is_some() {
            return Ok(());
        }
        if self.shard.is_dropped() {
            return Err(PortError::new(Fault::NotFound, "shard.open", self.shard.id, "the collection has been dropped"));
        }
        let before = self.epoch;
        self.epoch = Epoch(before.0 + 1);
        let manifest = match self.commit(|_| {}).await {
            Ok(manifest) => manifest,
            Err(e) => {
                self.epoch = before;
                return Err(e);
            }
        };
        let mut snapshot = Snapshot::clone(&self.snapshot());
        snapshot.manifest = manifest;
        self.publish(snapshot);
        let log = self.shard.home.wal.open(self.shard.id, self.epoch).await?;
        self.log = Some(log);
        Ok(())
    }

    /// Writes the next manifest and removes the one before. The caller publishes the state that belongs to it.
    ///
    /// # Errors
    /// `Fenced` when the number is taken by another writer; those of the store.
    pub(super) async fn commit(&mut self, edit: impl FnOnce(&mut Manifest)) -> Result<Arc<Manifest>> {
        let env = Arc::clone(&self.shop.env);
        let current = self.snapshot().manifest.clone();
        let mut next = Manifest::clone(&current);
        next.number = ManifestNumber(current.number.0 + 1);
        next.epoch = self.epoch;
        next.written = env.clock.now();
        // Whatever is committed here but the hand-over itself says that the shard lives here.
        if matches!(next.state, ShardState::Moving(_)) {
            next.state = ShardState::Live;
        }
        edit(&mut next);
        next.check().map_err(|e| PortError::new(Fault::Internal, "manifest.commit", self.shard.id, e.to_string()))?;
        loop {
            next.put_id = env.entropy.uid();
            match self.shop.files.put_manifest(&next).await {
                Ok(Put::Done) => break,
                // An earlier attempt of ours arrived after all; this state is newer and complete, so it takes the next number.
                Ok(Put::Taken(by)) if self.uncertain.contains(&by) => next.number = next.number.plus(1),
                Ok(Put::Taken(_)) => {
                    return Err(PortError::new(
                        Fault::Fenced,
                        "manifest.commit",
                        self.shard.id,
                        "another writer has taken over this shard",
                    ));
                }
                Err(e) => {
                    self.uncertain.push(next.put_id);
                    return Err(e);
                }
            }
        }
        self.uncertain.clear();
        let files = self.shop.files.clone();
        for number in current.number.0..next.number.0 {
            self.tidy("an old manifest", files.delete_manifest(ManifestNumber(number))).await;
        }
        Ok(Arc::new(next))
    }

    /// Whether the site is known to take writes. Where it is not, what only tidies up is left to the next time or the next start, so
    /// that what waits for the writer is refused soon and not after one deadline more for each file.
    pub(super) fn may_tidy(&self) -> bool {
        self.now() >= self.tidy_from && self.shard.site.takes_writes().is_ok()
    }

    /// Deletes something that no manifest names any more, where the site is known to take it, and waits for it no longer than for a look
    /// at the site. What stays is cleared at the next start: what has been committed has happened all the same.
    pub(super) async fn tidy(&mut self, what: &'static str, delete: impl Future<Output = Result<()>>) {
        if !self.may_tidy() {
            return;
        }
        let env = Arc::clone(&self.shop.env);
        let late = || Err(PortError::new(Fault::Unavailable, "shard.tidy", self.shard.id, "takes long"));
        let deleted = env.within(env.settings.site_answer_within, delete).await.unwrap_or_else(late);
        self.note_tidied(what, deleted);
    }

    /// Where something could not be tidied up, nothing more is tried for a while.
    fn note_tidied(&mut self, what: &'static str, result: Result<()>) {
        if let Err(e) = result {
            tracing::warn!(shard = %self.shard.id, error = chain(&e), "{what} could not be deleted");
            self.tidy_from = self.now() + self.shop.env.settings.retry_after;
            self.shard.site.suspected.notify_one();
        }
    }

    /// Takes over finished background work, or notes its failure and tries again later.
    pub(super) async fn finish(&mut self, event: Event) {
        if self.shard.is_dropped() {
            self.flushing = false;
            self.maintaining = false;
            if let Event::Copied(_) = event {
                let gone = PortError::new(Fault::NotFound, "shard.move", self.shard.id, "the collection has been dropped");
                self.finish_copy(Err(gone)).await;
            }
            return;
        }
        let (what, result) = match event {
            Event::Copied(copied) => return self.finish_copy(copied).await,
            Event::Flushed(flushed) => {
                self.flushing = false;
                let result = self.finish_flush(flushed).await;
                self.settle_flush(&result);
                ("flush", result)
            }
            Event::Merged(merged) => {
                self.maintaining = false;
                ("merge", self.finish_merge(merged).await)
            }
            Event::Indexed(indexed) => {
                self.maintaining = false;
                let result = self.finish_index(indexed).await;
                self.put_off_graphs(&result);
                ("index", result)
            }
        };
        let subject = format!("{what} of shard {}", self.shard.id);
        match result {
            Ok(()) => self.shop.env.clear_problem(&subject),
            Err(e) => {
                // What waits for memory says the same each time.
                self.shop.env.problem_once(subject, chain(&e));
                self.retry_at = self.now() + self.shop.env.settings.retry_after;
            }
        }
    }

    /// Leaves graphs alone for a while whose rows a plugin failed to compare: all that was done for one is lost each time.
    fn put_off_graphs(&mut self, result: &Result<()>) {
        self.graph_pause = match result {
            Err(e) if is_the_metrics_fault(&self.snapshot().metric, e) => {
                (self.graph_pause * 2).clamp(OWN_GRAPH_PAUSE, OWN_GRAPH_PAUSE_MAX)
            }
            _ => Duration::ZERO,
        };
        self.graph_at = self.now() + self.graph_pause;
    }

    fn settle_flush(&mut self, result: &Result<()>) {
        match result {
            Ok(()) => {
                self.flush_failure = None;
                let snapshot = self.snapshot();
                // Those who asked while this flush ran wait for the rest too.
                if snapshot.active.last() <= snapshot.manifest.flushed_through {
                    self.flush_waiters.drain(..).for_each(|w| drop(w.send(Ok(()))));
                }
            }
            Err(e) => {
                self.flush_failure = Some(e.duplicate());
                self.flush_waiters.drain(..).for_each(|w| drop(w.send(Err(e.duplicate()))));
            }
        }
    }

    pub(super) async fn finish_flush(&mut self, flushed: Result<Flushed>) -> Result<()> {
        let Flushed { through, view, dead, remembered } = flushed?;
        self.open_log().await?;
        let entry = view.as_ref().map(|v| SegmentEntry { meta: v.segment.meta.clone(), dead: None, index: None });
        let replaced: Vec<_> = dead.iter().map(|(segment, _, _)| *segment).collect();
        let before = self.snapshot();
        if mutants::is_on("bug_early_truncate") {
            self.shard.home.wal.truncate(self.shard.id, through).await?;
        }
        let manifest = self
            .commit(|manifest| {
                manifest.flushed_through = through;
                manifest.remembered = remembered;
                for (segment, meta, count) in dead {
                    // A segment that was merged away meanwhile took its dead rows along.
                    if let Some(entry) = manifest.segments.iter_mut().find(|s| s.meta.id == segment) {
                        entry.dead = Some((meta, count));
                    }
                }
                manifest.segments.extend(entry);
            })
            .await?;
        let mut snapshot = Snapshot::clone(&self.snapshot());
        if let (Some(mut view), Some(frozen)) = (view, snapshot.frozen.take()) {
            view.dead = Arc::new(died_since_freeze(&view, &frozen));
            snapshot.segments.push(view);
        }
        snapshot.frozen = None;
        snapshot.manifest = manifest;
        self.publish(snapshot);
        let files = self.shop.files.clone();
        for entry in before.manifest.segments.iter().filter(|s| replaced.contains(&s.meta.id)) {
            if let Some((meta, _)) = &entry.dead {
                self.tidy("an old deletion vector", files.delete_dead(meta.id)).await;
            }
        }
        self.shorten_log().await;
        Ok(())
    }

    /// Lets the log forget what is in segments.
    pub(super) async fn shorten_log(&mut self) {
        if self.may_tidy() && may_truncate(&self.shard.home) {
            let through = self.snapshot().manifest.flushed_through;
            // There may be many files, so it has the time that it takes; a log that does not answer refuses what comes next at once.
            let shortened = self.shard.home.wal.truncate(self.shard.id, through).await;
            self.note_tidied("what the log no longer needs", shortened);
        }
    }

    async fn finish_merge(&mut self, merged: Result<Merged>) -> Result<()> {
        let Merged { sources, view, index } = merged?;
        self.open_log().await?;
        let before = self.snapshot();
        let view = view.map(|mut view| {
            view.dead = Arc::new(died_since_merge(&view, &sources, &before));
            view
        });
        // The log may be truncated beyond deletes that came while the merge ran, so they are written with it.
        let dead = match &view {
            Some(view) if view.dead.count() > 0 => Some((self.shop.write_dead(&view.dead).await?, view.dead.count() as u32)),
            _ => None,
        };
        let kind = self.shop.env.graph.kind().to_owned();
        let entry = view.as_ref().map(|v| SegmentEntry { meta: v.segment.meta.clone(), dead, index: index.map(|meta| (meta, kind)) });
        let is_source = |id| sources.iter().any(|(source, _)| *source == id);
        let manifest = self
            .commit(|manifest| {
                manifest.segments.retain(|s| !is_source(s.meta.id));
                manifest.segments.extend(entry);
            })
            .await?;
        let mut snapshot = Snapshot::clone(&self.snapshot());
        snapshot.manifest = manifest;
        for retired in snapshot.segments.extract_if(.., |v| is_source(v.segment.meta.id)) {
            retired.segment.retire();
        }
        snapshot.segments.extend(view);
        self.publish(snapshot);
        let files = self.shop.files.clone();
        for entry in before.manifest.segments.iter().filter(|s| is_source(s.meta.id)) {
            if let Some((old, _)) = &entry.index {
                self.shop.env.clear_problem(&format!("index {}", old.id));
            }
            self.tidy("a merged segment's sidecars", files.delete_sidecars(entry)).await;
        }
        Ok(())
    }

    async fn finish_index(&mut self, indexed: Result<Indexed>) -> Result<()> {
        let Indexed { segment, graph } = indexed?;
        self.open_log().await?;
        let kind = graph.index.kind().to_owned();
        let sidecar = graph.sidecar;
        let mut replaced = None;
        let manifest = self
            .commit(|manifest| {
                if let Some(entry) = manifest.segments.iter_mut().find(|s| s.meta.id == segment) {
                    replaced = entry.index.replace((sidecar, kind));
                }
            })
            .await?;
        let mut snapshot = Snapshot::clone(&self.snapshot());
        snapshot.manifest = manifest;
        if let Some(view) = snapshot.segments.iter_mut().find(|v| v.segment.meta.id == segment) {
            view.adopt(graph.index, graph.recall_estimate);
        }
        self.publish(snapshot);
        if let Some((old, _)) = replaced {
            self.shop.env.clear_problem(&format!("index {}", old.id));
            let files = self.shop.files.clone();
            self.tidy("a replaced graph", files.delete_index(old.id)).await;
        }
        Ok(())
    }

    /// Marks the shard as dropped, durably; its files go as their readers let go.
    pub(super) async fn drop_shard(&mut self) -> Result<()> {
        if self.shard.is_dropped() {
            return Ok(());
        }
        self.open_log().await?;
        let before = self.snapshot();
        let manifest = self
            .commit(|manifest| {
                manifest.state = ShardState::Dropped;
                manifest.segments.clear();
                manifest.remembered.clear();
            })
            .await?;
        let mut snapshot = Snapshot::clone(&self.snapshot());
        snapshot.manifest = manifest;
        snapshot.active = Memtable::new(snapshot.dimension());
        snapshot.frozen = None;
        for view in snapshot.segments.drain(..) {
            view.segment.retire();
        }
        self.publish(snapshot);
        self.log = None;
        let files = self.shop.files.clone();
        for entry in &before.manifest.segments {
            self.tidy("a dropped shard's sidecars", files.delete_sidecars(entry)).await;
        }
        let last = proximadb_model::Sequence(self.next.0.saturating_sub(1));
        self.shard.home.wal.truncate(self.shard.id, last).await
    }
}

/// Whether the log may forget what is in segments. While their second copies are not complete, but the log's are, it may not: with the
/// loss of this disk what it forgets would be lost. Once they are, the site's keeper lets it.
pub(crate) fn may_truncate(home: &crate::parts::SiteAccess) -> bool {
    home.mirror.as_ref().is_none_or(|mirror| mirror.behind().is_none()) || home.wal.degraded().is_some()
}

/// The rows of a fresh segment that were deleted or replaced after its memtable was frozen.
fn died_since_freeze(view: &SegmentView, frozen: &Memtable) -> RowSet {
    let mut dead = RowSet::none(view.rows());
    for block in frozen.blocks() {
        for row in block.dead().iter() {
            let id = block.rows().ids[row].as_str();
            mark(&mut dead, view, id, block.rows().sequences[row]);
        }
    }
    dead
}

/// The rows of a merged segment that were deleted or replaced in its sources after the merge began.
fn died_since_merge(view: &SegmentView, sources: &[(proximadb_model::FileId, Arc<RowSet>)], now: &Snapshot) -> RowSet {
    let mut dead = RowSet::none(view.rows());
    for (source, dead_then) in sources {
        let Some(source) = now.segments.iter().find(|v| v.segment.meta.id == *source) else { continue };
        let mut died = RowSet::clone(&source.dead);
        died.subtract(dead_then);
        for row in died.iter() {
            if let (Some(id), Some(sequence)) = (source.segment.ids.id(row), source.segment.sequences.get(row)) {
                mark(&mut dead, view, id, *sequence);
            }
        }
    }
    dead
}

/// Marks the row of `id` as dead, if it is the version with this sequence.
fn mark(dead: &mut RowSet, view: &SegmentView, id: &str, sequence: proximadb_model::Sequence) {
    if let Some(row) = view.segment.ids.find(id)
        && view.segment.sequences.get(row) == Some(&sequence)
    {
        dead.insert(row);
    }
}
