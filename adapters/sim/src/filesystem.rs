//! A store of whole objects in memory. Puts and deletes are durable at once, as its port promises; what can be lost is a reply.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_ports::{Fault, Filesystem, ObjectInfo, PortError, PutMode, Result, Space};
use tokio::sync::oneshot;

use crate::disk::yield_turns;
use crate::faults::{Alarm, Effect, FaultPlan, Injection, injected};
use crate::rng::Rng;
use crate::trace::Trace;

/// A simulated store; clones are handles of one store.
///
/// [`SimFilesystem::crash`] ends the process that uses it: operations on their way happen or not, and every handle from before
/// fails from then on.
#[derive(Clone)]
pub struct SimFilesystem {
    state: Arc<Mutex<State>>,
    life: u64,
}

struct State {
    rng: Rng,
    objects: BTreeMap<String, Bytes>,
    plan: FaultPlan,
    alarm: Alarm,
    trace: Trace,
    capacity_bytes: Option<u64>,
    life: u64,
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.objects.values().map(|o| o.len() as u64).sum()
    }

    fn object(&self, op: &'static str, key: &str) -> Result<&Bytes> {
        self.objects.get(key).ok_or_else(|| PortError::new(Fault::NotFound, op, key, "there is no such object"))
    }
}

impl SimFilesystem {
    /// An empty store without limits, on which nothing fails yet.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::new(seed ^ 0x0073_746f_7265),
            objects: BTreeMap::new(),
            plan: FaultPlan::default(),
            alarm: Alarm::default(),
            trace: Trace::default(),
            capacity_bytes: None,
            life: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), life: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process and gives the store of the next one; all earlier handles are dead.
    #[must_use = "the handle that crashed is dead; go on with the one that is returned"]
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        state.life += 1;
        state.trace.line("crash".to_owned());
        Self { state: Arc::clone(&self.state), life: state.life }
    }

    /// Lets something go wrong later.
    pub fn inject(&self, injection: Injection) {
        self.state().plan.add(injection);
    }

    /// Tells when so many operations have happened from now on; an alarm that was set before is forgotten.
    pub fn alarm_after(&self, operations: u64) -> oneshot::Receiver<()> {
        self.state().alarm.set(operations)
    }

    /// Forgets every injection that has not struck yet.
    pub fn heal(&self) {
        self.state().plan.clear();
    }

    /// Room in the store, which `space` then tells; a put beyond it fails with `Exhausted`. `None` is without end.
    pub fn set_capacity_bytes(&self, capacity: Option<u64>) {
        self.state().capacity_bytes = capacity;
    }

    /// Flips one bit of a stored byte, behind everybody's back; false where there is no such byte.
    pub fn flip(&self, key: &str, offset: u64) -> bool {
        let bit = 1u8 << self.state().rng.below(8);
        let mut flipped = false;
        self.damage(key, |content| {
            let byte = usize::try_from(offset).ok().and_then(|at| content.get_mut(at));
            flipped = byte.map(|b| *b ^= bit).is_some();
        });
        flipped
    }

    /// Changes an object's bytes in any way, behind everybody's back; false where there is no such object.
    pub fn damage(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state();
        let Some(object) = state.objects.get_mut(key) else { return false };
        let mut content = object.to_vec();
        change(&mut content);
        *object = content.into();
        true
    }

    /// Bytes of all objects.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Every key, whatever is being injected.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The last lines of what happened.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.recent()
    }

    /// A digest of everything that happened; equal for equal seeds and calls.
    pub fn trace_digest(&self) -> u64 {
        self.state().trace.digest()
    }

    /// Runs one operation; a dropped or crashed one may have happened or not.
    async fn operation<T>(&self, op: &'static str, key: &str, effect: impl FnOnce(&mut State) -> Result<T> + Send) -> Result<T> {
        self.pause().await;
        let (outcome, struck) = {
            let mut state = self.state();
            if state.life != self.life {
                return Err(PortError::new(Fault::Unavailable, op, key, "the process has crashed; this handle is dead"));
            }
            let State { plan, rng, .. } = &mut *state;
            let struck = plan.draw(rng, op, key);
            let outcome = match struck {
                Some(Effect::Hang) => None,
                Some(Effect::Fail(fault)) => Some(Err(injected(fault, op, key))),
                Some(Effect::LoseReply | Effect::Delay(_)) | None => Some(effect(&mut state)),
            };
            let told = match &outcome {
                None => "hangs",
                Some(Ok(_)) => "ok",
                Some(Err(error)) => error.fault.code(),
            };
            state.alarm.tick();
            let used = state.used_bytes();
            state.trace.line(format!("{op} {key} {told} {used}"));
            (outcome, struck)
        };
        let Some(result) = outcome else {
            return std::future::pending().await;
        };
        self.pause().await;
        if let Some(Effect::Delay(turns)) = struck {
            yield_turns(u64::from(turns)).await;
        }
        if struck == Some(Effect::LoseReply) { Err(injected(Fault::Unavailable, op, key)) } else { result }
    }

    async fn pause(&self) {
        let turns = self.state().rng.below(3);
        yield_turns(turns).await;
    }
}

