//! How fast a write of many records is read: from the bytes of its body to the database's door.

use axum::body::{Body, Bytes};
use axum::http::Request;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proximadb_ports::conformance::RecordingDatabase;
use proximadb_rest::{RestSettings, router};
use tower::ServiceExt;

const DIMENSION: usize = 384;

/// Components as a client prints those of a unit vector: nine digits, either sign.
fn body(records: usize, base64: bool) -> Bytes {
    let mut state = 1u32;
    let mut component = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state as f32 / u32::MAX as f32 - 0.5) / 10.0
    };
    let record = |id: usize, vector: String| format!(r#"{{"id":{id},"vector":{vector},"metadata":{{"year":{id},"text":"some words"}}}}"#);
    let rows: Vec<String> = (0..records)
        .map(|id| {
            let components: Vec<String> = (0..DIMENSION).map(|_| component().to_string()).collect();
            let text = if base64 { format!("\"{}\"", "AACAPwAA".repeat(DIMENSION / 3 * 2)) } else { format!("[{}]", components.join(",")) };
            record(id, text)
        })
        .collect();
    Bytes::from(format!(r#"{{"upsert":[{}]}}"#, rows.join(",")))
}

fn write(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (name, records, base64) in [("arrays", 6_000, false), ("base64", 10_000, true)] {
        let body = body(records, base64);
        let database = RecordingDatabase::new();
        let app = router(database.clone(), RestSettings::default());
        let mut group = criterion.benchmark_group("write");
        group.sample_size(10).throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{records}x{DIMENSION} {name}"), |bencher| {
            bencher.iter(|| {
                let request = Request::post("/v1/collections/documents/records").body(Body::from(body.clone())).expect("valid");
                let response = runtime.block_on(app.clone().oneshot(request)).expect("infallible");
                assert!(response.status().is_success());
                database.take_calls()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, write);
criterion_main!(benches);
