//! A disk of append-only files whose power can be cut. Knows what was synced, not what it means.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_ports::{Disk, DiskFile, Fault, PortError, Result};
use tokio::sync::{Notify, oneshot};

use crate::faults::{Alarm, Effect, FaultPlan, Injection, injected};
use crate::rng::Rng;
use crate::sectors::tear;
use crate::trace::Trace;

/// A simulated disk; clones are handles of one disk.
///
/// [`SimDisk::crash`] cuts the power: what was synced is there afterwards, what was appended later survives by sectors as the
/// seed decides, and every handle from before fails from then on, so a task of the old process can do no more harm.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

struct State {
    rng: Rng,
    files: BTreeMap<String, File>,
    made: u64,
    plan: FaultPlan,
    alarm: Alarm,
    trace: Trace,
    capacity_bytes: Option<u64>,
    life: u64,
    /// Wakes the operations that hang.
    healed: Arc<Notify>,
}

struct File {
    id: u64,
    content: Vec<u8>,
    synced: usize,
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.files.values().map(|f| f.content.len() as u64).sum()
    }

    /// A file by the identity that its handle holds; one that was deleted and made anew is another.
    fn opened(&mut self, name: &str, id: u64) -> Option<&mut File> {
        self.files.get_mut(name).filter(|f| f.id == id)
    }
}

/// What the caller of an operation learns once its effect has happened.
enum Reply {
    Sent,
    Late(u32),
    Lost,
}

