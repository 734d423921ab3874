//! Speaking gRPC: the closed loops of all connections on one thread, which leaves the other processors to the server.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::time::Instant;

use bytes::Bytes;
use proximadb_proto::v1;
use proximadb_proto::v1::proxima_db_client::ProximaDbClient;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use v1::field_test::Test;
use v1::filter::Node;
use v1::search_query::Near;
use v1::value::Kind;
use v1::vector::Components;

use crate::data_set::{Range, Vectors};
use crate::measure::{Answered, K, Run};
use crate::query::{Ask, Progress, row_of};

/// Bytes of a write's message that the server takes; far more than any batch has.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

type Failure = Box<dyn Error + Send + Sync>;

/// Connections to one server.
pub(crate) struct Grpc {
    runtime: Runtime,
    clients: Vec<ProximaDbClient<Channel>>,
    streams: usize,
}

impl Grpc {
    /// Opens the connections.
    ///
    /// # Errors
    /// When there is no server.
    pub(crate) fn connect(address: &str, connections: usize, streams: usize) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let clients = runtime.block_on(async {
            let mut clients = Vec::new();
            for _ in 0..connections {
                let client = ProximaDbClient::new(endpoint.connect().await?);
                clients.push(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX));
            }
            Ok::<_, tonic::transport::Error>(clients)
        })?;
        Ok(Self { runtime, clients, streams })
    }

    fn call<T, F>(&self, call: impl FnOnce(ProximaDbClient<Channel>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let client = self.clients.first().ok_or("there is no connection")?.clone();
        Ok(self.runtime.block_on(call(client))?.into_inner())
    }

    /// Makes the collection and writes every row, batch after batch, each of them durable.
    ///
    /// # Errors
    /// What the server refuses.
    pub(crate) fn ingest(&self, collection: &str, base: &Vectors, metadata: &[Map<String, Value>], batch: usize) -> Result<(), Failure> {
        let spec = v1::CreateCollectionRequest {
            name: collection.to_owned(),
            dimension: base.dimension as u64,
            metric: "cosine".to_owned(),
            ..Default::default()
        };
        self.call(|mut client| async move { client.create_collection(spec).await })?;
        let rows: Vec<&[f32]> = base.rows().collect();
        for (number, rows) in rows.chunks(batch).enumerate() {
            let record = |(i, vector): (usize, &&[f32])| {
                let row = number * batch + i;
                v1::Record {
                    id: row.to_string(),
                    vector: Some(vector_of(crate::query::packed(vector))),
                    metadata: metadata.get(row).map(fields).unwrap_or_default(),
                    expires: None,
                }
            };
            let insert = rows.iter().enumerate().map(record).collect();
            let write = v1::WriteRequest { collection: collection.to_owned(), insert, ..Default::default() };
            self.call(|mut client| async move { client.write(write).await })?;
        }
        Ok(())
    }

    /// Has what is in memory written as segments.
    ///
    /// # Errors
    /// What the server fails with.
    pub(crate) fn flush(&self, collection: &str) -> Result<(), Failure> {
        let request = v1::FlushRequest { collection: collection.to_owned() };
        self.call(|mut client| async move { client.flush(request).await }).map(drop)
    }

    /// How far the server is.
    ///
    /// # Errors
    /// As of [`Grpc::flush`].
    pub(crate) fn progress(&self, collection: &str) -> Result<Progress, Failure> {
        let request = v1::GetIndexStatusRequest { collection: collection.to_owned() };
        let status = self.call(|mut client| async move { client.get_index_status(request).await })?;
        Ok(Progress {
            indexed: status.indexed_rows,
            unindexed: status.unindexed_rows,
            memtable: status.memtable_rows,
            segments: status.segments.len(),
            ready: status.status == "ready",
        })
    }

    /// Asks the queries in this order, each stream the next one as soon as it has an answer.
    ///
    /// # Errors
    /// The first failure ends the run.
    pub(crate) fn run(&self, ask: &Ask, queries: &[Bytes], order: &[usize]) -> Result<Run, Failure> {
        let plans = share(order, self.clients.len() * self.streams);
        let searches = self.clients.iter().cycle().zip(plans).map(|(client, order)| {
            let requests = order.into_iter().map(|query| (query, request(ask, queries[query].clone()))).collect::<Vec<_>>();
            search_all(client.clone(), requests)
        });
        self.runtime.block_on(async {
            let started = now();
            let mut running = JoinSet::new();
            let local = tokio::task::LocalSet::new();
            for search in searches {
                running.spawn_local_on(search, &local);
            }
            let answered = local.run_until(async {
                let mut answered = Vec::with_capacity(order.len());
                while let Some(done) = running.join_next().await {
                    answered.extend(done??);
                }
                Ok::<_, Failure>(answered)
            });
            let answered = answered.await?;
            Ok(Run { took: started.elapsed(), answered })
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a load generator reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// The queries of each loop: every so manyth, so that all have as many, up to one.
fn share(order: &[usize], connections: usize) -> Vec<Vec<usize>> {
    (0..connections).map(|first| order.iter().skip(first).step_by(connections).copied().collect()).collect()
}

async fn search_all(mut client: ProximaDbClient<Channel>, requests: Vec<(usize, v1::SearchRequest)>) -> Result<Vec<Answered>, Failure> {
    let mut answered = Vec::with_capacity(requests.len());
    for (query, request) in requests {
        let started = now();
        let response = client.search(request).await?;
        let took = started.elapsed();
        let hits = response.get_ref().hits.iter().map(|hit| row_of(&hit.id)).collect::<Result<_, _>>()?;
        answered.push(Answered { query, took, hits });
    }
    Ok(answered)
}

fn request(ask: &Ask, vector: Bytes) -> v1::SearchRequest {
    let query = v1::SearchQuery {
        near: Some(Near::Vector(vector_of(vector))),
        k: Some(K as u64),
        filter: ask.filter.as_ref().map(filter),
        ef: ask.ef,
        with_metadata: Some(ask.with_metadata),
        ..Default::default()
    };
    v1::SearchRequest { collection: ask.collection.clone(), query: Some(query) }
}

fn vector_of(packed: Bytes) -> v1::Vector {
    v1::Vector { components: Some(Components::Packed(packed)) }
}

fn filter(range: &Range) -> v1::Filter {
    let test = |test: fn(v1::Value) -> Test, bound: i64| {
        let bound = v1::Value { kind: Some(Kind::IntValue(bound)) };
        v1::Filter { node: Some(Node::Field(v1::FieldTest { path: range.field.clone(), test: Some(test(bound)) })) }
    };
    let filters = vec![test(Test::Gte, range.gte), test(Test::Lte, range.lte)];
    v1::Filter { node: Some(Node::AllOf(v1::FilterList { filters })) }
}

fn fields(object: &Map<String, Value>) -> BTreeMap<String, v1::Value> {
    object.iter().map(|(key, inner)| (key.clone(), value(inner))).collect()
}

fn value(json: &Value) -> v1::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(v1::NullValue::Unspecified.into()),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Kind::IntValue(n),
            (_, Some(n)) => Kind::UintValue(n),
            // JSON has no other numbers than these.
            _ => Kind::DoubleValue(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(v1::ListValue { values: items.iter().map(value).collect() }),
        Value::Object(inner) => Kind::StructValue(v1::StructValue { fields: fields(inner) }),
    };
    v1::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_the_queries() {
        assert_eq!(share(&[5, 6, 7, 8, 9], 2), [vec![5, 7, 9], vec![6, 8]]);
        assert_eq!(share(&[5], 3), [vec![5], vec![], vec![]]);
    }
}
