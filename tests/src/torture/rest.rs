//! A client of the real server over HTTP: one operation after the other on records of its own, each noted in its ledger, and
//! the check of everything that a restarted server shows. Knows nothing of how the server was hurt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proximadb_model::plan;
use serde_json::{Value, json};

use super::clock::{Stopwatch, pause};
use super::ledger::{Keyed, Ledger, Violation, Wrong};
use super::random::{Random, vector_of};
use crate::server::send;

const DIMENSION: usize = 8;
/// Records of one client.
const IDS: u64 = 120;

/// A connection to a server.
#[derive(Clone)]
pub(crate) struct Rest {
    agent: ureq::Agent,
    root: String,
}

impl Rest {
    pub(crate) fn new(root: String, timeout: Duration) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(timeout)).build().into();
        Self { agent, root }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value), String> {
        self.call_keyed(method, path, body, None)
    }

    fn call_keyed(&self, method: &str, path: &str, body: &Value, key: Option<&str>) -> Result<(u16, Value), String> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        send(&self.agent, &self.root, method, path, &text, &headers)
    }
}

/// A collection and the ledgers of its clients.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) collection: String,
    pub(crate) shards: u32,
    pub(crate) ledgers: Vec<Ledger>,
    /// Set while the disk is being cut off. A sync that is under way then may be told that it succeeded, though its journal is
    /// gone: the kernel checks at its beginning. No answer leaves a machine without power, so such an answer proves nothing.
    pub(crate) doubt: Arc<AtomicBool>,
}

impl Desk {
    pub(crate) fn new(collection: impl Into<String>, shards: u32, clients: u64) -> Self {
        Self {
            collection: collection.into(),
            shards,
            ledgers: (0..clients).map(|c| Ledger::new(c, clients)).collect(),
            doubt: Arc::default(),
        }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.ledgers.iter().map(|l| l.acknowledged).sum()
    }

    /// Makes the collection; it may be there already.
    pub(crate) fn create(&self, rest: &Rest) -> Result<(), String> {
        let spec = json!({"name": self.collection, "dimension": DIMENSION, "metric": "euclidean", "shards": self.shards});
        match rest.call("POST", "/v1/collections", &spec)? {
            (200 | 201, _) => Ok(()),
            (status, answer) => Err(format!("collection {} cannot be made: {status} {answer}", self.collection)),
        }
    }

    /// Reads everything that the server shows of the collection and judges it. Where `keep` is true it counts as acknowledged
    /// from then on.
    pub(crate) fn check(&mut self, rest: &Rest, random: &mut Random, keep: bool) -> Vec<Violation> {
        let mut found = match self.read(rest, random) {
            Ok(visible) => {
                let shards = self.shards;
                let shard_of = |id: u64| plan::shard_of(&id.to_string(), shards);
                let mut found = Vec::new();
                for ledger in &mut self.ledgers {
                    found.extend(ledger.judge(&visible, &shard_of));
                    if keep {
                        ledger.settle(&visible);
                    }
                }
                found
            }
            Err(violation) => vec![violation],
        };
        for violation in &mut found {
            violation.what = format!("collection {}: {}", self.collection, violation.what);
        }
        found
    }

