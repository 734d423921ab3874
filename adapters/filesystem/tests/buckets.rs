//! Real or emulated buckets keep the promises of [`Filesystem`]. `emulators.py` beside this file starts emulators and runs it;
//! without `PROXIMADB_TEST_<KIND>_URL` a test says that it was skipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proximadb_filesystem::open;
use proximadb_ports::conformance::filesystem;
use proximadb_ports::{Fault, Filesystem, PutMode};

/// A bucket; a crash of the process opens it anew with new connections.
struct Bucket {
    url: String,
    options: BTreeMap<String, String>,
    open: Arc<dyn Filesystem>,
}

impl filesystem::Harness for Bucket {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::clone(&self.open)
    }

    fn crash(&mut self) {
        self.open = open(&self.url, &self.options).expect("open");
    }
}

/// The bucket that the environment names, below a prefix that nobody else uses.
fn bucket(kind: &str) -> Option<Bucket> {
    let Ok(url) = std::env::var(format!("PROXIMADB_TEST_{kind}_URL")) else {
        println!("{kind} conformance: SKIPPED, PROXIMADB_TEST_{kind}_URL is not set");
        return None;
    };
    let options = std::env::var(format!("PROXIMADB_TEST_{kind}_OPTIONS")).unwrap_or_default();
    let options: BTreeMap<String, String> =
        options.split(';').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let url = format!("{}/{}-{}", url.trim_end_matches('/'), std::process::id(), kind.to_lowercase());
    println!("{kind} conformance: at {url}");
    let open = open(&url, &options).expect("open");
    Some(Bucket { url, options, open })
}

async fn conforms(kind: &str) {
    let Some(mut bucket) = bucket(kind) else { return };
    assert!(!bucket.url.starts_with("file:"), "this is about buckets");
    assert_eq!(bucket.open.space().await.expect("space"), None, "a bucket knows no end; a disk would");
    filesystem::run(&mut bucket, 1).await;

    // A key of one bucket must not be seen at a sibling prefix, nor the other way round.
    let sibling = open(&format!("{}-sibling", bucket.url), &bucket.options).expect("open");
    assert!(sibling.list("").await.expect("list").is_empty());
    sibling.put("only/here", Bytes::from_static(b"x"), PutMode::CreateOnly).await.expect("put");
    assert!(bucket.open.list("only").await.expect("list").is_empty());

    // Larger than one page of a listing.
    let keys: Vec<String> = (0..1_050).map(|i| format!("pages/{i:05}")).collect();
    for chunk in keys.chunks(50) {
        let puts = chunk.iter().map(|key| sibling.put(key, Bytes::new(), PutMode::Overwrite));
        futures_util::future::try_join_all(puts).await.expect("put");
    }
    let listed: Vec<String> = sibling.list("pages").await.expect("list").into_iter().map(|o| o.key).collect();
    assert_eq!(listed, keys);

    let large = Bytes::from((0..12_000_000u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>());
    sibling.put("large", large.clone(), PutMode::CreateOnly).await.expect("put");
    assert!(sibling.get("large").await.expect("get") == large);
    let parts = sibling.get_ranges("large", &[11_999_999..12_000_000, 0..1, 5_000_000..5_000_003]).await.expect("ranges");
    assert_eq!(parts, [large.slice(11_999_999..), large.slice(..1), large.slice(5_000_000..5_000_003)]);

    let absent = open(&bucket.url.replacen("://", "://absent-", 1), &bucket.options).expect("open");
    let fault = absent.put("a", Bytes::new(), PutMode::CreateOnly).await.expect_err("no such bucket").fault;
    assert_eq!(fault, Fault::Unavailable, "a bucket that is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_conforms() {
    conforms("S3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adls_conforms() {
    conforms("ADLS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gcs_conforms() {
    conforms("GCS").await;
}
