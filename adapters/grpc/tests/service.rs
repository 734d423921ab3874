//! The gRPC contract over a double of the database: what reaches the port, what is answered, and that refusals reach nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use proximadb_grpc::{BadRequest, ErrorInfo, GrpcServer, GrpcSettings, RpcStatus, grpc_code};
use proximadb_model::{CodecId, CollectionRef, Filter, IndexSettings, Test};
use proximadb_ports::conformance::{Call, Mishap, RecordingDatabase};
use proximadb_ports::{Change, Durability, Fault, Query};
use proximadb_proto::v1;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use v1::proxima_db_client::ProximaDbClient;
use v1::value::Kind;
use v1::vector::Components;

struct Server {
    database: Arc<RecordingDatabase>,
    channel: Channel,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(GrpcSettings { request_id_prefix: "p".to_owned(), ..GrpcSettings::default() }).await
    }

    async fn start_with(settings: GrpcSettings) -> Self {
        let (database, address, stop, task) = Self::listen(settings).await;
        let channel = Channel::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("listens");
        Self { database, channel, stop, task }
    }

    /// Serves one client over one connection.
    async fn listen(settings: GrpcSettings) -> (Arc<RecordingDatabase>, SocketAddr, oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let database = RecordingDatabase::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = GrpcServer::new(database.clone(), &settings).expect("reflection is sound");
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            server.connection(stream.into_std()?, async move { drop(stopped.await) }, Handle::current()).await
        });
        (database, address, stop, task)
    }

    fn client(&self) -> ProximaDbClient<Channel> {
        ProximaDbClient::new(self.channel.clone()).max_encoding_message_size(usize::MAX)
    }

    /// A refusal that names this field and reaches nothing.
    fn refused<T: std::fmt::Debug>(&self, outcome: Result<T, Status>, field: &str) {
        let status = outcome.expect_err(field);
        let (info, bad) = details(&status);
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("invalid_argument", "proximadb"));
        assert_eq!(info.metadata.get("field").map(String::as_str), Some(field), "{status:?}");
        assert_eq!(bad.expect("a field is to blame").field_violations[0].field, field);
        assert_eq!(self.database.take_calls(), [], "{field} reached the database");
    }
}

fn details(status: &Status) -> (ErrorInfo, Option<BadRequest>) {
    let rpc = RpcStatus::decode(status.details()).expect("google.rpc.Status");
    assert_eq!((rpc.code, rpc.message.as_str()), (status.code() as i32, status.message()));
    let find = |name: &str| rpc.details.iter().find(|d| d.type_url == format!("type.googleapis.com/google.rpc.{name}"));
    let info = ErrorInfo::decode(find("ErrorInfo").expect("always there").value.clone()).expect("google.rpc.ErrorInfo");
    (info, find("BadRequest").map(|d| BadRequest::decode(d.value.clone()).expect("google.rpc.BadRequest")))
}

fn floats(values: &[f32]) -> Option<v1::Vector> {
    Some(v1::Vector { components: Some(Components::Floats(v1::Floats { values: values.to_vec() })) })
}

fn packed(bytes: &'static [u8]) -> Option<v1::Vector> {
    Some(v1::Vector { components: Some(Components::Packed(bytes.into())) })
}

fn value(kind: Kind) -> v1::Value {
    v1::Value { kind: Some(kind) }
}

fn record(id: &str, vector: Option<v1::Vector>) -> v1::Record {
    v1::Record { id: id.to_owned(), vector, ..Default::default() }
}

fn write() -> v1::WriteRequest {
    v1::WriteRequest { collection: "documents".to_owned(), ..Default::default() }
}

fn field(path: &str, test: v1::field_test::Test) -> v1::Filter {
    v1::Filter { node: Some(v1::filter::Node::Field(v1::FieldTest { path: path.to_owned(), test: Some(test) })) }
}

fn query() -> v1::SearchQuery {
    v1::SearchQuery { near: Some(v1::search_query::Near::Vector(floats(&[1.0]).expect("some"))), ..Default::default() }
}

