//! Every object twice: on a site and on its partner. Knows which copies are complete; where the partner is, it does not.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join;
use proximadb_ports::{Clock, Fault, Filesystem, Mirror, ObjectInfo, Partner, PortError, PutMode, Result, Space};

use crate::keys::check_key;
use crate::tasks::{Begun, InFlight, joined, within};
use crate::turns::{Turn, Turns};

/// The slowest transfer to a partner that still counts as an answer; a put has so much more time for each byte.
const PARTNER_BYTES_PER_SECOND: u64 = 16 << 20;
/// Deadlines that an operation has for which no caller of a put or a delete waits: those of catching up, and reads.
const PATIENCE: u32 = 30;

const CATCH_UP: &str = "mirror.catch_up";

/// A store whose objects are on a second one as well.
///
/// Reads and listings ask the own site alone. A put or a delete goes to both sites at the same time and returns when both have done
/// it, or when the own site has and the partner has failed or not answered in time: then the copies are behind, and nothing asks the
/// partner again before [`Mirror::catch_up`]. Two kinds of puts go to the own site first, since what it refuses must never be found
/// on the partner: manifests, and `CreateOnly` puts while the copies are caught up. A key that is taken on the partner alone is
/// replaced there: the own site decides.
///
/// Whatever has begun goes on to its end, also where the caller leaves; changes of one key happen one after another. What the partner
/// was asked and did not answer in time may still happen there, so `catch_up` begins only when it has ended.
pub struct MirroredFilesystem {
    shared: Arc<Shared>,
}

struct Shared {
    own: Arc<dyn Filesystem>,
    partner: Arc<dyn Partner>,
    part: &'static str,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    state: Mutex<State>,
    turns: Arc<Turns>,
    /// Changes that began while the partner was not asked.
    alone: Arc<InFlight>,
    /// What the partner was asked.
    asked: Arc<InFlight>,
}

struct State {
    behind: Option<String>,
    /// Somebody catches up.
    catching_up: bool,
    /// Changes go to the partner while it catches up, until one fails there.
    spoiled: bool,
}

impl State {
    /// Fails once a change has failed on either site: then it is no use to go on catching up.
    fn unspoiled(&self) -> Result<()> {
        match &self.behind {
            Some(reason) if self.spoiled => Err(PortError::new(Fault::Unavailable, CATCH_UP, "the second copies", reason.clone())),
            _ => Ok(()),
        }
    }
}

/// A change of one object.
#[derive(Clone)]
enum Change {
    Put(Bytes, PutMode),
    Delete,
}

impl Change {
    fn op(&self) -> &'static str {
        if let Self::Put(..) = self { "filesystem.put" } else { "filesystem.delete" }
    }

    fn bytes(&self) -> u64 {
        if let Self::Put(body, _) = self { body.len() as u64 } else { 0 }
    }

    async fn apply(self, filesystem: &dyn Filesystem, key: &str) -> Result<()> {
        match self {
            Self::Put(body, mode) => filesystem.put(key, body, mode).await,
            Self::Delete => filesystem.delete(key).await,
        }
    }

    /// The same, but whatever is there is replaced.
    fn regardless(self) -> Self {
        if let Self::Put(body, _) = self { Self::Put(body, PutMode::Overwrite) } else { self }
    }

    fn creates(&self) -> bool {
        matches!(self, Self::Put(_, PutMode::CreateOnly))
    }
}

/// Whether an object names others, which must be there before it comes and until it has gone.
fn is_manifest(key: &str) -> bool {
    key.contains("/manifest/")
}

