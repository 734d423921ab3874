//! A bucket keeps the promises of [`Filesystem`] over a store in memory, also while replies get lost.

use std::fmt;
use std::sync::Mutex;

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions, PutResult, Result as StoreResult,
};
use proximadb_ports::conformance::filesystem;

use super::*;

/// What happens to the next put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It happens and its reply is lost.
    Lost,
    /// It does not happen.
    Refused,
    /// It does not happen, and the store speaks of a conflict, as S3 does of creates at once.
    Disputed,
}

/// A store whose puts go wrong as listed, then right.
#[derive(Debug)]
struct Flaky {
    inner: Arc<InMemory>,
    next: Mutex<Vec<Next>>,
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> StoreResult<PutResult> {
        let next = self.next.lock().expect("no panic").pop();
        let failed = || object_store::Error::Generic { store: "flaky", source: "connection reset".into() };
        match next {
            Some(Next::Refused) => Err(failed()),
            Some(Next::Disputed) => Err(object_store::Error::AlreadyExists { path: location.to_string(), source: "409".into() }),
            Some(Next::Lost) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(failed())
            }
            None => self.inner.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A bucket whose creates go wrong in this order, then right.
fn bucket(next: &[Next]) -> BucketFilesystem {
    let inner = Arc::new(InMemory::new());
    let next = next.iter().rev().copied().collect();
    BucketFilesystem::new(Arc::clone(&inner) as _, Arc::new(Flaky { inner, next: Mutex::new(next) }), false)
}

struct Memory(Arc<BucketFilesystem>);

impl filesystem::Harness for Memory {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::clone(&self.0) as _
    }

    fn crash(&mut self) {
        self.0 = Arc::new(BucketFilesystem::new(Arc::clone(&self.0.store), Arc::clone(&self.0.creator), true));
    }
}

#[tokio::test]
async fn a_bucket_in_memory_conforms() {
    for seed in 0..5 {
        filesystem::run(&mut Memory(Arc::new(bucket(&[]))), seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_reply_was_lost_knows_its_own_object() {
    let mine = Bytes::from_static(b"put-id 1");
    for next in
        [vec![Next::Lost], vec![Next::Refused, Next::Lost], vec![Next::Lost, Next::Refused], vec![Next::Refused; 3], vec![Next::Disputed]]
    {
        let fs = bucket(&next);
        fs.put("m", mine.clone(), PutMode::CreateOnly).await.expect("mine");
        assert_eq!(fs.get("m").await.expect("get"), mine, "{next:?}");
        // Without a lost reply the same body is no excuse.
        assert_eq!(fs.put("m", mine.clone(), PutMode::CreateOnly).await.expect_err("taken").fault, Fault::Conflict);
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_does_not_take_anothers_object_for_its_own() {
    for next in [vec![Next::Refused], vec![Next::Refused, Next::Disputed], vec![Next::Disputed]] {
        let fs = bucket(&next);
        fs.put("m", Bytes::from_static(b"another"), PutMode::Overwrite).await.expect("put");
        let outcome = fs.put("m", Bytes::from_static(b"my body"), PutMode::CreateOnly).await;
        assert_eq!(outcome.expect_err("taken").fault, Fault::Conflict, "{next:?}");
        assert_eq!(fs.get("m").await.expect("get"), "another");
    }
}

#[tokio::test(start_paused = true)]
async fn creates_give_up_after_a_few_tries() {
    let fs = bucket(&[Next::Refused; 4]);
    assert_eq!(fs.put("m", Bytes::new(), PutMode::CreateOnly).await.expect_err("refused").fault, Fault::Unavailable);
    let fs = bucket(&[Next::Disputed; 4]);
    assert_eq!(fs.put("m", Bytes::new(), PutMode::CreateOnly).await.expect_err("disputed").fault, Fault::Unavailable);
}
