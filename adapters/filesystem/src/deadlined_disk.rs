//! A disk of which reads, listings and deletes end in time. Appends, syncs and creates are the log's own to watch.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_ports::{Clock, Disk, DiskFile, Result};

use crate::deadline::{After, Deadline, DeadlineSettings};

/// `inner`, but a read, a listing or a delete that does not end in its time fails with `Unavailable`, and so does each of them, at
/// once, while as many as are allowed have run out of time and not ended. `create`, and what is done with the file that it makes,
/// passes through as it is.
///
/// A delete that ran out of time may still happen; later deletes of that file, and listings, wait for its end.
pub fn deadlined_disk(inner: Arc<dyn Disk>, clock: Arc<dyn Clock>, settings: DeadlineSettings) -> Arc<dyn Disk> {
    Arc::new(Deadlined { inner, deadline: Deadline::new(clock, settings) })
}

struct Deadlined {
    inner: Arc<dyn Disk>,
    deadline: Deadline,
}

impl Deadlined {
    /// The bytes that a read moves at most. Only a long one is worth a look at the length of the file.
    async fn bytes(&self, name: &str, length: u64) -> Result<u64> {
        if !self.deadline.is_long(length) {
            return Ok(length);
        }
        let inner = Arc::clone(&self.inner);
        let files = self.deadline.run("disk.read", name, 0, After::Nothing, async move { inner.list().await }).await?;
        Ok(files.into_iter().find(|(file, _)| file == name).map_or(0, |(_, bytes)| bytes.min(length)))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Disk for Deadlined {
    async fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        self.inner.create(name).await
    }

    async fn read(&self, name: &str) -> Result<Bytes> {
        let bytes = self.bytes(name, u64::MAX).await?;
        let (inner, owned) = (Arc::clone(&self.inner), name.to_owned());
        self.deadline.run("disk.read", name, bytes, After::Nothing, async move { inner.read(&owned).await }).await
    }

    async fn read_at(&self, name: &str, offset: u64, length: u64) -> Result<Bytes> {
        let bytes = self.bytes(name, length).await?;
        let (inner, owned) = (Arc::clone(&self.inner), name.to_owned());
        self.deadline.run("disk.read", name, bytes, After::Nothing, async move { inner.read_at(&owned, offset, length).await }).await
    }

    async fn list(&self) -> Result<Vec<(String, u64)>> {
        let inner = Arc::clone(&self.inner);
        let work = async move { inner.list().await };
        self.deadline.run("disk.list", "the disk", 0, After::ChangesBelow(String::new()), work).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let (inner, owned) = (Arc::clone(&self.inner), name.to_owned());
        let work = async move { inner.delete(&owned).await };
        self.deadline.run("disk.delete", name, 0, After::ChangesOf(name.to_owned()), work).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proximadb_ports::Fault;
    use proximadb_ports::conformance::disk::{Harness, run};
    use proximadb_sim::{Effect, Injection, SimClock, SimDisk};

    use super::*;

    struct Timed(SimDisk);

    const SETTINGS: DeadlineSettings = DeadlineSettings { base: Duration::from_secs(1), bytes_per_second: 1_000, operations: 2 };

    impl Harness for Timed {
        fn disk(&self) -> Arc<dyn Disk> {
            deadlined_disk(Arc::new(self.0.clone()), Arc::new(SimClock::of_tokio()), SETTINGS)
        }

        fn crash(&mut self) {
            self.0 = self.0.crash();
        }

        fn fail_next_sync(&mut self) -> bool {
            self.0.inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("sync"));
            true
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_with_deadlines_conforms() {
        for seed in 0..30 {
            run(&mut Timed(SimDisk::new(seed)), seed).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_gives_an_error_and_then_errors_at_once() {
        let sim = SimDisk::new(1);
        let clock = Arc::new(SimClock::of_tokio());
        let disk = deadlined_disk(Arc::new(sim.clone()), Arc::clone(&clock) as Arc<dyn Clock>, SETTINGS);
        let mut file = disk.create("a").await.expect("create");
        file.append(vec![Bytes::from_static(b"x")]).await.expect("append");
        file.sync().await.expect("sync");
        sim.inject(Injection::next(Effect::Hang).times(2));
        assert_eq!(disk.read_at("a", 0, 1).await.expect_err("hangs").fault, Fault::Unavailable);
        assert_eq!(disk.delete("a").await.expect_err("hangs").fault, Fault::Unavailable);
        let before = clock.monotonic();
        for error in [disk.list().await.err(), disk.read("a").await.err(), disk.delete("a").await.err()] {
            assert!(error.expect("no place left").message.contains("2 earlier operations have not ended"));
        }
        assert_eq!(clock.monotonic(), before, "nothing waited");
    }
}
