//! Speaking REST: one thread a connection, each with a closed loop.

use std::error::Error;
use std::thread;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use ureq::Agent;

use crate::data_set::Vectors;
use crate::measure::{Answered, K, Run};
use crate::query::{Ask, Progress, packed, row_of};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

type Failure = Box<dyn Error + Send + Sync>;

/// Connections to one server.
pub(crate) struct Rest {
    root: String,
    agents: Vec<Agent>,
}

impl Rest {
    /// Prepares the connections, which open with their first request.
    pub(crate) fn connect(address: &str, connections: usize) -> Self {
        let agent = || Agent::config_builder().http_status_as_error(false).proxy(None).max_idle_connections_per_host(1).build().into();
        Self { root: format!("http://{address}/v1/collections"), agents: (0..connections).map(|_| agent()).collect() }
    }

    fn first(&self) -> Result<&Agent, Failure> {
        self.agents.first().ok_or_else(|| "there is no connection".into())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        post(self.first()?, &format!("{}{path}", self.root), body.to_string().as_bytes())
    }

    /// Makes the collection and writes every row, batch after batch, each of them durable.
    ///
    /// # Errors
    /// What the server refuses.
    pub(crate) fn ingest(&self, collection: &str, base: &Vectors, metadata: &[Map<String, Value>], batch: usize) -> Result<(), Failure> {
        self.post("", &json!({"name": collection, "dimension": base.dimension, "metric": "cosine"}))?;
        let rows: Vec<&[f32]> = base.rows().collect();
        for (number, rows) in rows.chunks(batch).enumerate() {
            let record = |(i, vector): (usize, &&[f32])| {
                let row = number * batch + i;
                let metadata = metadata.get(row).cloned().unwrap_or_default();
                json!({"id": row.to_string(), "vector": STANDARD.encode(packed(vector)), "metadata": metadata})
            };
            let insert: Vec<Value> = rows.iter().enumerate().map(record).collect();
            self.post(&format!("/{collection}/records"), &json!({ "insert": insert }))?;
        }
        Ok(())
    }

    /// Has what is in memory written as segments.
    ///
    /// # Errors
    /// What the server fails with.
    pub(crate) fn flush(&self, collection: &str) -> Result<(), Failure> {
        self.post(&format!("/{collection}/flush"), &json!({})).map(drop)
    }

    /// How far the server is.
    ///
    /// # Errors
    /// As of [`Rest::flush`].
    pub(crate) fn progress(&self, collection: &str) -> Result<Progress, Failure> {
        let mut response = self.first()?.get(format!("{}/{collection}/index", self.root)).call()?;
        let status = response.status();
        let body: Value = serde_json::from_slice(&response.body_mut().read_to_vec()?)?;
        let count = |key: &str| body.get(key).and_then(Value::as_u64).ok_or_else(|| format!("{status}: {body}"));
        Ok(Progress {
            indexed: count("indexed_rows")?,
            unindexed: count("unindexed_rows")?,
            memtable: count("memtable_rows")?,
            segments: body.get("segments").and_then(Value::as_array).map_or(0, Vec::len),
            ready: body.get("status").and_then(Value::as_str) == Some("ready"),
        })
    }

    /// Asks the queries in this order, each connection the next one as soon as it has an answer.
    ///
    /// # Errors
    /// The first failure of a connection ends its loop, and is told when all have ended.
    pub(crate) fn run(&self, ask: &Ask, queries: &[Bytes], order: &[usize]) -> Result<Run, Failure> {
        let url = format!("{}/{}/search", self.root, ask.collection);
        let bodies: Vec<(usize, Vec<u8>)> = order.iter().map(|query| (*query, body(ask, &queries[*query]))).collect();
        let started = now();
        let answered = thread::scope(|scope| {
            let loops: Vec<_> = (0..self.agents.len())
                .map(|first| {
                    let (url, bodies, agent) = (&url, &bodies, &self.agents[first]);
                    scope.spawn(move || {
                        let mine = bodies.iter().skip(first).step_by(self.agents.len());
                        mine.map(|(query, body)| search(agent, url, *query, body)).collect::<Result<Vec<_>, Failure>>()
                    })
                })
                .collect();
            let ended = loops.into_iter().map(|ending| ending.join().map_err(|_| "a connection's thread has panicked")?);
            ended.collect::<Result<Vec<_>, Failure>>()
        })?;
        Ok(Run { took: started.elapsed(), answered: answered.into_iter().flatten().collect() })
    }
}

#[expect(clippy::disallowed_methods, reason = "a load generator reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn post(agent: &Agent, url: &str, body: &[u8]) -> Result<Value, Failure> {
    let mut response = agent.post(url).header("content-type", "application/json").send(body)?;
    let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    if !response.status().is_success() {
        return Err(format!("{url}: {}: {}", response.status(), String::from_utf8_lossy(&answer)).into());
    }
    if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer)?) }
}

fn search(agent: &Agent, url: &str, query: usize, body: &[u8]) -> Result<Answered, Failure> {
    let started = now();
    let answer = post(agent, url, body)?;
    let took = started.elapsed();
    let hits = answer.get("hits").and_then(Value::as_array).ok_or("an answer has no hits")?;
    let row = |hit: &Value| Ok(row_of(hit.get("id").and_then(Value::as_str).ok_or("a hit has no id")?)?);
    Ok(Answered { query, took, hits: hits.iter().map(row).collect::<Result<_, Failure>>()? })
}

fn body(ask: &Ask, vector: &Bytes) -> Vec<u8> {
    let mut body = Map::from_iter([
        ("vector".to_owned(), STANDARD.encode(vector).into()),
        ("k".to_owned(), K.into()),
        ("with_metadata".to_owned(), ask.with_metadata.into()),
    ]);
    body.extend(ask.ef.map(|ef| ("ef".to_owned(), ef.into())));
    body.extend(ask.filter.as_ref().map(|range| {
        let condition = Map::from_iter([(range.field.clone(), json!({"$gte": range.gte, "$lte": range.lte}))]);
        ("filter".to_owned(), Value::Object(condition))
    }));
    Value::Object(body).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::Range;

    #[test]
    fn a_search_says_what_is_asked() {
        let filter = Range { name: "f".into(), field: "month".into(), gte: 1, lte: 2 };
        let ask = Ask { collection: "c".into(), ef: Some(64), filter: Some(filter), with_metadata: false };
        let sent: Value = serde_json::from_slice(&body(&ask, &packed(&[1.0]))).expect("JSON");
        let month = json!({"$gte": 1, "$lte": 2});
        assert_eq!(sent, json!({"vector": "AACAPw==", "k": 10, "with_metadata": false, "ef": 64, "filter": {"month": month}}));
        let plain: Value = serde_json::from_slice(&body(&Ask { ef: None, filter: None, ..ask }, &packed(&[1.0]))).expect("JSON");
        assert_eq!(plain.as_object().map(Map::len), Some(3));
    }
}
