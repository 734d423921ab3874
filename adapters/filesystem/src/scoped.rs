//! A part of another store: the keys below one prefix, seen without it. Knows no technology.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_ports::{Filesystem, ObjectInfo, PutMode, Result, Space};

use crate::keys::{check_key, check_prefix};

/// The objects of `inner` below `prefix`, under keys without it; nothing outside can be reached. An empty prefix gives all.
///
/// A prefix that is no key makes every operation fail with `Invalid`.
pub fn scoped(inner: Arc<dyn Filesystem>, prefix: &str) -> Arc<dyn Filesystem> {
    if prefix.is_empty() { inner } else { Arc::new(Scoped { inner, prefix: prefix.to_owned() }) }
}

struct Scoped {
    inner: Arc<dyn Filesystem>,
    prefix: String,
}

impl Scoped {
    fn key(&self, op: &'static str, key: &str) -> Result<String> {
        check_key(op, key)?;
        Ok(format!("{}/{key}", self.prefix))
    }

    fn below(&self, op: &'static str, prefix: &str) -> Result<String> {
        check_prefix(op, prefix)?;
        Ok(if prefix.is_empty() { self.prefix.clone() } else { format!("{}/{prefix}", self.prefix) })
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Filesystem for Scoped {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        self.inner.put(&self.key("filesystem.put", key)?, body, mode).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.inner.get(&self.key("filesystem.get", key)?).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(&self.key("filesystem.get_ranges", key)?, ranges).await
    }

    async fn size(&self, key: &str) -> Result<u64> {
        self.inner.size(&self.key("filesystem.size", key)?).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let mut objects = self.inner.list(&self.below("filesystem.list", prefix)?).await?;
        // The inner store gives what lies below the prefix, segments and all, so each key is longer than it and a slash.
        for object in &mut objects {
            object.key.drain(..=self.prefix.len());
        }
        Ok(objects)
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list_prefixes(&self.below("filesystem.list_prefixes", prefix)?).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(&self.key("filesystem.delete", key)?).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.inner.space().await
    }
}

#[cfg(test)]
mod tests {
    use proximadb_ports::conformance::filesystem::{Harness, run};
    use proximadb_sim::SimFilesystem;

    use super::*;

    struct Part(SimFilesystem);

    impl Harness for Part {
        fn filesystem(&self) -> Arc<dyn Filesystem> {
            scoped(Arc::new(self.0.clone()), "copies/of.site")
        }

        fn crash(&mut self) {
            self.0 = self.0.crash();
        }
    }

    #[tokio::test]
    async fn a_part_of_a_store_conforms() {
        for seed in 0..10 {
            run(&mut Part(SimFilesystem::new(seed)), seed).await;
        }
    }

    #[tokio::test]
    async fn what_lies_outside_is_neither_seen_nor_touched() {
        let all = SimFilesystem::new(1);
        let body = || Bytes::from_static(b"x");
        for key in ["copies/of.site-b/a", "copies/a", "a"] {
            all.put(key, body(), PutMode::CreateOnly).await.expect("put");
        }
        let part = Part(all.clone()).filesystem();
        part.put("a", body(), PutMode::CreateOnly).await.expect("free here");
        assert_eq!(part.list("").await.expect("list"), [ObjectInfo { key: "a".to_owned(), bytes: 1 }]);
        part.delete("a").await.expect("delete");
        assert!(part.list("").await.expect("list").is_empty());
        assert_eq!(all.keys(), ["a", "copies/a", "copies/of.site-b/a"]);
    }

    #[tokio::test]
    async fn no_prefix_gives_everything_and_a_malformed_one_nothing() {
        let all: Arc<dyn Filesystem> = Arc::new(SimFilesystem::new(1));
        scoped(Arc::clone(&all), "").put("a", Bytes::new(), PutMode::CreateOnly).await.expect("put");
        all.size("a").await.expect("there");
        let outside = scoped(all, "../b");
        assert_eq!(outside.list("").await.expect_err("malformed").fault, proximadb_ports::Fault::Invalid);
        assert_eq!(outside.delete("a").await.expect_err("malformed").fault, proximadb_ports::Fault::Invalid);
    }
}