#[tokio::test]
async fn bad_collections_are_named_and_reach_nothing() {
    let server = Server::start().await;
    let good = v1::CreateCollectionRequest { name: "a".to_owned(), dimension: 3, ..Default::default() };
    let index = |index: v1::IndexSettings| v1::CreateCollectionRequest { index: Some(index), ..good.clone() };
    let schema = |name: &str, kind: &str| BTreeMap::from([(name.to_owned(), kind.to_owned())]);
    for (request, field) in [
        (v1::CreateCollectionRequest { name: "../x".to_owned(), ..good.clone() }, "name"),
        (v1::CreateCollectionRequest { name: String::new(), ..good.clone() }, "name"),
        (v1::CreateCollectionRequest { dimension: 0, ..good.clone() }, "dimension"),
        (v1::CreateCollectionRequest { dimension: 65_537, ..good.clone() }, "dimension"),
        (v1::CreateCollectionRequest { metric: "cosin".to_owned(), ..good.clone() }, "metric"),
        (v1::CreateCollectionRequest { shards: Some(0), ..good.clone() }, "shards"),
        (v1::CreateCollectionRequest { schema: schema("x", "text"), ..good.clone() }, "schema.x"),
        (v1::CreateCollectionRequest { schema: schema("$x", "string"), ..good.clone() }, "schema"),
        (index(v1::IndexSettings { kind: Some("tree".to_owned()), ..Default::default() }), "index.kind"),
        (index(v1::IndexSettings { m: Some(3), ..Default::default() }), "index.m"),
    ] {
        server.refused(server.client().create_collection(request).await, field);
    }
    let named = v1::GetCollectionRequest { collection: "..".to_owned() };
    server.refused(server.client().get_collection(named).await, "collection");
}

#[tokio::test]
async fn bad_writes_are_named_and_reach_nothing() {
    let server = Server::start().await;
    let upsert = |record| v1::WriteRequest { upsert: vec![record], ..write() };
    let metadata = |kind| v1::Record { metadata: BTreeMap::from([("a".to_owned(), kind)]), ..record("1", floats(&[1.0])) };
    let nested = v1::StructValue { fields: BTreeMap::from([("b".to_owned(), value(Kind::DoubleValue(f64::NAN)))]) };
    let list = v1::ListValue { values: vec![v1::Value { kind: None }] };
    let unknown = field("$x", v1::field_test::Test::Exists(true));
    for (request, field) in [
        (write(), ""),
        (upsert(record("", floats(&[1.0]))), "upsert[0].id"),
        (upsert(record("a\nb", floats(&[1.0]))), "upsert[0].id"),
        (upsert(record(&"x".repeat(257), floats(&[1.0]))), "upsert[0].id"),
        (upsert(record("1", None)), "upsert[0].vector"),
        (upsert(record("1", floats(&[]))), "upsert[0].vector"),
        (upsert(record("1", packed(&[0; 6]))), "upsert[0].vector"),
        (upsert(record("1", packed(&[0; 65_537 * 4]))), "upsert[0].vector"),
        (upsert(record("1", packed(&[0, 0, 0x80, 0x7f]))), "upsert[0].vector[0]"),
        (upsert(record("1", floats(&[1.0, 1e39_f64 as f32]))), "upsert[0].vector[1]"),
        (upsert(metadata(value(Kind::DoubleValue(f64::INFINITY)))), "upsert[0].metadata.a"),
        (upsert(metadata(value(Kind::StructValue(nested)))), "upsert[0].metadata.a.b"),
        (upsert(metadata(value(Kind::ListValue(list)))), "upsert[0].metadata.a[0]"),
        (upsert(metadata(value(Kind::StringValue("x".repeat(70_000))))), "upsert[0].metadata"),
        (upsert(v1::Record { expires: Some("soon".to_owned()), ..record("1", floats(&[1.0])) }), "upsert[0].expires"),
        (v1::WriteRequest { insert: vec![record("1", floats(&[1.0])), record("2", None)], ..write() }, "insert[1].vector"),
        (v1::WriteRequest { patch: vec![v1::Patch { id: "1".to_owned(), ..Default::default() }], ..write() }, "patch[0].metadata"),
        (v1::WriteRequest { delete: vec!["1".to_owned(), String::new()], ..write() }, "delete[1]"),
        (v1::WriteRequest { delete: vec!["1".to_owned(); 10_001], ..write() }, "delete"),
        (v1::WriteRequest { delete_where: vec![unknown], ..write() }, "delete_where[0].$x"),
        (v1::WriteRequest { durability: 9, delete: vec!["1".to_owned()], ..write() }, "durability"),
        (v1::WriteRequest { idempotency_key: Some("k".repeat(256)), delete: vec!["1".to_owned()], ..write() }, "idempotency_key"),
        (v1::WriteRequest { avro: Some(b"x".as_slice().into()), delete: vec!["1".to_owned()], ..write() }, "avro"),
        (v1::WriteRequest { avro: Some(Default::default()), ..write() }, "avro"),
        (v1::WriteRequest { collection: String::new(), ..write() }, "collection"),
    ] {
        server.refused(server.client().write(request).await, field);
    }
}