impl MirroredFilesystem {
    /// The objects of `own`, with second copies on `partner`, which has `deadline` for each operation that somebody waits for, and a
    /// second more for each 16 MiB.
    ///
    /// Only what lies below the prefix `part` is kept twice (empty for everything): a site has things of its own, and the second
    /// copies of others. It starts behind: nobody has compared the two sites yet.
    pub fn new(
        own: Arc<dyn Filesystem>,
        partner: Arc<dyn Partner>,
        part: &'static str,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Arc<Self> {
        let state = State { behind: Some("not yet compared".to_owned()), catching_up: false, spoiled: false };
        let (state, turns) = (Mutex::new(state), Arc::default());
        let shared = Shared { own, partner, part, clock, deadline, state, turns, alone: InFlight::new(), asked: InFlight::new() };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    async fn change(&self, key: &str, change: Change) -> Result<()> {
        let op = change.op();
        check_key(op, key)?;
        if !self.shared.is_kept_twice(key) {
            return change.apply(&*self.shared.own, key).await;
        }
        let (shared, owned) = (Arc::clone(&self.shared), key.to_owned());
        joined(op, key, tokio::spawn(async move { shared.change(&owned, change).await })).await
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fall_behind(&self, reason: String) {
        let mut state = self.state();
        if state.behind.is_none() || state.catching_up {
            tracing::warn!(reason, "the second copies are behind");
        }
        state.behind = Some(reason);
        state.spoiled = true;
    }

    /// Decides whether a change that begins now goes to the partner; one that does not is noted, so that catching up waits for it.
    fn begin(&self, key: &str) -> Option<Begun> {
        let state = self.state();
        let both = state.behind.is_none() || (state.catching_up && !state.spoiled);
        (!both).then(|| self.alone.begin(key, Duration::MAX))
    }

    /// Runs an operation on the partner, no longer than `limit`.
    async fn ask<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        op: &'static str,
        key: &str,
        limit: Duration,
        work: impl FnOnce(Arc<dyn Filesystem>) -> F,
    ) -> Result<T> {
        let work = work(self.partner.filesystem()?);
        let due = self.clock.monotonic().saturating_add(limit);
        let answer = within(&*self.clock, limit, self.asked.run(op, key, due, work)).await;
        answer.unwrap_or_else(|| {
            let message = format!("the partner does not answer within {} ms", limit.as_millis());
            Err(PortError::new(Fault::Unavailable, op, key, message))
        })
    }

    async fn change_second(&self, key: &str, change: Change) -> Result<()> {
        let limit = self.deadline.saturating_add(Duration::from_millis(change.bytes().saturating_mul(1_000) / PARTNER_BYTES_PER_SECOND));
        let owned = key.to_owned();
        self.ask(change.op(), key, limit, |partner| async move { change.apply(&*partner, &owned).await }).await
    }

    async fn change(&self, key: &str, change: Change) -> Result<()> {
        let turn = self.turns.take(key).await;
        match self.begin(key) {
            Some(_alone) => change.apply(&*self.own, key).await,
            None => self.change_both(&turn, key, change).await,
        }
    }

    /// Changes an object on both sites; the turn is that of the key.
    async fn change_both(&self, turn: &Turn, key: &str, change: Change) -> Result<()> {
        let own_first = change.creates() && (is_manifest(key) || self.state().catching_up);
        let (own, second) = if own_first {
            match change.clone().apply(&*self.own, key).await {
                Ok(()) => (Ok(()), self.change_second(key, change.clone().regardless()).await),
                // The partner was not asked, so there is nothing to put right.
                Err(error) if error.fault == Fault::Conflict => return Err(error),
                Err(error) => (Err(error), Ok(())),
            }
        } else {
            join(change.clone().apply(&*self.own, key), self.change_second(key, change.clone())).await
        };
        let taken = |outcome: &Result<()>| outcome.as_ref().is_err_and(|error| change.creates() && error.fault == Fault::Conflict);
        let second = match (&own, &second) {
            (_, Err(_)) if taken(&own) && taken(&second) => Ok(()),
            // The own site decides: what it took replaces an older object that only the partner has, and what it refused goes.
            (Ok(()), Err(_)) if taken(&second) => self.change_second(key, change.clone().regardless()).await,
            (Err(_), Ok(())) if taken(&own) => self.equalise(turn, key).await,
            _ => second,
        };
        match (&own, second) {
            // Nobody knows any more whether both have it.
            (Err(error), _) if !taken(&own) => self.fall_behind(format!("the site itself failed: {error}")),
            (_, Err(error)) => self.fall_behind(error.to_string()),
            _ => {}
        }
        own
    }

    /// Makes the second copy of an object what the own one is. The turn is that of the key.
    async fn equalise(&self, _turn: &Turn, key: &str) -> Result<()> {
        let change = match self.own.get(key).await {
            Ok(body) => Change::Put(body, PutMode::Overwrite),
            Err(error) if error.fault == Fault::NotFound => Change::Delete,
            Err(error) => return Err(error),
        };
        self.change_second(key, change).await
    }

    fn is_kept_twice(&self, key: &str) -> bool {
        self.part.is_empty() || key.strip_prefix(self.part).is_some_and(|rest| rest.starts_with('/'))
    }

    fn patience(&self) -> Duration {
        self.deadline.saturating_mul(PATIENCE)
    }

    /// Waits for what could still change either site unseen.
    async fn quiet(&self) -> Result<()> {
        let quiet = within(&*self.clock, self.patience(), async {
            self.alone.idle().await;
            self.asked.settled(|_| true).await;
        });
        let message = "earlier changes have not ended, on the site or on its partner";
        quiet.await.ok_or_else(|| PortError::new(Fault::Unavailable, CATCH_UP, "the second copies", message))
    }

    /// The keys at which the sites differ, in the order in which to put them right: objects come before the manifests that name
    /// them, and go after them.
    async fn differences(&self) -> Result<Vec<String>> {
        let part = self.part;
        let second = self.ask(CATCH_UP, "the second copies", self.patience(), move |partner| async move { partner.list(part).await });
        let mut second: BTreeMap<String, u64> = second.await?.into_iter().map(|object| (object.key, object.bytes)).collect();
        let mut differing: Vec<(u8, String)> = Vec::new();
        for object in self.own.list(part).await? {
            if second.remove(&object.key) != Some(object.bytes) {
                differing.push((if is_manifest(&object.key) { 1 } else { 0 }, object.key));
            }
        }
        differing.extend(second.into_keys().map(|key| (if is_manifest(&key) { 2 } else { 3 }, key)));
        differing.sort_unstable();
        Ok(differing.into_iter().map(|(_, key)| key).collect())
    }

    /// The length of an object, and nothing where there is none.
    async fn second_size(&self, key: &str) -> Result<Option<u64>> {
        let owned = key.to_owned();
        present(self.ask(CATCH_UP, key, self.deadline, |partner| async move { partner.size(&owned).await }).await)
    }

    async fn catch_up(&self) -> Result<u64> {
        self.quiet().await?;
        let mut put_right = 0;
        for key in self.differences().await? {
            // Changes of this key wait, so what is seen now stays so until the copy is made or gone.
            let turn = self.turns.take(&key).await;
            self.state().unspoiled()?;
            if present(self.own.size(&key).await)? != self.second_size(&key).await? {
                self.equalise(&turn, &key).await?;
                put_right += 1;
            }
        }
        Ok(put_right)
    }
}

/// A size, and nothing where there is no object.
fn present(size: Result<u64>) -> Result<Option<u64>> {
    match size {
        Err(error) if error.fault == Fault::NotFound => Ok(None),
        size => size.map(Some),
    }
}

/// One run of catching up. Where it is dropped before it has ended, the copies are behind.
struct CatchingUp<'a> {
    shared: &'a Shared,
    ended: bool,
}