impl SimDisk {
    /// An empty disk without limits, on which nothing fails yet.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::new(seed ^ 0x6469_736b),
            files: BTreeMap::new(),
            made: 0,
            plan: FaultPlan::default(),
            alarm: Alarm::default(),
            trace: Trace::default(),
            capacity_bytes: None,
            life: 0,
            healed: Arc::default(),
        };
        Self { state: Arc::new(Mutex::new(state)), life: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power and gives the disk of the next process; all earlier handles are dead.
    #[must_use = "the handle that crashed is dead; go on with the one that is returned"]
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        let State { rng, files, trace, life, .. } = &mut *state;
        for (name, file) in files.iter_mut() {
            tear(&mut file.content, file.synced, rng);
            trace.line(format!("crash {name} {} of which synced {}", file.content.len(), file.synced));
            file.synced = file.content.len();
        }
        *life += 1;
        Self { state: Arc::clone(&self.state), life: *life }
    }

    /// Lets something go wrong later.
    pub fn inject(&self, injection: Injection) {
        self.state().plan.add(injection);
    }

    /// Tells when so many operations have happened from now on; an alarm that was set before is forgotten.
    pub fn alarm_after(&self, operations: u64) -> oneshot::Receiver<()> {
        self.state().alarm.set(operations)
    }

    /// Forgets every injection that has not struck yet. Operations that hang go on, and then happen or fail as the seed decides.
    pub fn heal(&self) {
        let mut state = self.state();
        state.plan.clear();
        state.healed.notify_waiters();
    }

    /// Loses every file, as a disk that was replaced.
    pub fn wipe(&self) {
        self.state().files.clear();
    }

    /// Room on the disk; an append beyond it writes what fits and fails with `Exhausted`. `None` is without end.
    pub fn set_capacity_bytes(&self, capacity: Option<u64>) {
        self.state().capacity_bytes = capacity;
    }

    /// Flips one bit of a stored byte, behind everybody's back; false where there is no such byte.
    pub fn flip(&self, name: &str, offset: u64) -> bool {
        let mut state = self.state();
        let bit = 1u8 << state.rng.below(8);
        let byte = usize::try_from(offset).ok().and_then(|at| state.files.get_mut(name)?.content.get_mut(at));
        byte.map(|b| *b ^= bit).is_some()
    }

    /// Changes a file's bytes in any way, behind everybody's back, and durably; false where there is no such file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state();
        let Some(file) = state.files.get_mut(name) else { return false };
        change(&mut file.content);
        file.synced = file.content.len();
        true
    }

    /// The names of all files, whatever is being injected.
    pub fn names(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// The bytes of a file that a power cut can no longer take away.
    pub fn synced_bytes(&self, name: &str) -> Option<u64> {
        self.state().files.get(name).map(|f| f.synced as u64)
    }

    /// The last lines of what happened.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.recent()
    }

    /// A digest of everything that happened; equal for equal seeds and calls.
    pub fn trace_digest(&self) -> u64 {
        self.state().trace.digest()
    }

    /// Runs one operation: others may go first, then a fault may strike, then the effect happens, then others may go first
    /// again, so that a dropped or crashed operation may have happened or not.
    async fn operation<T>(
        &self,
        op: &'static str,
        name: &str,
        effect: impl FnOnce(&mut State, Option<Fault>) -> Result<T> + Send,
    ) -> Result<T> {
        self.pause().await;
        let drawn = {
            let mut state = self.state();
            self.check_power(&state, op, name)?;
            let State { plan, rng, .. } = &mut *state;
            let drawn = plan.draw(rng, op, name);
            if drawn == Some(Effect::Hang) {
                let used = state.used_bytes();
                state.trace.line(format!("{op} {name} hangs {used}"));
                let healed = Arc::clone(&state.healed).notified_owned();
                Err(healed)
            } else {
                Ok(drawn)
            }
        };
        let drawn = match drawn {
            Ok(drawn) => drawn,
            Err(healed) => {
                healed.await;
                self.state().rng.one_in(2).then_some(Effect::Fail(Fault::Unavailable))
            }
        };
        let (result, reply) = {
            let mut state = self.state();
            self.check_power(&state, op, name)?;
            let outcome = match drawn {
                Some(Effect::Fail(fault)) => (effect(&mut state, Some(fault)), Reply::Sent),
                Some(Effect::LoseReply) => (effect(&mut state, None), Reply::Lost),
                Some(Effect::Delay(turns)) => (effect(&mut state, None), Reply::Late(turns)),
                Some(Effect::Hang) | None => (effect(&mut state, None), Reply::Sent),
            };
            let told = match &outcome {
                (Ok(_), Reply::Sent | Reply::Late(_)) => "ok",
                (Ok(_), Reply::Lost) => "ok, reply lost",
                (Err(error), _) => error.fault.code(),
            };
            state.alarm.tick();
            let used = state.used_bytes();
            state.trace.line(format!("{op} {name} {told} {used}"));
            outcome
        };
        self.pause().await;
        match reply {
            Reply::Sent => result,
            Reply::Late(turns) => {
                yield_turns(u64::from(turns)).await;
                result
            }
            Reply::Lost => Err(injected(Fault::Unavailable, op, name)),
        }
    }

    fn check_power(&self, state: &State, op: &'static str, name: &str) -> Result<()> {
        if state.life == self.life {
            return Ok(());
        }
        Err(PortError::new(Fault::Unavailable, op, name, "the power was cut; this handle is dead"))
    }

    async fn pause(&self) {
        let turns = self.state().rng.below(3);
        yield_turns(turns).await;
    }
}

