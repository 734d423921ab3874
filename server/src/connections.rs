//! Accepting connections, and the threads that serve them.
//!
//! Each of these threads, the lanes, drives a runtime of its own: what a connection is sent wakes the thread that answers it, and no
//! other. Disks, timers of the engine and its writers have another runtime, so that neither waits for the other.

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, watch};

/// How long nothing is accepted after an error that another connection would meet as well, such as too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Threads that serve connections; they end when it is dropped, with whatever they serve then.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
}

struct Lane {
    runtime: Handle,
    /// Each connection on the lane holds another one of it.
    open: Arc<()>,
    /// Its end ends the lane.
    _running: watch::Sender<()>,
}

impl Lanes {
    /// Starts `count` lanes, at least one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let mut lanes = Vec::new();
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (running, mut ended) = watch::channel(());
            lanes.push(Lane { runtime: runtime.handle().clone(), open: Arc::default(), _running: running });
            thread::Builder::new().name(format!("lane-{number}")).spawn(move || {
                // An error means that the sender is gone.
                let _ = runtime.block_on(ended.changed());
                // What still runs there waits for a disk that hangs.
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { lanes })
    }

    /// Serves a connection on the lane that has fewest.
    fn place(&self, connection: impl Future<Output = ()> + Send + 'static) {
        if let Some(lane) = self.lanes.iter().min_by_key(|lane| Arc::strong_count(&lane.open)) {
            let place = Arc::clone(&lane.open);
            lane.runtime.spawn(async move {
                connection.await;
                drop(place);
            });
        }
    }
}

/// How many connections a listener may have, and how long they may go on once the server stops.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connections_max: usize,
    pub(crate) drain: Duration,
}

/// Accepts connections until `stopping` says so and serves them on the lanes, then waits for those that are open. Whoever comes when
/// there are as many as may be waits until one of them ends.
///
/// # Cancellation
/// Dropping the future stops accepting at once; connections end with the lanes.
pub(crate) async fn serve<F, C>(listener: TcpListener, lanes: Arc<Lanes>, bounds: Bounds, mut stopping: watch::Receiver<bool>, serve: F)
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = io::Result<()>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(bounds.connections_max.min(Semaphore::MAX_PERMITS)));
    let accepting = async {
        loop {
            // Nobody closes the semaphore, so that there is always a place in the end.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = accept(&listener).await;
            let connection = serve(stream);
            lanes.place(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(%error, "a connection could not be served");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        // An error means that the sender is gone, which is a reason to stop too.
        _ = stopping.wait_for(|stop| *stop) => {}
        () = accepting => {}
    }
    drop(listener);
    let all = u32::try_from(bounds.connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(bounds.drain, places.acquire_many(all)).await.is_err() {
        tracing::warn!("requests were still under way when the time to drain was over");
    }
}

/// The next connection that can be handed to another runtime.
#[expect(clippy::disallowed_methods, reason = "sockets need a real runtime anyway")]
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => return stream,
            // The client has gone again already.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted at the moment");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    type Client = tokio::net::TcpStream;

    /// Sends back what it is sent, until its client closes.
    async fn echo(stream: TcpStream) -> io::Result<()> {
        let mut stream = Client::from_std(stream)?;
        let mut byte = [0];
        while stream.read(&mut byte).await? == 1 {
            stream.write_all(&byte).await?;
        }
        Ok(())
    }

    async fn asks(client: &mut Client) -> u8 {
        client.write_all(b"x").await.expect("open");
        client.read_u8().await.expect("answered")
    }

    struct Server {
        address: std::net::SocketAddr,
        stop: watch::Sender<bool>,
        served: Arc<AtomicUsize>,
        task: JoinHandle<()>,
    }

    async fn server(connections_max: usize, drain: Duration) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopping) = watch::channel(false);
        let served = Arc::<AtomicUsize>::default();
        let (lanes, count) = (Arc::new(Lanes::start(2).expect("threads")), Arc::clone(&served));
        let task = tokio::spawn(serve(listener, lanes, Bounds { connections_max, drain }, stopping, move |stream| {
            count.fetch_add(1, Ordering::Relaxed);
            echo(stream)
        }));
        Server { address, stop, served, task }
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_waits_for_one() {
        let server = server(2, Duration::from_secs(60)).await;
        let connect = async || Client::connect(server.address).await.expect("listens");
        let (mut first, mut second, mut third) = (connect().await, connect().await, connect().await);
        assert_eq!((asks(&mut first).await, asks(&mut second).await), (b'x', b'x'));
        third.write_all(b"y").await.expect("the system has taken the connection");
        asks(&mut first).await;
        assert_eq!(server.served.load(Ordering::Relaxed), 2);
        drop(second);
        assert_eq!(third.read_u8().await.expect("answered"), b'y');
        assert_eq!(server.served.load(Ordering::Relaxed), 3);
        asks(&mut first).await;
    }

    #[tokio::test]
    async fn stopping_waits_for_those_that_are_open_and_accepts_nobody() {
        let server = server(10, Duration::from_secs(60)).await;
        let mut client = Client::connect(server.address).await.expect("listens");
        asks(&mut client).await;
        server.stop.send(true).expect("still there");
        // The listener is closed before the wait begins, and nothing else ends this loop.
        while Client::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        asks(&mut client).await;
        assert!(!server.task.is_finished());
        drop(client);
        server.task.await.expect("no panic");
    }

    #[tokio::test]
    async fn stopping_does_not_wait_for_ever() {
        let server = server(10, Duration::from_millis(1)).await;
        let mut client = Client::connect(server.address).await.expect("listens");
        asks(&mut client).await;
        server.stop.send(true).expect("still there");
        server.task.await.expect("no panic");
    }
}