#[tokio::test]
async fn bad_reads_are_named_and_reach_nothing() {
    use v1::field_test::Test as Operator;
    let server = Server::start().await;
    let filtered = |filter| v1::SearchQuery { filter: Some(filter), ..query() };
    let node = |node| v1::Filter { node: Some(node) };
    let wide = v1::FilterList { filters: vec![field("a", Operator::Exists(true)); 2_000] };
    let deep = (0..40).fold(field("a", Operator::Exists(true)), |inner, _| node(v1::filter::Node::Negated(Box::new(inner))));
    let pathless = node(v1::filter::Node::Field(v1::FieldTest { path: "a".to_owned(), test: None }));
    for (bad, field) in [
        (v1::SearchQuery::default(), "vector"),
        (v1::SearchQuery { k: Some(0), ..query() }, "k"),
        (v1::SearchQuery { k: Some(1 << 63), ..query() }, "k"),
        (v1::SearchQuery { k: Some(10_001), ..query() }, "k"),
        (v1::SearchQuery { offset: 99_991, ..query() }, "offset"),
        (v1::SearchQuery { offset: u64::MAX, ..query() }, "offset"),
        (v1::SearchQuery { ef: Some(8_193), ..query() }, "ef"),
        (v1::SearchQuery { recall_target: Some(0.0), ..query() }, "recall_target"),
        (v1::SearchQuery { recall_target: Some(f32::NAN), ..query() }, "recall_target"),
        (v1::SearchQuery { recall_target: Some(0.9), ef: Some(10), ..query() }, "recall_target"),
        (v1::SearchQuery { timeout_ms: Some(0), ..query() }, "timeout_ms"),
        (v1::SearchQuery { timeout_ms: Some(600_001), ..query() }, "timeout_ms"),
        (v1::SearchQuery { score_threshold: Some(f32::NAN), ..query() }, "score_threshold"),
        (v1::SearchQuery { near: Some(v1::search_query::Near::Id(String::new())), ..Default::default() }, "id"),
        (filtered(v1::Filter { node: None }), "filter"),
        (filtered(node(v1::filter::Node::AnyOf(Default::default()))), "filter.any_of"),
        (filtered(node(v1::filter::Node::AllOf(wide))), "filter"),
        (filtered(deep), "filter"),
        (filtered(pathless), "filter.a.test"),
        (filtered(field("a", Operator::Gt(value(Kind::NullValue(0))))), "filter.a.gt"),
        (filtered(field("a", Operator::Eq(value(Kind::DoubleValue(f64::NAN))))), "filter.a.eq"),
    ] {
        let request = v1::SearchRequest { collection: "documents".to_owned(), query: Some(bad) };
        server.refused(server.client().search(request).await, field);
    }
    let collection = || "documents".to_owned();
    let none = v1::SearchRequest { collection: collection(), query: None };
    server.refused(server.client().search(none).await, "query");
    let second = v1::SearchBatchRequest { collection: collection(), queries: vec![query(), v1::SearchQuery { k: Some(0), ..query() }] };
    server.refused(server.client().search_batch(second).await, "queries[1].k");
    let many = v1::SearchBatchRequest { collection: collection(), queries: vec![query(); 1_001] };
    server.refused(server.client().search_batch(many).await, "queries");
    let scan = v1::ScanRequest { collection: collection(), limit: Some(0), ..Default::default() };
    server.refused(server.client().scan(scan).await, "limit");
    let get = v1::GetRecordsRequest { collection: collection(), ids: vec!["1".to_owned(); 10_001], ..Default::default() };
    server.refused(server.client().get_records(get).await, "ids");
    let count = v1::CountRequest { collection: collection(), filter: Some(v1::Filter { node: None }) };
    server.refused(server.client().count(count).await, "filter");
}

