//! The REST contract over a double of the database: what reaches the port, what is answered, and that refusals reach nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use proximadb_model::{CodecId, CollectionRef, Filter, IndexSettings};
use proximadb_ports::conformance::{Call, Mishap, RecordingDatabase};
use proximadb_ports::{Change, Durability, Fault, Query};
use proximadb_rest::{RestSettings, http_status, router};
use serde_json::{Value, json};
use tower::ServiceExt;

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }
}

struct Server {
    database: Arc<RecordingDatabase>,
    settings: RestSettings,
}

impl Server {
    fn new() -> Self {
        Self { database: RecordingDatabase::new(), settings: RestSettings { request_id_prefix: "p".to_owned(), ..RestSettings::default() } }
    }

    async fn send(&self, request: Request<Body>) -> Answered {
        let response = router(self.database.clone(), self.settings.clone()).oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        Answered { status: parts.status, headers: parts.headers, bytes: body.collect().await.expect("whole").to_bytes().to_vec() }
    }

    async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Answered {
        self.call_as(method, path, "application/json", body).await
    }

    async fn call_as(&self, method: &str, path: &str, media: &str, body: impl Into<Body>) -> Answered {
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        self.send(request.body(body.into()).expect("valid")).await
    }

    /// A refusal that names this field and reaches nothing.
    async fn refuses(&self, method: &str, path: &str, body: &str, field: &str) {
        let answered = self.call(method, path, body.to_owned()).await;
        let problem = answered.json();
        assert_eq!(answered.status, StatusCode::BAD_REQUEST, "{path} {field}: {problem}");
        assert_eq!(answered.headers["content-type"], "application/problem+json");
        assert_eq!(problem["field"].as_str().unwrap_or(""), field, "{path}: {problem}");
        assert_eq!(problem["code"], "invalid_argument");
        assert_eq!(problem["retryable"], false);
        assert_eq!(self.database.take_calls(), [], "{path} {field} reached the database");
    }

    async fn accepts(&self, method: &str, path: &str, body: &str) -> (Value, Vec<Call>) {
        let answered = self.call(method, path, body.to_owned()).await;
        assert!(answered.status.is_success(), "{body}: {}", answered.json());
        (answered.json(), self.database.take_calls())
    }
}

const C: &str = "/v1/collections/documents";