    fn read(&self, rest: &Rest, random: &mut Random) -> Result<BTreeMap<u64, u64>, Violation> {
        let path = |what: &str| format!("/v1/collections/{}/{what}", self.collection);
        let other = |what: String| Violation::new(Wrong::Other, what);
        let answered = |what: &str, body: &Value| match rest.call("POST", &path(what), body) {
            Ok((200, answer)) => Ok(answer),
            Ok((status, answer)) => Err(Violation::new(Wrong::Lost, format!("{what} answers {status} {answer}"))),
            Err(why) => Err(Violation::new(Wrong::Lost, format!("{what} has no answer: {why}"))),
        };
        let (mut visible, mut last, mut cursor) = (BTreeMap::new(), String::new(), Value::Null);
        loop {
            let mut body = json!({"limit": 200, "with_vector": true});
            if !cursor.is_null() {
                body["cursor"] = cursor;
            }
            let page = answered("scan", &body)?;
            for record in page["records"].as_array().into_iter().flatten() {
                let text = record["id"].as_str().unwrap_or_default();
                if text <= last.as_str() {
                    return Err(Violation::new(Wrong::Duplicated, format!("the scan gives {text:?} after {last:?}")));
                }
                text.clone_into(&mut last);
                let (id, version) = read_record(record)?;
                visible.insert(id, version);
            }
            cursor = page["cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        let count = answered("count", &json!({}))?;
        if count["count"] != json!(visible.len()) {
            return Err(other(format!("counts {count}, and {} are scanned", visible.len())));
        }
        for _ in 0..3 {
            let Some((id, version)) = visible.iter().nth(random.below(visible.len() as u64) as usize) else { break };
            let nearest = json!({"vector": vector_of(*id, *version, DIMENSION), "k": 1, "exact": true});
            let found = answered("search", &nearest)?;
            if found["hits"][0]["id"] != json!(id.to_string()) {
                return Err(other(format!("nearest to record {id} is {found}")));
            }
        }
        Ok(visible)
    }

    /// Repeats the last keyed writes: what took effect must not do so again.
    pub(crate) fn repeat_keyed(&mut self, rest: &Rest) -> Vec<Violation> {
        let mut found = Vec::new();
        let path = format!("/v1/collections/{}/records", self.collection);
        for ledger in &mut self.ledgers {
            for mut keyed in ledger.keyed.clone() {
                let body = json!({"upsert": [record(keyed.id, keyed.version)]});
                let there = ledger.certain(keyed.id).flatten() == Some(keyed.version);
                let key = key_of(keyed.id, keyed.version);
                let Ok((200, answer)) = rest.call_keyed("POST", &path, &body, Some(&key)) else { continue };
                let replayed = answer["replayed"] == json!(true);
                if !replayed && (keyed.answered.is_some() || there) {
                    found.push(Violation::new(Wrong::Duplicated, format!("{keyed:?} was repeated and took effect again: {answer}")));
                }
                if !replayed {
                    ledger.send(keyed.version, &[keyed.id], &[]);
                    ledger.acknowledge(keyed.version);
                }
                keyed.answered = Some(0);
                ledger.keyed.retain(|k| k.version != keyed.version);
                ledger.remember_keyed(keyed);
            }
        }
        found
    }
}

fn key_of(id: u64, version: u64) -> String {
    format!("key-{id}-{version}")
}

fn record(id: u64, version: u64) -> Value {
    json!({"id": id, "vector": vector_of(id, version, DIMENSION), "metadata": {"version": version, "of": id}})
}

fn read_record(record: &Value) -> Result<(u64, u64), Violation> {
    let bad = |what: &str| Violation::new(Wrong::Other, format!("{what}: {record}"));
    let id: u64 = record["id"].as_str().and_then(|id| id.parse().ok()).ok_or_else(|| bad("no id of ours"))?;
    let version = record["metadata"]["version"].as_u64().ok_or_else(|| bad("no version"))?;
    if record["metadata"]["of"] != json!(id) {
        return Err(bad("the metadata of another record"));
    }
    let stored: Vec<f32> = record["vector"].as_array().into_iter().flatten().filter_map(|x| Some(x.as_f64()? as f32)).collect();
    if stored != vector_of(id, version, DIMENSION) {
        return Err(bad("a vector of another version"));
    }
    Ok((id, version))
}

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Room on the disk.
    Put,
    /// The log, but hardly any room.
    Delete,
    Flush,
    Read,
}

/// How an operation went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    /// When it was answered, since the beginning of the work.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    /// The status; 0 where there was no answer.
    pub(crate) status: u16,
    pub(crate) kind: Kind,
}

/// What a client did.
#[derive(Debug, Default)]
pub(crate) struct Worked {
    pub(crate) violations: Vec<Violation>,
    pub(crate) timed: Vec<Timed>,
    /// The last refusal in words.
    pub(crate) refusal: Option<String>,
}

/// How a client works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Whether an answer that is missing ends the work, as when the server was killed.
    pub(crate) ends_with_server: bool,
    /// Whether a refusal other than of the request itself is a violation.
    pub(crate) must_succeed: bool,
    /// Between two operations.
    pub(crate) rest: Duration,
    /// How many operations there are at most.
    pub(crate) operations: u64,
}

/// What a client is told from outside while it works.
#[derive(Clone, Copy)]
pub(crate) struct Signals<'a> {
    /// It is to end.
    pub(crate) stop: &'a AtomicBool,
    /// No answer proves anything.
    pub(crate) doubt: &'a AtomicBool,
}