#[tokio::test]
async fn writes_reach_the_port_in_order() {
    let server = Server::start().await;
    let metadata = BTreeMap::from([("n".to_owned(), value(Kind::UintValue(u64::MAX)))]);
    let year = field("year", v1::field_test::Test::OneOf(v1::ListValue { values: vec![value(Kind::IntValue(3))] }));
    let request = v1::WriteRequest {
        delete_where: vec![year],
        delete: vec!["4".to_owned()],
        patch: vec![v1::Patch { id: "3".to_owned(), metadata: metadata.clone(), vector: packed(&[0, 0, 0x80, 0x3f]) }],
        upsert: vec![v1::Record { metadata, expires: Some("1970-01-01T00:00:01Z".to_owned()), ..record("2", floats(&[0.5])) }],
        insert: vec![record("1", packed(&[0, 0, 0x80, 0x3f]))],
        durability: v1::Durability::Async.into(),
        idempotency_key: Some("once".to_owned()),
        ..write()
    };
    let response = server.client().write(request).await.expect("valid");
    assert!(response.metadata().get("x-request-id").is_some());
    let answer = response.into_inner();
    assert_eq!((answer.upserted, answer.inserted, answer.patched, answer.deleted, answer.durable, answer.sequence), (1, 1, 1, 2, false, 9));
    let calls = server.database.take_calls();
    let [Call::Write(_, request)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((request.durability, request.idempotency_key.as_deref()), (Durability::Async, Some("once")));
    let [Change::Insert(one), Change::Upsert(two), Change::Patch { vector, .. }, Change::Delete(four), Change::DeleteWhere(filter)] =
        &request.changes[..]
    else {
        panic!("{:?}", request.changes)
    };
    assert_eq!((one.id.as_str(), two.id.as_str(), four.as_str(), vector.as_deref()), ("1", "2", "4", Some(&[1.0][..])));
    assert_eq!((&one.vector, &two.vector, two.expires.map(|t| t.0)), (&vec![1.0], &vec![0.5], Some(1_000_000)));
    assert_eq!(two.metadata.get("n"), Some(&proximadb_model::Value::UInt(u64::MAX)));
    assert_eq!(filter, &Filter::Field { path: "year".to_owned(), test: Test::In(vec![proximadb_model::Value::Int(3)]) });

    let avro = v1::WriteRequest { avro: Some(b"datum".as_slice().into()), ..write() };
    server.client().write(avro).await.expect("valid");
    let calls = server.database.take_calls();
    let [Call::Write(_, request)] = &calls[..] else { panic!("{calls:?}") };
    let encoded = request.encoded.as_ref().expect("as it came");
    assert_eq!((encoded.codec, &encoded.payload[..], request.changes.len()), (CodecId::AVRO, &b"datum"[..], 0));
}

#[tokio::test]
async fn a_stream_adds_up_and_says_how_far_it_came() {
    let server = Server::start().await;
    let one = || v1::WriteRequest { upsert: vec![record("1", floats(&[1.0]))], ..write() };
    let total = server.client().write_stream(tokio_stream::iter([one(), one(), one()])).await.expect("valid").into_inner();
    assert_eq!((total.messages, total.upserted, total.durable, total.sequence), (3, 3, true, 9));
    let bad = v1::WriteRequest { upsert: vec![record("", floats(&[1.0]))], ..write() };
    let status = server.client().write_stream(tokio_stream::iter([one(), bad, one()])).await.expect_err("the second is bad");
    let (info, _) = details(&status);
    assert_eq!((info.metadata["applied_messages"].as_str(), info.metadata["field"].as_str()), ("1", "upsert[0].id"));
    assert_eq!(server.database.take_calls().len(), 4);
}

#[tokio::test]
async fn reads_answer_what_the_port_answers() {
    let server = Server::start().await;
    let mut client = server.client();
    let ids = vec!["1".to_owned(), "missing".to_owned()];
    let get = v1::GetRecordsRequest { collection: "documents".to_owned(), ids, ..Default::default() };
    let found = client.get_records(get).await.expect("valid").into_inner().results;
    let stored = found[0].record.as_ref().expect("there");
    assert!(found[1].record.is_none());
    assert_eq!((stored.id.as_str(), stored.version, stored.metadata["big"].kind.as_ref()), ("1", 7, Some(&Kind::UintValue(u64::MAX))));
    let bytes: Vec<u8> = RecordingDatabase::VECTOR.iter().flat_map(|c| c.to_le_bytes()).collect();
    assert_eq!(stored.vector.as_ref().and_then(|v| v.components.clone()), Some(Components::Packed(bytes.into())));

    let request = v1::SearchQuery {
        k: Some(2),
        explain: true,
        with_vector: Some(true),
        timeout_ms: Some(1_000),
        recall_target: Some(0.9),
        ..query()
    };
    let search = v1::SearchRequest { collection: "documents".to_owned(), query: Some(request.clone()) };
    let answer = client.search(search).await.expect("valid").into_inner();
    assert_eq!((answer.hits.len(), answer.hits[0].score, answer.hits[0].distance, answer.score_kind.as_str()), (2, 0.1, 0.9, "similarity"));
    let stats = answer.stats.expect("always");
    assert_eq!((stats.took_us, stats.distances, stats.graph_walks, stats.recall_estimate), (8, 4, 1, Some(0.5)));
    let line = &answer.explain[0];
    assert_eq!(
        (line.strategy.as_str(), line.filter.as_str(), line.ef, line.recall_estimate),
        ("approximate", "memory", Some(96), Some(0.5))
    );
    let batch = v1::SearchBatchRequest { collection: "documents".to_owned(), queries: vec![request, query()] };
    assert_eq!(client.search_batch(batch).await.expect("valid").into_inner().results.len(), 2);
    let calls = server.database.take_calls();
    let [Call::Get(..), Call::Search(_, one), Call::Search(_, two)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((&one[0].query, one[0].timeout, two.len()), (&Query::Vector(vec![1.0]), Some(Duration::from_secs(1)), 2));
    assert_eq!((one[0].recall_target, two[1].recall_target), (Some(0.9), None));

    let page = client.scan(v1::ScanRequest { collection: "documents".to_owned(), ..Default::default() }).await.expect("valid").into_inner();
    assert_eq!((page.records.len(), page.cursor.as_deref()), (1, Some("next")));
    let count = v1::CountRequest { collection: "documents".to_owned(), filter: None };
    assert_eq!(client.count(count).await.expect("valid").into_inner().count, 42);
}

#[tokio::test]
async fn collections_and_status_answer_what_the_port_answers() {
    let server = Server::start().await;
    let mut client = server.client();
    let create = v1::CreateCollectionRequest { name: "documents".to_owned(), dimension: 384, ..Default::default() };
    let created = client.create_collection(create).await.expect("valid").into_inner();
    let collection = created.collection.expect("always");
    assert_eq!((created.created, collection.metric.as_str(), collection.dimension), (true, "cosine", 384));
    let index = v1::IndexSettings { ef_search: Some(7), ..Default::default() };
    let update = v1::UpdateCollectionRequest { collection: collection.id, index: Some(index), description: None };
    client.update_collection(update).await.expect("valid");
    let calls = server.database.take_calls();
    let [Call::Create(_), Call::Describe(_), Call::Update(_, patch)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(patch.index.map(|i| (i.m, i.ef_search)), Some((IndexSettings::default().m, 7)));
    assert_eq!(client.list_collections(v1::ListCollectionsRequest {}).await.expect("valid").into_inner().collections.len(), 1);
    let named = || "documents".to_owned();
    client.delete_collection(v1::DeleteCollectionRequest { collection: named() }).await.expect("valid");
    client.flush(v1::FlushRequest { collection: named() }).await.expect("valid");
    let index = client.get_index_status(v1::GetIndexStatusRequest { collection: named() }).await.expect("valid").into_inner();
    assert_eq!((index.status.as_str(), index.recall_estimate, index.segments.len()), ("ready", Some(0.1), 1));
    assert_eq!((index.resident_bytes, index.filter_bytes), (100, 50));
    let site = client.list_sites(v1::ListSitesRequest {}).await.expect("valid").into_inner().sites.remove(0);
    assert_eq!((site.free_bytes, site.draining), (Some(1), true));
    assert_eq!((site.mirror.as_deref(), site.log_copies.as_deref()), (Some("one object is missing"), Some("in step")));
    let assignment = client.list_assignments(v1::ListAssignmentsRequest {}).await.expect("valid").into_inner().assignments.remove(0);
    assert_eq!((assignment.name.as_str(), assignment.site), ("documents", site.id));
    let plugins = client.list_plugins(v1::ListPluginsRequest {}).await.expect("valid").into_inner().plugins;
    let expected = v1::Plugin {
        name: "near".to_owned(),
        kind: "metric".to_owned(),
        sha256: "0".repeat(64),
        state: "resting".to_owned(),
        breaker: "open".to_owned(),
        problem: Some("the plugin took too long".to_owned()),
        calls: 9,
        faults: 5,
        micros: 7,
    };
    assert_eq!(plugins, [expected]);
    let status = client.get_server_status(v1::GetServerStatusRequest {}).await.expect("valid").into_inner();
    assert_eq!((status.status.as_str(), status.ready, status.sites.len()), ("ok", true, 1));
}

#[tokio::test]
async fn moves_reach_the_port_and_are_answered_with_their_task() {
    let server = Server::start().await;
    let mut client = server.client();
    let task = |kind: &str, site: Option<u32>| v1::Task {
        id: 1,
        kind: kind.to_owned(),
        site,
        state: "running".to_owned(),
        shards_total: 4,
        shards_done: 1,
        bytes_total: 400,
        bytes_done: 100,
        problem: Some("one shard is slow".to_owned()),
        started: "1970-01-01T00:00:00Z".to_owned(),
    };
    let site = || "1".to_owned();
    let drained = client.drain_site(v1::DrainSiteRequest { site: site() }).await.expect("valid");
    assert!(drained.metadata().get("x-request-id").is_some());
    assert_eq!(drained.into_inner(), task("drain", Some(1)));
    client.cancel_drain(v1::CancelDrainRequest { site: site() }).await.expect("valid");
    let uuid = "02020202-0202-0202-0202-020202020202".to_owned();
    let failed_over = client.fail_over(v1::FailOverRequest { site: uuid.clone() }).await.expect("valid").into_inner();
    assert_eq!(failed_over, task("fail_over", Some(1)));
    assert_eq!(client.rebalance(v1::RebalanceRequest {}).await.expect("valid").into_inner(), task("rebalance", None));
    assert_eq!(client.list_tasks(v1::ListTasksRequest {}).await.expect("valid").into_inner().tasks, [task("drain", Some(1))]);
    let accepted = client.accept_loss(v1::AcceptLossRequest { collection: "documents".to_owned() }).await.expect("valid").into_inner();
    assert_eq!(accepted.losses, [v1::Loss { shard: 0, what: "segment 1".to_owned(), rows: 7 }]);
    let documents = CollectionRef::parse("documents").expect("valid");
    let expected = [Call::Drain(site()), Call::CancelDrain(site()), Call::FailOver(uuid), Call::Rebalance, Call::AcceptLoss(documents)];
    assert_eq!(server.database.take_calls(), expected);
}

#[tokio::test]
async fn moves_are_refused_by_their_field_and_fail_with_the_code_of_their_fault() {
    let server = Server::start().await;
    for bad in ["", "one", "-1", "4294967296", "../x"] {
        let site = || bad.to_owned();
        server.refused(server.client().drain_site(v1::DrainSiteRequest { site: site() }).await, "site");
        server.refused(server.client().cancel_drain(v1::CancelDrainRequest { site: site() }).await, "site");
        server.refused(server.client().fail_over(v1::FailOverRequest { site: site() }).await, "site");
    }
    let nameless = v1::AcceptLossRequest { collection: String::new() };
    server.refused(server.client().accept_loss(nameless).await, "collection");
    for fault in Fault::ALL {
        server.database.set_mishap(Mishap { fault: Some((fault, Some("site".to_owned()))), ..Mishap::default() });
        let site = || "1".to_owned();
        let failures = [
            server.client().drain_site(v1::DrainSiteRequest { site: site() }).await.err(),
            server.client().cancel_drain(v1::CancelDrainRequest { site: site() }).await.err(),
            server.client().fail_over(v1::FailOverRequest { site: site() }).await.err(),
            server.client().rebalance(v1::RebalanceRequest {}).await.err(),
            server.client().accept_loss(v1::AcceptLossRequest { collection: "documents".to_owned() }).await.err(),
        ];
        for failure in failures {
            let status = failure.expect("goes wrong");
            let (info, _) = details(&status);
            assert_eq!((status.code(), info.reason.as_str()), (grpc_code(fault), fault.code()));
            assert_eq!(info.metadata["field"], "site");
        }
    }
}

#[tokio::test]
async fn faults_have_their_code_and_details() {
    let server = Server::start().await;
    for fault in Fault::ALL {
        server.database.set_mishap(Mishap { fault: Some((fault, Some("changes[1].vector".to_owned()))), ..Mishap::default() });
        let both = v1::WriteRequest { insert: vec![record("1", floats(&[1.0]))], upsert: vec![record("2", floats(&[1.0]))], ..write() };
        let status = server.client().write(both).await.expect_err("goes wrong");
        let (info, bad) = details(&status);
        assert_eq!((status.code(), info.reason.as_str()), (grpc_code(fault), fault.code()));
        assert_eq!(info.metadata["retryable"], fault.is_retryable().to_string());
        assert_eq!(info.metadata["field"], "upsert[0].vector");
        assert_eq!(Some(info.metadata["request_id"].as_str()), status.metadata().get("x-request-id").and_then(|id| id.to_str().ok()));
        assert_eq!(bad.is_some(), fault == Fault::Invalid);
        assert!(!format!("{status:?}").contains("the cause"));
    }
    server.database.set_mishap(Mishap { fault: Some((Fault::Invalid, Some("queries[0].vector".to_owned()))), ..Mishap::default() });
    let search = v1::SearchRequest { collection: "documents".to_owned(), query: Some(query()) };
    let (info, _) = details(&server.client().search(search).await.expect_err("goes wrong"));
    assert_eq!(info.metadata["field"], "vector");
}

#[tokio::test]
async fn the_nearer_deadline_counts() {
    let server = Server::start().await;
    let seconds = Duration::from_secs;
    for (own, deadline, least, most) in [
        (None, Some(20), seconds(10), seconds(20)),
        (Some(5_000), Some(20), seconds(5), seconds(5)),
        (Some(60_000), Some(20), seconds(10), seconds(20)),
        (None, Some(1_000), seconds(600), seconds(600)),
    ] {
        let query = v1::SearchQuery { timeout_ms: own, ..query() };
        let mut request = Request::new(v1::SearchRequest { collection: "documents".to_owned(), query: Some(query) });
        if let Some(left) = deadline {
            request.set_timeout(seconds(left));
        }
        server.client().search(request).await.expect("valid");
        let calls = server.database.take_calls();
        let [Call::Search(_, queries)] = &calls[..] else { panic!("{calls:?}") };
        let timeout = queries[0].timeout.expect("there is a deadline");
        assert!((least..=most).contains(&timeout), "{own:?} {deadline:?}: {timeout:?}");
    }
}

#[tokio::test]
async fn messages_have_a_limit() {
    let settings = GrpcSettings { message_bytes_max: 10_000, ..GrpcSettings::default() };
    let server = Server::start_with(settings).await;
    let large = v1::WriteRequest { upsert: vec![record("1", floats(&[1.0; 5_000]))], ..write() };
    assert_eq!(server.client().write(large).await.expect_err("too large").code(), Code::OutOfRange);
    assert_eq!(server.database.take_calls(), []);
}

#[tokio::test]
async fn health_is_the_databases_word_and_reflection_is_a_setting() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel.clone());
    let check = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "proximadb.v1.ProximaDb"] {
        assert_eq!(health.check(check(service)).await.expect("known").into_inner().status(), ServingStatus::Serving);
    }
    assert_eq!(health.check(check("other")).await.expect_err("unknown").code(), Code::NotFound);
    let mut watch = health.watch(check("")).await.expect("known").into_inner();
    assert_eq!(watch.message().await.expect("open").expect("the first").status(), ServingStatus::Serving);
    server.database.set_mishap(Mishap { not_ready: true, ..Mishap::default() });
    assert_eq!(health.check(check("")).await.expect("known").into_inner().status(), ServingStatus::NotServing);
    assert_eq!(watch.message().await.expect("open").expect("the change").status(), ServingStatus::NotServing);

    assert_eq!(reflected(&server).await, Code::Unimplemented);
    let open = Server::start_with(GrpcSettings { reflection: true, ..GrpcSettings::default() }).await;
    assert_eq!(reflected(&open).await, Code::Ok);
}