fn check_key(op: &'static str, key: &str) -> Result<()> {
    let segment =
        |s: &str| !matches!(s, "" | "." | "..") && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if key.split('/').all(segment) {
        return Ok(());
    }
    Err(PortError::new(Fault::Invalid, op, format!("{key:?}"), "is no key"))
}

/// The prefix with its closing slash; empty for the whole store.
fn check_prefix(op: &'static str, prefix: &str) -> Result<String> {
    if prefix.is_empty() {
        return Ok(String::new());
    }
    check_key(op, prefix)?;
    Ok(format!("{prefix}/"))
}

#[async_trait]
impl Filesystem for SimFilesystem {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        check_key("put", key)?;
        self.operation("put", key, |state| {
            let taken = state.objects.get(key).map(|o| o.len() as u64);
            if taken.is_some() && mode == PutMode::CreateOnly {
                return Err(PortError::new(Fault::Conflict, "put", key, "the key is taken"));
            }
            let after = state.used_bytes().saturating_sub(taken.unwrap_or(0)).saturating_add(body.len() as u64);
            if state.capacity_bytes.is_some_and(|c| after > c) {
                return Err(PortError::new(Fault::Exhausted, "put", key, "the store is full"));
            }
            state.objects.insert(key.to_owned(), body);
            Ok(())
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        check_key("get", key)?;
        self.operation("get", key, |state| state.object("get", key).cloned()).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        check_key("get_ranges", key)?;
        self.operation("get_ranges", key, |state| {
            let object = state.object("get_ranges", key)?;
            let end = object.len() as u64;
            let slice = |range: &Range<u64>| {
                if range.start > range.end || range.end > end {
                    return Err(PortError::new(Fault::Invalid, "get_ranges", key, format!("has {end} bytes, asked for {range:?}")));
                }
                // Both ends are at most the length, which was a usize.
                Ok(object.slice(range.start as usize..range.end as usize))
            };
            ranges.iter().map(slice).collect()
        })
        .await
    }

    async fn size(&self, key: &str) -> Result<u64> {
        check_key("size", key)?;
        self.operation("size", key, |state| state.object("size", key).map(|o| o.len() as u64)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let below = check_prefix("list", prefix)?;
        self.operation("list", prefix, |state| {
            let found = state.objects.range(below.clone()..).take_while(|(key, _)| key.starts_with(&below));
            Ok(found.map(|(key, object)| ObjectInfo { key: key.clone(), bytes: object.len() as u64 }).collect())
        })
        .await
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        let below = check_prefix("list_prefixes", prefix)?;
        self.operation("list_prefixes", prefix, |state| {
            let rests = state.objects.keys().filter_map(|key| key.strip_prefix(&below));
            let segments: BTreeSet<&str> = rests.filter_map(|rest| rest.split_once('/').map(|(first, _)| first)).collect();
            Ok(segments.into_iter().map(str::to_owned).collect())
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        check_key("delete", key)?;
        self.operation("delete", key, |state| {
            state.objects.remove(key);
            Ok(())
        })
        .await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.operation("space", "the store", |state| {
            state.alarm.tick();
            let used = state.used_bytes();
            Ok(state.capacity_bytes.map(|total_bytes| Space { free_bytes: total_bytes.saturating_sub(used), total_bytes }))
        })
        .await
    }
}