/// Works on one ledger until told to stop, or until the server is gone.
pub(crate) fn work(rest: &Rest, collection: &str, ledger: &mut Ledger, mut random: Random, pace: Pace, signals: Signals<'_>) -> Worked {
    let watch = Stopwatch::start();
    let mut worked = Worked::default();
    let doubt = signals.doubt;
    let root = format!("/v1/collections/{collection}");
    for _ in 0..pace.operations {
        if signals.stop.load(Ordering::Relaxed) {
            break;
        }
        let begun = watch.elapsed();
        let (answer, kind) = match random.below(16) {
            0..9 => (upsert(rest, &root, ledger, &mut random, &mut worked, doubt), Kind::Put),
            9..11 => (delete(rest, &root, ledger, &mut random, &mut worked, doubt), Kind::Delete),
            11..13 => (keyed(rest, &root, ledger, &mut random, &mut worked, doubt), Kind::Put),
            13 if random.one_in(4) => (rest.call("POST", &format!("{root}/flush"), &json!({})), Kind::Flush),
            _ => (read(rest, &root, ledger, &mut random, &mut worked), Kind::Read),
        };
        let status = answer.as_ref().map_or(0, |(status, _)| *status);
        let at = watch.elapsed();
        worked.timed.push(Timed { at, took: at - begun, status, kind });
        match answer {
            Ok((200 | 404 | 409, _)) => {}
            Ok((status, answer)) => {
                let refusal = format!("{status} {answer}");
                if pace.must_succeed || matches!(status, 400..500) {
                    worked.violations.push(Violation::new(Wrong::Other, format!("a request to {collection} was refused: {refusal}")));
                }
                worked.refusal = Some(refusal);
                pause(Duration::from_millis(5));
            }
            Err(_) if pace.ends_with_server => return worked,
            Err(why) => {
                worked.refusal = Some(why);
                pause(Duration::from_millis(5));
            }
        }
        if !pace.rest.is_zero() {
            pause(pace.rest);
        }
    }
    worked
}

type Answer = Result<(u16, Value), String>;

/// Books the answer of a write.
fn book(ledger: &mut Ledger, version: u64, answer: &Answer, worked: &mut Worked, doubt: &AtomicBool) {
    match answer {
        Ok((200, body)) => {
            if body["durable"] != json!(true) {
                worked.violations.push(Violation::new(Wrong::Other, format!("batch {version} was answered {body}")));
            }
            if !doubt.load(Ordering::SeqCst) {
                ledger.acknowledge(version);
            }
        }
        // The request itself was refused, before anything was written.
        Ok((400..500, _)) => ledger.refuse(version),
        _ => {}
    }
}

fn some_ids(ledger: &Ledger, random: &mut Random, max: u64) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..1 + random.below(max)).map(|_| ledger.id(random.below(IDS))).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn upsert(rest: &Rest, root: &str, ledger: &mut Ledger, random: &mut Random, worked: &mut Worked, doubt: &AtomicBool) -> Answer {
    let ids = some_ids(ledger, random, 20);
    let (puts, deletes) = ids.split_at(ids.len() - ids.len() / 5);
    let version = ledger.next_version();
    ledger.send(version, puts, deletes);
    let upsert: Vec<_> = puts.iter().map(|id| record(*id, version)).collect();
    let deletes: Vec<_> = deletes.iter().map(u64::to_string).collect();
    let answer = rest.call("POST", &format!("{root}/records"), &json!({"upsert": upsert, "delete": deletes}));
    book(ledger, version, &answer, worked, doubt);
    answer
}

fn delete(rest: &Rest, root: &str, ledger: &mut Ledger, random: &mut Random, worked: &mut Worked, doubt: &AtomicBool) -> Answer {
    let ids = some_ids(ledger, random, 8);
    let version = ledger.next_version();
    ledger.send(version, &[], &ids);
    let texts: Vec<_> = ids.iter().map(u64::to_string).collect();
    let answer = rest.call("POST", &format!("{root}/records"), &json!({"delete": texts}));
    book(ledger, version, &answer, worked, doubt);
    answer
}

fn keyed(rest: &Rest, root: &str, ledger: &mut Ledger, random: &mut Random, worked: &mut Worked, doubt: &AtomicBool) -> Answer {
    let id = ledger.id(random.below(IDS));
    let version = ledger.next_version();
    ledger.send(version, &[id], &[]);
    ledger.remember_keyed(Keyed { id, version, answered: None });
    let body = json!({"upsert": [record(id, version)]});
    let answer = rest.call_keyed("POST", &format!("{root}/records"), &body, Some(&key_of(id, version)));
    book(ledger, version, &answer, worked, doubt);
    if let (Ok((200, _)), false) = (&answer, doubt.load(Ordering::SeqCst)) {
        ledger.keyed.retain(|k| k.version != version);
        ledger.remember_keyed(Keyed { id, version, answered: Some(0) });
    }
    answer
}

fn read(rest: &Rest, root: &str, ledger: &Ledger, random: &mut Random, worked: &mut Worked) -> Answer {
    let id = ledger.id(random.below(IDS));
    let answer = rest.call("POST", &format!("{root}/records/get"), &json!({"ids": [id.to_string()], "with_vector": true}));
    if let Ok((200, body)) = &answer {
        let seen = match &body["records"][0] {
            Value::Null => Ok(None),
            record => read_record(record).map(|(_, version)| Some(version)),
        };
        match seen {
            Ok(seen) => worked.violations.extend(ledger.judge_record(id, seen)),
            Err(violation) => worked.violations.push(violation),
        }
    }
    answer
}