impl<'a> CatchingUp<'a> {
    fn begin(shared: &'a Shared) -> Result<Self> {
        let mut state = shared.state();
        if std::mem::replace(&mut state.catching_up, true) {
            return Err(PortError::new(Fault::Conflict, CATCH_UP, "the second copies", "are being caught up already"));
        }
        state.spoiled = false;
        Ok(Self { shared, ended: false })
    }

    fn end(mut self, outcome: Result<u64>) -> Result<u64> {
        self.ended = true;
        let mut state = self.shared.state();
        state.catching_up = false;
        let outcome = outcome.and_then(|count| state.unspoiled().map(|()| count));
        state.behind = outcome.as_ref().err().map(PortError::to_string);
        drop(state);
        outcome
    }
}

impl Drop for CatchingUp<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = self.shared.state();
            state.catching_up = false;
            state.behind = Some("catching up was broken off".to_owned());
        }
    }
}

#[async_trait]
impl Mirror for MirroredFilesystem {
    fn behind(&self) -> Option<String> {
        self.shared.state().behind.clone()
    }

    fn fall_behind(&self, why: &str) {
        self.shared.fall_behind(why.to_owned());
    }

    async fn catch_up(&self) -> Result<u64> {
        let run = CatchingUp::begin(&self.shared)?;
        run.end(self.shared.catch_up().await)
    }

    fn second(&self) -> Result<Arc<dyn Filesystem>> {
        self.shared.partner.filesystem()
    }

    async fn second_copy(&self, key: &str) -> Result<Bytes> {
        const OP: &str = "mirror.second_copy";
        check_key(OP, key)?;
        let owned = key.to_owned();
        self.shared.ask(OP, key, self.shared.patience(), |partner| async move { partner.get(&owned).await }).await
    }

    async fn restore(&self, key: &str, body: Bytes) -> Result<()> {
        // Both sites, as with any other put: who catches up may have seen that the own copy was lost, and have removed the other.
        self.change(key, Change::Put(body, PutMode::Overwrite)).await
    }

    async fn restore_second(&self, key: &str, body: Bytes) -> Result<()> {
        const OP: &str = "mirror.restore_second";
        check_key(OP, key)?;
        let (shared, owned) = (Arc::clone(&self.shared), key.to_owned());
        let work = async move {
            let _turn = shared.turns.take(&owned).await;
            shared.change_second(&owned, Change::Put(body, PutMode::Overwrite)).await
        };
        joined(OP, key, tokio::spawn(work)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Filesystem for MirroredFilesystem {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        self.change(key, Change::Put(body, mode)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.shared.own.get(key).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.shared.own.get_ranges(key, ranges).await
    }

    async fn size(&self, key: &str) -> Result<u64> {
        self.shared.own.size(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.shared.own.list(prefix).await
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        self.shared.own.list_prefixes(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.change(key, Change::Delete).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.shared.own.space().await
    }
}

#[cfg(test)]
mod tests;