async fn reflected(server: &Server) -> Code {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_response::MessageResponse};
    let message_request = Some(MessageRequest::FileContainingSymbol("proximadb.v1.ProximaDb".to_owned()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let mut client = ServerReflectionClient::new(server.channel.clone());
    match client.server_reflection_info(tokio_stream::iter([request])).await {
        Err(status) => status.code(),
        Ok(answers) => match answers.into_inner().message().await {
            Ok(Some(answer)) => {
                assert!(matches!(answer.message_response, Some(MessageResponse::FileDescriptorResponse(_))));
                Code::Ok
            }
            other => panic!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn a_call_that_takes_longer_than_its_client_waits_is_given_up() {
    let (database, address, _stop, _task) = Server::listen(GrpcSettings::default()).await;
    database.set_mishap(Mishap { endless: true, ..Mishap::default() });
    let stream = TokioIo::new(TcpStream::connect(address).await.expect("listens"));
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let origin = format!("http://{address}").parse().expect("an address");
    let mut request = Request::new(v1::ListCollectionsRequest {});
    request.metadata_mut().insert("grpc-timeout", "20m".parse().expect("ASCII"));
    let status = ProximaDbClient::with_origin(Patient(sender), origin).list_collections(request).await.expect_err("too late");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(details(&status).0.reason, "deadline_exceeded");
}

/// A connection that sends the deadline of a call and does not look at it itself, as tonic's own does.
struct Patient(SendRequest<Body>);

impl Service<http::Request<Body>> for Patient {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

#[tokio::test]
async fn shutdown_lets_a_call_end_and_takes_no_other() {
    let server = Server::start().await;
    server.client().list_sites(v1::ListSitesRequest {}).await.expect("served");
    server.stop.send(()).expect("still there");
    server.task.await.expect("no panic").expect("a clean end");
    assert_eq!(
        ProximaDbClient::new(server.channel).list_sites(v1::ListSitesRequest {}).await.expect_err("closed").code(),
        Code::Unavailable
    );
}
