//! The real server from outside: every route by name and uuid, bad input over both protocols, restarts.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use proximadb_model::{Dimension, MetricKind, Operation, Record, RecordId, Vector};
use proximadb_ports::WalCodec;
use proximadb_proto::v1;
use proximadb_proto::v1::proxima_db_client::ProximaDbClient;
use proximadb_tests::Server;
use proximadb_wal::AvroCodec;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Channel;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

async fn grpc(server: &Server) -> ProximaDbClient<Channel> {
    let channel = Channel::from_shared(server.grpc()).expect("a URL").connect().await.expect("connected");
    ProximaDbClient::new(channel)
}

fn with_documents() -> (TempDir, Server, String) {
    let folder = TempDir::new().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (status, made) = server.call("POST", "/v1/collections", &json!({"name": "documents", "dimension": 3, "metric": "cosine"}));
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().expect("a uuid").to_owned();
    let records: Vec<_> = (0..20)
        .map(|i| json!({"id": format!("doc_{i}"), "vector": [1.0, f64::from(i), 0.5], "metadata": {"year": 2000 + i, "lang": if i % 2 == 0 { "en" } else { "de" }}}))
        .collect();
    let (status, written) = server.call("POST", "/v1/collections/documents/records", &json!({"upsert": records}));
    assert_eq!((status, &written["upserted"], &written["durable"]), (200, &json!(20), &json!(true)), "{written}");
    (folder, server, id)
}

#[test]
fn name_and_uuid_are_interchangeable_on_every_route() {
    let (_folder, server, id) = with_documents();
    let routes = [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({"description": "words"})),
        ("POST", "/records", json!({"upsert": [{"id": "x", "vector": [1, 2, 3]}]})),
        ("GET", "/records/doc_1", Value::Null),
        ("POST", "/records/get", json!({"ids": ["doc_1", "absent"]})),
        ("POST", "/search", json!({"vector": [1, 2, 3], "k": 3, "filter": {"year": {"$gte": 2010}}})),
        ("POST", "/search/batch", json!({"queries": [{"vector": [1, 2, 3], "k": 2}, {"id": "doc_3", "k": 2}]})),
        ("POST", "/scan", json!({"limit": 5})),
        ("POST", "/count", json!({"filter": {"lang": "en"}})),
        ("POST", "/flush", json!({})),
        ("GET", "/index", Value::Null),
        ("DELETE", "/records/x", Value::Null),
    ];
    for (method, path, body) in routes {
        let (by_name, named) = server.call(method, &format!("/v1/collections/documents{path}"), &body);
        let (by_uuid, identified) = server.call(method, &format!("/v1/collections/{id}{path}"), &body);
        assert_eq!(by_name, 200, "{method} {path}: {named}");
        assert_eq!(by_uuid, 200, "{method} {path}: {identified}");
        assert_eq!(named["hits"].as_array().map(Vec::len), identified["hits"].as_array().map(Vec::len));
    }
    let (status, _) = server.call("DELETE", &format!("/v1/collections/{id}"), &Value::Null);
    assert!(status < 300, "{status}");
    assert_eq!(server.call("GET", "/v1/collections/documents", &Value::Null).0, 404);
}