#[tokio::test]
async fn bad_input_is_named_and_reaches_nothing() {
    let server = Server::new();
    let long = "x".repeat(257);
    let deep = format!(r#"{{"filter": {}1{}}}"#, r#"{"$not":"#.repeat(40), "}".repeat(40));
    let wide = format!(r#"{{"vector": [1], "filter": {{"$or": [{}{{"a": 1}}]}}}}"#, r#"{"a": 1},"#.repeat(2_000));
    let batch = format!(r#"{{"delete": [{}1]}}"#, "1,".repeat(10_000));
    let split = format!(r#"{{"upsert": [{{"id": 1, "vector": [1]}}], "delete": [{}1]}}"#, "1,".repeat(9_999));
    let metadata = format!(r#"{{"upsert": [{{"id": 1, "vector": [1], "metadata": {{"a": "{}"}}}}]}}"#, "x".repeat(70_000));
    let queries = format!(r#"{{"queries": [{}{{"id": 1}}]}}"#, r#"{"id": 1},"#.repeat(1_000));
    let collections = "/v1/collections";
    let (records, search) = (&format!("{C}/records"), &format!("{C}/search"));
    let (batch_path, scan, count) = (&format!("{C}/search/batch"), &format!("{C}/scan"), &format!("{C}/count"));
    for (path, body, field) in [
        (collections, r#"{"dimension": 3}"#, "name"),
        (collections, r#"{"name": "../x", "dimension": 3}"#, "name"),
        (collections, r#"{"name": "a"}"#, "dimension"),
        (collections, r#"{"name": "a", "dimension": 0}"#, "dimension"),
        (collections, r#"{"name": "a", "dimension": 65537}"#, "dimension"),
        (collections, r#"{"name": "a", "dimension": 3.5}"#, "dimension"),
        (collections, r#"{"name": "a", "dimension": 3, "metric": "cosin"}"#, "metric"),
        (collections, r#"{"name": "a", "dimension": 3, "metrc": "cosine"}"#, "metrc"),
        (collections, r#"{"name": "a", "dimension": 3, "shards": 65}"#, "shards"),
        (collections, r#"{"name": "a", "dimension": 3, "index": {"kind": "tree"}}"#, "index.kind"),
        (collections, r#"{"name": "a", "dimension": 3, "index": {"m": 3}}"#, "index.m"),
        (collections, r#"{"name": "a", "dimension": 3, "schema": {"x": "text"}}"#, "schema.x"),
        (collections, r#"{"name": "a", "dimension": 3, "schema": {"$x": "string"}}"#, "schema"),
        (collections, "", "name"),
        (collections, "{", ""),
        (collections, "[]", ""),
        (records, "{}", ""),
        (records, r#"{"upsert": [{"vector": [1]}]}"#, "upsert[0].id"),
        (records, r#"{"upsert": [{"id": 1}]}"#, "upsert[0].vector"),
        (records, r#"{"upsert": [{"id": 1, "vector": []}]}"#, "upsert[0].vector"),
        (records, r#"{"upsert": [{"id": 1, "vector": ""}]}"#, "upsert[0].vector"),
        (records, r#"{"upsert": [{"id": 1, "vector": "AACAfw=="}]}"#, "upsert[0].vector[0]"),
        (records, r#"{"insert": [{"id": 1, "vector": [1]}, {"id": 1, "vector": [1, 1e39]}]}"#, "insert[1].vector[1]"),
        (records, r#"{"upsert": [{"id": 1, "vector": [1], "metadata": {"a": 1e999}}]}"#, "upsert[0].metadata.a"),
        (records, r#"{"upsert": [{"id": "a\nb", "vector": [1]}]}"#, "upsert[0].id"),
        (records, &format!(r#"{{"delete": ["{long}"]}}"#), "delete[0]"),
        (records, r#"{"upsert": [{"id": 1, "vector": [1], "expires": "soon"}]}"#, "upsert[0].expires"),
        (records, r#"{"patch": [{"id": 1}]}"#, "patch[0].metadata"),
        (records, r#"{"delete_where": {"year": {"$foo": 1}}}"#, "delete_where.year.$foo"),
        (records, r#"{"delete": [], "durability": "never"}"#, "durability"),
        (records, &batch, "delete"),
        (records, &split, "delete"),
        (records, &metadata, "upsert[0].metadata"),
        (search, "{}", "vector"),
        (search, r#"{"vector": [1], "id": 1}"#, "id"),
        (search, r#"{"vector": [1], "k": 0}"#, "k"),
        (search, r#"{"vector": [1], "k": 10001}"#, "k"),
        (search, r#"{"vector": [1], "k": 9223372036854775808}"#, "k"),
        (search, r#"{"vector": [1], "offset": 99991}"#, "offset"),
        (search, r#"{"vector": [1], "offset": 18446744073709551615}"#, "offset"),
        (search, r#"{"vector": [1], "ef": 8193}"#, "ef"),
        (search, r#"{"vector": [1], "recall_target": 0}"#, "recall_target"),
        (search, r#"{"vector": [1], "recall_target": 1.01}"#, "recall_target"),
        (search, r#"{"vector": [1], "recall_target": 0.9, "ef": 10}"#, "recall_target"),
        (search, r#"{"vector": [1], "timeout_ms": 0}"#, "timeout_ms"),
        (search, r#"{"vector": [1], "timeout_ms": 600001}"#, "timeout_ms"),
        (search, r#"{"vector": [1, 1e39]}"#, "vector[1]"),
        (search, r#"{"vector": [NaN]}"#, "vector[0]"),
        (search, r#"{"vector": [1], "recall": 0.9}"#, "recall"),
        (search, r#"{"vector": [1], "filter": {"year": {"$gt": null}}}"#, "filter.year.$gt"),
        (search, r#"{"vector": [1], "filter": {"$nor": []}}"#, "filter.$nor"),
        (search, r#"{"vector": [1], "filter": []}"#, "filter"),
        (batch_path, r#"{"queries": [{"id": 1}, {"id": 1, "k": 0}]}"#, "queries[1].k"),
        (batch_path, r#"{"queries": [{"id": 1, "filter": {"a": {"$x": 1}}}]}"#, "queries[0].filter.a.$x"),
        (batch_path, "{}", "queries"),
        (batch_path, &queries, "queries"),
        (scan, r#"{"limit": 0}"#, "limit"),
        (scan, r#"{"limit": 10001}"#, "limit"),
        (scan, r#"{"cursor": 3}"#, "cursor"),
        (count, r#"{"filter": {"a": {"$in": 1}}}"#, "filter.a.$in"),
        (&format!("{C}/flush"), r#"{"now": true}"#, "now"),
        (&format!("{C}/accept_loss"), r#"{"all": true}"#, "all"),
        (&format!("{C}/accept_loss?all=true"), "", "all"),
        ("/v1/collections/.../accept_loss", "", "collection"),
        ("/v1/sites/1/drain", r#"{"to": 2}"#, "to"),
        ("/v1/sites/1/drain?force=true", "", "force"),
        ("/v1/sites/one/drain", "", "site"),
        ("/v1/sites/%2e%2e/drain", "", "site"),
        ("/v1/sites/4294967296/fail_over", "", "site"),
        ("/v1/sites/1/fail_over", r#"{"force": true}"#, "force"),
        ("/v1/rebalance", r#"{"site": 1}"#, "site"),
        ("/v1/rebalance", "[]", ""),
        (&format!("{C}/records/get"), "{}", "ids"),
        (&format!("{C}/search?k=3"), r#"{"vector": [1]}"#, "k"),
        (&format!("{C}/records?durability=async"), r#"{"delete": []}"#, "durability"),
        ("/v1/collections/.../search", r#"{"vector": [1]}"#, "collection"),
        ("/v1/collections/%ff/search", r#"{"vector": [1]}"#, "collection"),
    ] {
        server.refuses("POST", path, body, field).await;
    }
    for (method, path, field) in [
        ("GET", format!("{C}?x=1"), "x"),
        ("GET", format!("{C}/records/1?with_vector=yes"), "with_vector"),
        ("GET", format!("{C}/records/1?with_vector=true&with_vector=true"), "with_vector"),
        ("GET", format!("{C}/records/1?vector_format=hex"), "vector_format"),
        ("GET", format!("{C}/records/a%0Ab"), "id"),
        ("DELETE", format!("{C}/records/{long}"), "id"),
        ("DELETE", format!("{C}/records/1?durability=never"), "durability"),
        ("DELETE", "/v1/sites/-1/drain".to_owned(), "site"),
        ("DELETE", "/v1/sites/1/drain?x=1".to_owned(), "x"),
        ("GET", "/v1/tasks?state=running".to_owned(), "state"),
    ] {
        server.refuses(method, &path, "", field).await;
    }
    // Beyond the depth of a body or the conditions of a filter, the place is as far as reading came.
    for (path, body, start) in [(count, deep, "filter.$not.$not"), (search, wide, "filter.$or[")] {
        let answered = server.call("POST", path, body).await;
        assert_eq!(answered.status, StatusCode::BAD_REQUEST);
        assert!(answered.json()["field"].as_str().expect("named").starts_with(start));
    }
    assert_eq!(server.database.take_calls(), []);
}

#[tokio::test]
async fn every_error_is_a_problem_with_an_id() {
    let server = Server::new();
    let search = format!("{C}/search");
    let json = "application/json";
    for (method, path, media, body, status, code) in [
        ("GET", "/nowhere", json, "", 404, "not_found"),
        ("GET", "/v1/nothing", json, "", 404, "not_found"),
        ("PUT", C, json, "", 405, "method_not_allowed"),
        ("GET", &search, json, "", 405, "method_not_allowed"),
        ("POST", &search, "text/plain", "{}", 415, "unsupported_media_type"),
        ("POST", &format!("{C}/records"), "application/vnd.apache.arrow.stream", "x", 415, "unsupported_media_type"),
        ("POST", &search, "application/avro", "x", 415, "unsupported_media_type"),
        ("POST", &search, json, "{\"vector\": [", 400, "invalid_argument"),
        ("GET", &format!("{C}/records/missing"), json, "", 404, "not_found"),
    ] {
        let answered = server.call_as(method, path, media, body).await;
        let problem = answered.json();
        assert_eq!(answered.status.as_u16(), status, "{method} {path}");
        assert_eq!(answered.headers["content-type"], "application/problem+json", "{method} {path}");
        assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(u64::from(status)), Some(code)));
        assert_eq!(problem["request_id"].as_str(), answered.headers["x-request-id"].to_str().ok());
        for key in ["type", "title", "detail"] {
            assert!(!problem[key].as_str().expect(key).is_empty(), "{method} {path}: {key}");
        }
    }
    let wrong_method = server.call("PUT", C, "").await;
    assert!(wrong_method.headers["allow"].to_str().expect("text").contains("PATCH"));
    let wrong_media = server.call_as("POST", &format!("{C}/records"), "text/csv", "").await;
    assert!(wrong_media.json()["detail"].as_str().expect("text").contains("application/avro"));
    assert_eq!(wrong_media.headers["accept"], "application/json, application/avro, avro/binary");
}

#[tokio::test]
async fn request_ids_differ_within_a_process() {
    let app = router(RecordingDatabase::new(), RestSettings { request_id_prefix: "p\r\n".to_owned(), ..RestSettings::default() });
    let mut ids = Vec::new();
    for _ in 0..3 {
        let response = app.clone().oneshot(Request::get("/livez").body(Body::empty()).expect("valid")).await.expect("infallible");
        ids.push(response.headers()["x-request-id"].to_str().expect("text").to_owned());
    }
    assert_eq!(ids, ["p-1", "p-2", "p-3"]);
}

#[tokio::test]
async fn faults_have_their_status_and_keep_their_cause() {
    let server = Server::new();
    for fault in Fault::ALL {
        server.database.set_mishap(Mishap { fault: Some((fault, Some("changes[1].vector".to_owned()))), ..Mishap::default() });
        let body = r#"{"upsert": [{"id": 2, "vector": [1]}], "insert": [{"id": 1, "vector": [1]}]}"#;
        let answered = server.call("POST", &format!("{C}/records"), body).await;
        let problem = answered.json();
        assert_eq!(answered.status, http_status(fault));
        assert_eq!(problem["code"], fault.code());
        assert_eq!(problem["retryable"], fault.is_retryable());
        assert_eq!(problem["field"], "upsert[0].vector", "the engine's place is not the client's");
        assert!(!problem.to_string().contains("the cause"), "{problem}");
    }
    server.database.set_mishap(Mishap { fault: Some((Fault::Invalid, Some("queries[0].vector".to_owned()))), ..Mishap::default() });
    let answered = server.call("POST", &format!("{C}/search"), r#"{"vector": [1]}"#).await;
    assert_eq!(answered.json()["field"], "vector");
}

#[tokio::test]
async fn collections_answer_as_documented() {
    let server = Server::new();
    let body = r#"{"name": "documents", "dimension": 384, "metric": "dot_product", "schema": {"year": "integer"}, "index": {"m": 32}}"#;
    let created = server.call("POST", "/v1/collections", body).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let described = created.json();
    assert_eq!(described["id"], "01010101-0101-0101-0101-010101010101");
    assert_eq!(
        (&described["name"], &described["dimension"], &described["metric"]),
        (&json!("documents"), &json!(384), &json!("dot_product"))
    );
    assert_eq!(described["index"], json!({"kind": "auto", "m": 32, "ef_construction": 200, "ef_search": 96}));
    assert_eq!(described["schema"], json!({"year": "integer"}));
    assert_eq!(described["created"], "1970-01-01T00:00:00Z");
    server.database.set_mishap(Mishap { existing: true, ..Mishap::default() });
    assert_eq!(server.call("POST", "/v1/collections", body).await.status, StatusCode::OK);
    server.database.take_calls();

    let (list, _) = server.accepts("GET", "/v1/collections", "").await;
    assert_eq!(list["collections"][0]["name"], "documents");
    let (_, calls) = server.accepts("GET", "/v1/collections/01010101-0101-0101-0101-010101010101", "").await;
    assert!(matches!(&calls[..], [Call::Describe(CollectionRef::Id(_))]));
    let (_, calls) = server.accepts("PATCH", C, r#"{"index": {"ef_search": 7}}"#).await;
    let [Call::Describe(_), Call::Update(_, patch)] = &calls[..] else { panic!("{calls:?}") };
    let index = patch.index.expect("given");
    assert_eq!((index.m, index.ef_search, &patch.description), (IndexSettings::default().m, 7, &None));
    let dropped = server.call("DELETE", C, "").await;
    assert_eq!((dropped.status, dropped.bytes.len()), (StatusCode::NO_CONTENT, 0));
}

#[tokio::test]
async fn writes_reach_the_port_in_order() {
    let server = Server::new();
    let body = r#"{"delete_where": {"year": 3}, "delete": [4], "patch": [{"id": 3, "metadata": {"a": null}, "vector": "AACAPw=="}],
        "upsert": [{"id": 2, "vector": [0.5], "metadata": {"n": 18446744073709551615}, "expires": "1970-01-01T00:00:01Z"}],
        "insert": [{"id": "1", "vector": [1]}], "durability": "async"}"#;
    let (answer, calls) = server.accepts("POST", &format!("{C}/records"), body).await;
    assert_eq!(
        answer,
        json!({"upserted": 1, "inserted": 1, "patched": 1, "deleted": 2, "durable": false, "sequence": 9, "replayed": false})
    );
    let [Call::Write(_, request)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(request.durability, Durability::Async);
    let [
        Change::Insert(one),
        Change::Upsert(two),
        Change::Patch { id, metadata, vector },
        Change::Delete(four),
        Change::DeleteWhere(filter),
    ] = &request.changes[..]
    else {
        panic!("{:?}", request.changes)
    };
    assert_eq!((one.id.as_str(), two.id.as_str(), id.as_str(), four.as_str()), ("1", "2", "3", "4"));
    assert_eq!((&two.vector, two.metadata.get("n")), (&vec![0.5], Some(&proximadb_model::Value::UInt(u64::MAX))));
    assert_eq!(two.expires.map(|t| t.0), Some(1_000_000));
    assert_eq!((metadata.get("a"), vector.as_deref()), (Some(&proximadb_model::Value::Null), Some(&[1.0][..])));
    assert!(matches!(filter, Filter::Field { path, .. } if path == "year"));

    let request = Request::post(format!("{C}/records")).header("idempotency-key", "once").body(Body::from(r#"{"delete": []}"#));
    assert_eq!(server.send(request.expect("valid")).await.status, StatusCode::OK);
    let request = Request::delete(format!("{C}/records/a%2Fb?durability=async")).header("idempotency-key", "twice").body(Body::empty());
    assert_eq!(server.send(request.expect("valid")).await.status, StatusCode::OK);
    let calls = server.database.take_calls();
    let [Call::Write(_, first), Call::Write(_, second)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((first.idempotency_key.as_deref(), second.idempotency_key.as_deref()), (Some("once"), Some("twice")));
    assert!(matches!(&second.changes[..], [Change::Delete(id)] if id.as_str() == "a/b"));
    assert_eq!(second.durability, Durability::Async);

    let request = Request::post(format!("{C}/records")).header("idempotency-key", "k".repeat(256)).body(Body::from(r#"{"delete": []}"#));
    let answered = server.send(request.expect("valid")).await;
    assert_eq!(answered.json()["field"], "idempotency_key");
    assert_eq!(server.database.take_calls(), []);
}

#[tokio::test]
async fn avro_is_handed_on_as_it_came() {
    let server = Server::new();
    for media in ["application/avro", "avro/binary; charset=binary"] {
        let answered = server.call_as("POST", &format!("{C}/records?durability=async"), media, vec![1u8, 2, 3]).await;
        assert_eq!(answered.status, StatusCode::OK);
        let calls = server.database.take_calls();
        let [Call::Write(_, request)] = &calls[..] else { panic!("{calls:?}") };
        let encoded = request.encoded.as_ref().expect("encoded");
        assert_eq!((encoded.codec, &encoded.payload[..]), (CodecId::AVRO, &[1u8, 2, 3][..]));
        assert_eq!((request.changes.len(), request.durability), (0, Durability::Async));
    }
    let answered = server.call_as("POST", &format!("{C}/records"), "avro/binary", "").await;
    assert_eq!((answered.status, answered.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some("avro")));
}

#[tokio::test]
async fn reads_answer_as_documented() {
    let server = Server::new();
    let metadata =
        json!({"big": u64::MAX, "small": i64::MIN, "list": [true, null, 1.0], "inner": {"x": 0.1, "when": "1970-01-01T00:00:00Z"}});
    let record = json!({"id": "1", "vector": [0.5, -1.0, 0.100000024], "metadata": metadata, "expires": "1970-01-01T00:00:00.000001Z", "version": 7});
    let (one, _) = server.accepts("GET", &format!("{C}/records/1"), "").await;
    assert_eq!(one, record);
    let (bare, _) = server.accepts("GET", &format!("{C}/records/1?with_vector=false&with_metadata=false"), "").await;
    assert_eq!(bare, json!({"id": "1", "expires": "1970-01-01T00:00:00.000001Z", "version": 7}));
    let (many, _) = server.accepts("POST", &format!("{C}/records/get"), r#"{"ids": [1, "missing"], "vector_format": "base64"}"#).await;
    assert_eq!((&many["records"][0]["vector"], &many["records"][1]), (&json!("AAAAPwAAgL/QzMw9"), &Value::Null));
    let (page, _) = server.accepts("POST", &format!("{C}/scan"), r#"{"limit": 1, "with_vector": true}"#).await;
    assert_eq!(page, json!({"records": [record], "cursor": "next"}));
    let (last, calls) = server.accepts("POST", &format!("{C}/scan"), r#"{"cursor": "next", "filter": {"a": 1}}"#).await;
    assert_eq!(last["cursor"], Value::Null);
    assert!(matches!(&calls[..], [Call::Scan(_, r)] if r.limit == 100 && r.filter.is_some() && r.cursor.as_deref() == Some("next")));
    let (count, _) = server.accepts("POST", &format!("{C}/count"), "").await;
    assert_eq!(count, json!({"count": 42}));
}

#[tokio::test]
async fn searches_answer_as_documented() {
    let server = Server::new();
    let stats = json!({"took_us": 8, "segments": 1, "memtable_rows": 2, "rows_filtered": 3, "distances": 4, "code_distances": 5,
        "hops": 6, "graph_walks": 1, "recall_estimate": 0.5});
    let (answer, calls) = server.accepts("POST", &format!("{C}/search"), r#"{"vector": [0.5, 1], "k": 1, "with_metadata": false}"#).await;
    let hit = json!({"id": "1", "score": 0.1, "distance": 0.9, "score_kind": "similarity", "version": 7});
    assert_eq!(answer, json!({"hits": [hit], "stats": stats}));
    let [Call::Search(_, queries)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((&queries[0].query, queries[0].k, queries[0].read.metadata), (&Query::Vector(vec![0.5, 1.0]), 1, false));
    let (_, calls) = server.accepts("POST", &format!("{C}/search"), r#"{"vector": [1], "ef": 64}"#).await;
    assert!(matches!(&calls[..], [Call::Search(_, queries)] if (queries[0].ef, queries[0].recall_target) == (Some(64), None)));

    let body = r#"{"id": 5, "k": 2, "offset": 3, "filter": {"year": {"$gte": 2020}}, "recall_target": 0.9, "exact": true, "score_threshold": 0.1,
        "with_vector": true, "explain": true, "timeout_ms": 250}"#;
    let (answer, calls) = server.accepts("POST", &format!("{C}/search"), body).await;
    assert_eq!(answer["hits"][1]["vector"], json!([0.5, -1.0, 0.100000024]));
    assert_eq!(answer["hits"][1]["metadata"]["big"], json!(u64::MAX));
    let line = json!({"shard": 0, "rows": 10, "allowed": 9, "index": "graph", "strategy": "approximate", "reason": "graph",
        "originals": "disk", "filter": "memory", "ef": 96, "recall_estimate": 0.5, "distances": 4, "code_distances": 5, "hops": 6, "graph_walks": 1});
    assert_eq!(answer["explain"], json!([line]));
    let [Call::Search(_, queries)] = &calls[..] else { panic!("{calls:?}") };
    let query = &queries[0];
    assert!(matches!(&query.query, Query::Record(id) if id.as_str() == "5"));
    assert_eq!((query.k, query.offset, query.exact, query.explain), (2, 3, true, true));
    assert_eq!((query.ef, query.recall_target), (None, Some(0.9)));
    assert_eq!((query.score_threshold, query.timeout), (Some(0.1), Some(Duration::from_millis(250))));
    assert!(query.filter.is_some() && query.read.vector && query.read.metadata);

    let body = r#"{"queries": [{"vector": "AACAPw==", "k": 1}, {"id": "x", "vector_format": "base64", "with_vector": true, "k": 1}]}"#;
    let (answer, _) = server.accepts("POST", &format!("{C}/search/batch"), body).await;
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["results"][1]["hits"][0]["vector"], "AAAAPwAAgL/QzMw9");
    assert_eq!(answer["results"][0]["stats"], stats);
}

#[tokio::test]
async fn moves_reach_the_port_and_are_answered_with_their_task() {
    let server = Server::new();
    let task = |kind: &str, site: Value| {
        json!({"id": 1, "kind": kind, "site": site, "state": "running", "shards_total": 4, "shards_done": 1, "bytes_total": 400,
            "bytes_done": 100, "problem": "one shard is slow", "started": "1970-01-01T00:00:00Z"})
    };
    let uuid = "02020202-0202-0202-0202-020202020202";
    for (path, answer, call) in [
        ("/v1/sites/1/drain", task("drain", json!(1)), Call::Drain("1".to_owned())),
        (&format!("/v1/sites/{uuid}/drain"), task("drain", json!(1)), Call::Drain(uuid.to_owned())),
        ("/v1/sites/1/fail_over", task("fail_over", json!(1)), Call::FailOver("1".to_owned())),
        ("/v1/rebalance", task("rebalance", Value::Null), Call::Rebalance),
    ] {
        for body in ["", "{}"] {
            let answered = server.call("POST", path, body).await;
            assert_eq!((answered.status, answered.json()), (StatusCode::ACCEPTED, answer.clone()), "{path}");
            assert_eq!(server.database.take_calls(), std::slice::from_ref(&call), "{path}");
        }
    }
    let cancelled = server.call("DELETE", "/v1/sites/1/drain", "").await;
    assert_eq!((cancelled.status, cancelled.bytes.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(server.database.take_calls(), [Call::CancelDrain("1".to_owned())]);
    assert_eq!(server.accepts("GET", "/v1/tasks", "").await.0, json!({"tasks": [task("drain", json!(1))]}));
    let (losses, calls) = server.accepts("POST", &format!("{C}/accept_loss"), "{}").await;
    assert_eq!(losses, json!({"losses": [{"shard": 0, "what": "segment 1", "rows": 7}]}));
    assert!(matches!(&calls[..], [Call::AcceptLoss(CollectionRef::Name(name))] if name.as_str() == "documents"), "{calls:?}");
}

#[tokio::test]
async fn moves_fail_with_the_status_of_their_fault() {
    let server = Server::new();
    for fault in Fault::ALL {
        server.database.set_mishap(Mishap { fault: Some((fault, Some("site".to_owned()))), ..Mishap::default() });
        for (method, path) in [
            ("POST", "/v1/sites/1/drain"),
            ("DELETE", "/v1/sites/1/drain"),
            ("POST", "/v1/sites/1/fail_over"),
            ("POST", "/v1/rebalance"),
            ("POST", &format!("{C}/accept_loss")),
        ] {
            let answered = server.call(method, path, "").await;
            let problem = answered.json();
            assert_eq!(answered.status, http_status(fault), "{method} {path}");
            assert_eq!((&problem["code"], &problem["field"]), (&json!(fault.code()), &json!("site")), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_server_tells_how_it_is() {
    let server = Server::new();
    let (index, _) = server.accepts("GET", &format!("{C}/index"), "").await;
    assert_eq!((&index["status"], &index["unindexed_rows"], &index["recall_estimate"]), (&json!("ready"), &json!(0), &json!(0.1)));
    assert_eq!((&index["resident_bytes"], &index["filter_bytes"]), (&json!(100), &json!(50)));
    let (flushed, calls) = server.accepts("POST", &format!("{C}/flush"), "{}").await;
    assert_eq!((flushed, calls.len()), (json!({"flushed": true}), 1));
    let (sites, _) = server.accepts("GET", "/v1/sites", "").await;
    let site = &sites["sites"][0];
    assert_eq!((&site["instance"], &site["free_bytes"], &site["draining"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!((&site["mirror"], &site["log_copies"]), (&json!("one object is missing"), &json!("in step")));
    let (assignments, _) = server.accepts("GET", "/v1/assignments", "").await;
    assert_eq!(assignments["assignments"][0]["name"], "documents");
    let (plugins, _) = server.accepts("GET", "/v1/plugins", "").await;
    let expected = json!({
        "name": "near", "kind": "metric", "sha256": "0".repeat(64), "state": "resting", "breaker": "open",
        "problem": "the plugin took too long", "calls": 9, "faults": 5, "micros": 7,
    });
    assert_eq!(plugins, json!({ "plugins": [expected] }));
    assert_eq!(server.accepts("GET", "/health", "").await.0["status"], "ok");
    assert_eq!(server.call("GET", "/metrics", "").await.bytes, b"# TYPE up gauge\nup 1\n");
    assert_eq!(server.accepts("GET", "/openapi.json", "").await.0["openapi"], "3.1.0");
    assert_eq!(server.call("GET", "/readyz", "").await.status, StatusCode::OK);

    server.database.set_mishap(Mishap { not_ready: true, ..Mishap::default() });
    let ready = server.call("GET", "/readyz", "").await;
    assert_eq!((ready.status, ready.json()["problems"][0].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("a disk is gone")));
    assert_eq!(server.call("GET", "/livez", "").await.status, StatusCode::OK);
    assert_eq!(server.accepts("GET", "/health", "").await.0["status"], "unavailable");
}

const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\x56\xb2\x52\x30\xd6\x51\x50\x2a\x4b\x4d\x2e\xc9\x2f\x02\x72\xa2\x0d\x63\x6b\x01\x20\xd8\x6b\xf7\x17\x00\x00\x00";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x04\x58\xb9\x00\x00\x7b\x22\x6b\x22\x3a\x20\x33\x2c\x20\x22\x76\x65\x63\x74\x6f\x72\x22\x3a\x20\x5b\x31\x5d\x7d\xc7\x6b\xf6\x24";
/// 5,000 spaces and an empty object.
const GZIP_LARGE: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x41\x11\x00\x00\x0c\x02\xa0\x2a\xf6\xf4\xec\xbe\x14\xfb\x01\x09\x00\x00\x00\x00\xf0\xad\x3b\x0c\x3f\x83\xf4\x8a\x13\x00\x00";

#[tokio::test]
async fn bodies_have_a_limit_after_decompression() {
    let mut server = Server::new();
    server.settings.body_bytes_max = 4_096;
    let encoded = |encoding: &str, body: &'static [u8]| {
        let request = Request::post(format!("{C}/search")).header("content-encoding", encoding).body(Body::from(body));
        request.expect("valid")
    };
    assert_eq!(server.send(encoded("gzip", GZIP)).await.status, StatusCode::OK);
    assert_eq!(server.send(encoded("zstd", ZSTD)).await.status, StatusCode::OK);
    assert!(matches!(&server.database.take_calls()[..], [Call::Search(_, a), Call::Search(_, b)] if a == b && a[0].k == 3));

    let padded = |bytes: usize| format!("{}{}", r#"{"vector": [1]}"#, " ".repeat(bytes - 15));
    assert_eq!(server.call("POST", &format!("{C}/search"), padded(4_096)).await.status, StatusCode::OK);
    server.database.take_calls();
    let large = [server.call("POST", &format!("{C}/search"), padded(4_097)).await, server.send(encoded("gzip", GZIP_LARGE)).await];
    for answered in large {
        assert_eq!((answered.status, answered.json()["code"].as_str()), (StatusCode::PAYLOAD_TOO_LARGE, Some("body_too_large")));
    }
    let unknown = server.send(encoded("br", GZIP)).await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_media_type")));
    let broken = server.send(encoded("gzip", b"not gzip")).await;
    assert_eq!((broken.status, broken.json()["code"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_argument")));
    assert_eq!(server.database.take_calls(), []);
}