/// Lets everybody else go first, so many times.
pub(crate) async fn yield_turns(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

fn check_name(op: &'static str, name: &str) -> Result<()> {
    let fits = (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits && name != "." && name != ".." {
        return Ok(());
    }
    Err(PortError::new(Fault::Invalid, op, format!("{name:?}"), "is no file name"))
}

fn absent(op: &'static str, name: &str) -> PortError {
    PortError::new(Fault::NotFound, op, name, "there is no such file")
}

#[async_trait]
impl Disk for SimDisk {
    async fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        check_name("create", name)?;
        let id = self
            .operation("create", name, |state, fault| {
                if let Some(fault) = fault {
                    return Err(injected(fault, "create", name));
                }
                if state.files.contains_key(name) {
                    return Err(PortError::new(Fault::Conflict, "create", name, "the name is taken"));
                }
                if state.capacity_bytes.is_some_and(|c| state.used_bytes() >= c) {
                    return Err(PortError::new(Fault::Exhausted, "create", name, "the disk is full"));
                }
                state.made += 1;
                state.files.insert(name.to_owned(), File { id: state.made, content: Vec::new(), synced: 0 });
                Ok(state.made)
            })
            .await?;
        Ok(Box::new(SimFile { disk: self.clone(), name: name.to_owned(), id, dead: false }))
    }

    async fn read(&self, name: &str) -> Result<Bytes> {
        self.read_at(name, 0, u64::MAX).await
    }

    async fn read_at(&self, name: &str, offset: u64, length: u64) -> Result<Bytes> {
        check_name("read", name)?;
        self.operation("read", name, |state, fault| {
            if let Some(fault) = fault {
                return Err(injected(fault, "read", name));
            }
            let content = &state.files.get(name).ok_or_else(|| absent("read", name))?.content;
            let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
            Ok(Bytes::copy_from_slice(&content[bound(offset)..bound(offset.saturating_add(length))]))
        })
        .await
    }

    async fn list(&self) -> Result<Vec<(String, u64)>> {
        self.operation("list", "the disk", |state, fault| match fault {
            Some(fault) => Err(injected(fault, "list", "the disk")),
            None => Ok(state.files.iter().map(|(name, file)| (name.clone(), file.content.len() as u64)).collect()),
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        check_name("delete", name)?;
        self.operation("delete", name, |state, fault| match fault {
            Some(fault) => Err(injected(fault, "delete", name)),
            None => {
                state.files.remove(name);
                Ok(())
            }
        })
        .await
    }
}

/// A file open for appending. Dead once a sync failed, an operation was dropped half-way, or the power was cut.
struct SimFile {
    disk: SimDisk,
    name: String,
    id: u64,
    dead: bool,
}

impl SimFile {
    /// Takes the handle's life for one operation; whoever ends the operation gives it back.
    fn begin(&mut self, op: &'static str) -> Result<()> {
        if std::mem::replace(&mut self.dead, true) {
            return Err(PortError::new(Fault::Unavailable, op, &self.name, "an earlier sync failed; this handle is dead"));
        }
        Ok(())
    }
}

#[async_trait]
impl DiskFile for SimFile {
    async fn append(&mut self, parts: Vec<Bytes>) -> Result<()> {
        self.begin("append")?;
        let (id, name) = (self.id, self.name.as_str());
        let outcome = self
            .disk
            .operation("append", name, |state, fault| {
                let asked = parts.iter().map(Bytes::len).sum::<usize>() as u64;
                let room = state.capacity_bytes.map_or(u64::MAX, |c| c.saturating_sub(state.used_bytes()));
                let fault = fault.or((asked > room).then_some(Fault::Exhausted));
                // A write that fails may have got anywhere.
                let written = if fault.is_some() { state.rng.below(asked.min(room) + 1) } else { asked };
                let file = state.opened(name, id).ok_or_else(|| absent("append", name))?;
                let mut left = usize::try_from(written).unwrap_or(usize::MAX);
                for part in &parts {
                    let take = part.len().min(left);
                    file.content.extend_from_slice(&part[..take]);
                    left -= take;
                }
                fault.map_or(Ok(()), |fault| Err(injected(fault, "append", name)))
            })
            .await;
        self.dead = false;
        outcome
    }

    async fn sync(&mut self) -> Result<()> {
        self.begin("sync")?;
        let (id, name) = (self.id, self.name.as_str());
        let outcome = self
            .disk
            .operation("sync", name, |state, fault| {
                // The cache may keep showing pages that never reached the disk, or forget them at once.
                let forgets = fault.is_some() && state.rng.one_in(2);
                let mut rng = state.rng.clone();
                let file = state.opened(name, id).ok_or_else(|| absent("sync", name))?;
                if let Some(fault) = fault {
                    if forgets {
                        tear(&mut file.content, file.synced, &mut rng);
                        state.rng = rng;
                    }
                    return Err(injected(fault, "sync", name));
                }
                file.synced = file.content.len();
                Ok(())
            })
            .await;
        self.dead = outcome.is_err();
        outcome
    }
}