#[test]
fn bad_input_is_refused_by_field_over_rest_and_changes_nothing() {
    let (_folder, server, _) = with_documents();
    let records = "/v1/collections/documents/records";
    let search = "/v1/collections/documents/search";
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let cases = [
        (records, r#"{"upsert": [{"id": "a", "vector": [1, NaN, 3]}]}"#.to_owned(), ""),
        (records, r#"{"upsert": [{"id": "a", "vector": [1, 1e39, 3]}]}"#.to_owned(), "upsert[0].vector[1]"),
        (records, r#"{"upsert": [{"id": "a", "vector": [1, 2]}]}"#.to_owned(), "upsert[0].vector"),
        (records, r#"{"upsert": [{"id": "a", "vector": [0, 0, 0]}]}"#.to_owned(), "upsert[0].vector"),
        (records, r#"{"upsert": [{"id": "a", "vectr": [1, 2, 3]}]}"#.to_owned(), "upsert[0].vectr"),
        (records, r#"{"upsert": [{"id": "", "vector": [1, 2, 3]}]}"#.to_owned(), "upsert[0].id"),
        (records, r#"{"upsert": [{"id": "a", "vector": "AAAA"}]}"#.to_owned(), "upsert[0].vector"),
        (records, r#"{"delete_where": {"year": {"$foo": 1}}}"#.to_owned(), "delete_where.year.$foo"),
        (records, "{}".to_owned(), ""),
        (search, r#"{"vector": [1, 2, 3], "k": 0}"#.to_owned(), "k"),
        (search, r#"{"vector": [1, 2, 3], "k": 9223372036854775808}"#.to_owned(), "k"),
        (search, r#"{"vector": [1, 2, 3], "k": -1}"#.to_owned(), "k"),
        (search, r#"{"vector": [1, 2, 3], "k": 3, "ef": 100000}"#.to_owned(), "ef"),
        (search, r#"{"vector": [1, 2, 3], "k": 3, "filter": {"year": {"$foo": 1}}}"#.to_owned(), "filter.year.$foo"),
        (search, format!(r#"{{"vector": [1, 2, 3], "k": 3, "filter": {{"a": {deep}}}}}"#), ""),
        (search, r#"{"vector": [1, 2, 3], "k": 3, "limit": 3}"#.to_owned(), "limit"),
        (search, r#"{"k": 3}"#.to_owned(), "vector"),
        ("/v1/collections", r#"{"name": "../x", "dimension": 3}"#.to_owned(), "name"),
        ("/v1/collections", r#"{"name": "a", "dimension": 0}"#.to_owned(), "dimension"),
        ("/v1/collections", r#"{"name": "a", "dimension": 3, "metric": "cosin"}"#.to_owned(), "metric"),
    ];
    for (path, body, field) in cases {
        let (status, problem) = server.try_raw("POST", path, &body, &[("content-type", "application/json")]).expect("an answer");
        assert_eq!(status, 400, "{path} {body}: {problem}");
        assert_eq!(problem["code"], "invalid_argument", "{body}: {problem}");
        if !field.is_empty() {
            assert_eq!(problem["field"], field, "{body}: {problem}");
        }
        assert!(problem["request_id"].is_string() && problem["retryable"] == json!(false), "{problem}");
    }
    assert_eq!(server.call("POST", "/v1/collections/documents/count", &json!({})).1["count"], 20);
    assert_eq!(server.call("GET", "/v1/collections", &Value::Null).1["collections"].as_array().map(Vec::len), Some(1));
}

fn violated_field(status: &tonic::Status) -> String {
    // The field stands in the details as text; finding it there is enough to tell that it is named.
    String::from_utf8_lossy(status.details()).into_owned()
}

#[test]
fn bad_input_is_refused_by_field_over_grpc_and_changes_nothing() {
    let (_folder, server, _) = with_documents();
    block_on(async {
        let mut client = grpc(&server).await;
        let packed = |v: &[f32]| v1::Vector {
            components: Some(v1::vector::Components::Packed(v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>().into())),
        };
        let upsert = |id: &str, v: &[f32]| v1::WriteRequest {
            collection: "documents".to_owned(),
            upsert: vec![v1::Record { id: id.to_owned(), vector: Some(packed(v)), metadata: Default::default(), expires: None }],
            ..Default::default()
        };
        for (request, field) in [
            (upsert("a", &[1.0, f32::NAN, 3.0]), "upsert[0].vector[1]"),
            (upsert("a", &[1.0, 2.0]), "upsert[0].vector"),
            (upsert("", &[1.0, 2.0, 3.0]), "upsert[0].id"),
        ] {
            let refused = client.write(request).await.expect_err(field);
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
            assert!(violated_field(&refused).contains(field), "{field} is not in {refused:?}");
        }
        let near = |k| v1::SearchRequest {
            collection: "documents".to_owned(),
            query: Some(v1::SearchQuery {
                near: Some(v1::search_query::Near::Vector(packed(&[1.0, 2.0, 3.0]))),
                k: Some(k),
                ..Default::default()
            }),
        };
        for k in [0, 1 << 63] {
            let refused = client.search(near(k)).await.expect_err("k");
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
            assert!(violated_field(&refused).contains('k'), "{refused:?}");
        }
        let named = v1::CreateCollectionRequest { name: "../x".to_owned(), dimension: 3, ..Default::default() };
        assert_eq!(client.create_collection(named).await.expect_err("name").code(), tonic::Code::InvalidArgument);
        let missing = v1::GetCollectionRequest { collection: "absent".to_owned() };
        assert_eq!(client.get_collection(missing).await.expect_err("absent").code(), tonic::Code::NotFound);
        let count = client.count(v1::CountRequest { collection: "documents".to_owned(), filter: None }).await.expect("counted");
        assert_eq!(count.into_inner().count, 20);
    });
}

#[test]
fn both_protocols_give_the_same_ids_and_scores() {
    let (_folder, server, _) = with_documents();
    let (_, over_rest) = server.call("POST", "/v1/collections/documents/search", &json!({"vector": [1.0, 4.25, 3.0], "k": 7}));
    let over_grpc = block_on(async {
        let floats = v1::Vector { components: Some(v1::vector::Components::Floats(v1::Floats { values: vec![1.0, 4.25, 3.0] })) };
        let query = v1::SearchQuery { near: Some(v1::search_query::Near::Vector(floats)), k: Some(7), ..Default::default() };
        let request = v1::SearchRequest { collection: "documents".to_owned(), query: Some(query) };
        grpc(&server).await.search(request).await.expect("searched").into_inner()
    });
    let rest: Vec<(String, f32)> = over_rest["hits"]
        .as_array()
        .expect("hits")
        .iter()
        .map(|h| (h["id"].as_str().expect("id").to_owned(), h["score"].as_f64().expect("score") as f32))
        .collect();
    let grpc: Vec<(String, f32)> = over_grpc.hits.iter().map(|h| (h.id.clone(), h.score)).collect();
    assert_eq!(rest.len(), 7);
    assert_eq!(rest, grpc);
}

#[test]
fn avro_over_grpc_is_checked_and_logged_as_it_came() {
    let (folder, server, _) = with_documents();
    let three = Dimension::new(3).expect("in range");
    let put = |id: &str, vector: Vec<f32>| {
        let vector = Vector::new(vector, three, &MetricKind::Cosine).expect("valid");
        Operation::Put(Record { id: RecordId::new(id).expect("valid"), vector, metadata: Default::default(), expires: None })
    };
    let operations = [put("avro_1", vec![1.0, 2.0, 3.0]), Operation::Delete(RecordId::new("never there").expect("valid"))];
    let mut payload = BytesMut::new();
    AvroCodec.encode(&operations, &mut payload).expect("encoded");
    let payload = payload.freeze();
    let request = |avro: Bytes| v1::WriteRequest { collection: "documents".to_owned(), avro: Some(avro), ..Default::default() };
    block_on(async {
        let mut client = grpc(&server).await;
        let written = client.write(request(payload.clone())).await.expect("written").into_inner();
        assert_eq!((written.upserted, written.deleted, written.durable), (1, 0, true));
        let refused = client.write(request(payload.slice(1..))).await.expect_err("not Avro");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
    });
    assert_eq!(server.call("GET", "/v1/collections/documents/records/avro_1", &Value::Null).1["vector"], json!([1.0, 2.0, 3.0]));
    server.kill();
    let log = folder.path().join("wal");
    let files = std::fs::read_dir(log).expect("the log's folder").map(|e| std::fs::read(e.expect("readable").path()).expect("readable"));
    let times: usize = files.map(|bytes| bytes.windows(payload.len()).filter(|w| *w == payload).count()).sum();
    assert_eq!(times, 1, "the bytes stand in the log once, as they came");
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.call("POST", "/v1/collections/documents/count", &json!({})).1["count"], 21);
}

fn tree(folder: &Path) -> BTreeMap<String, u64> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let entry = entry.expect("readable");
            if entry.file_type().expect("known").is_dir() {
                open.push(entry.path());
            } else if !entry.file_name().to_string_lossy().contains('~') {
                files.insert(entry.path().display().to_string(), entry.metadata().expect("known").len());
            }
        }
    }
    files
}

#[test]
fn a_restart_without_writes_changes_no_file() {
    let (folder, server, id) = with_documents();
    assert!(server.stop().success());
    // What the last moments of the first run left to be settled is settled by the first restart.
    assert!(Server::start(folder.path(), &[]).stop().success());
    let before = tree(folder.path());
    let server = Server::start(folder.path(), &[]);
    let (status, described) = server.call("GET", "/v1/collections/documents", &Value::Null);
    assert_eq!((status, described["id"].as_str(), &described["records"]), (200, Some(id.as_str()), &json!(20)));
    assert!(server.lines().iter().any(|l| l.contains("1 shards") && l.contains("20 operations from the log")), "{:?}", server.lines());
    assert!(server.stop().success());
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn everything_survives_a_flush_and_a_restart() {
    let (folder, server, _) = with_documents();
    assert_eq!(server.call("POST", "/v1/collections/documents/flush", &json!({})).0, 200);
    server.call(
        "POST",
        "/v1/collections/documents/records",
        &json!({"delete": ["doc_3"], "patch": [{"id": "doc_4", "metadata": {"year": 1999}}]}),
    );
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let (_, found) = server.call("POST", "/v1/collections/documents/records/get", &json!({"ids": ["doc_3", "doc_4", "doc_5"]}));
    let text = found.to_string();
    assert!(!text.contains("doc_3\"") && text.contains("1999") && text.contains("2005"), "{text}");
    assert_eq!(server.call("POST", "/v1/collections/documents/count", &json!({})).1["count"], 19);
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let (folder, _server, _) = with_documents();
    let lines = Server::try_start(folder.path(), &[]).err().expect("refused");
    assert!(lines.iter().any(|l| l.contains("another process")), "{lines:?}");
}

#[test]
fn health_and_metrics_answer() {
    let (_folder, server, _) = with_documents();
    assert_eq!(server.call("GET", "/livez", &Value::Null).0, 200);
    assert_eq!(server.call("GET", "/readyz", &Value::Null).0, 200);
    let (_, health) = server.call("GET", "/health", &Value::Null);
    assert_eq!(health["problems"], json!([]), "{health}");
    let (_, sites) = server.call("GET", "/v1/sites", &Value::Null);
    assert_eq!(sites["sites"][0]["shards"], json!(1), "{sites}");
    let (_, metrics) = server.call("GET", "/metrics", &Value::Null);
    assert!(metrics.as_str().is_some_and(|m| m.contains("proximadb_records_written_total 20")), "{metrics}");
    let (status, openapi) = server.call("GET", "/openapi.json", &Value::Null);
    assert_eq!(status, 200);
    assert!(
        openapi["paths"]["/v1/collections/{collection}/search"].is_object() || openapi["paths"].as_object().is_some_and(|p| p.len() > 10)
    );
}
