//! Serving connections that somebody else has accepted, each until its client closes it or the server stops.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use proximadb_ports::Database;
use tokio::net::TcpStream;

use crate::routes::router;
use crate::settings::RestSettings;

/// The REST server over a database; a clone is the same server.
#[derive(Clone, Debug)]
pub struct RestServer {
    router: Router,
    header_timeout: Duration,
}

impl RestServer {
    /// A server without connections.
    pub fn new(database: Arc<dyn Database>, settings: RestSettings) -> Self {
        let header_timeout = settings.header_timeout;
        Self { router: router(database, settings), header_timeout }
    }

    /// Serves one connection until its client closes it, or lets it idle for too long. Once `stop` completes no more requests are
    /// taken, and it ends with the one under way. Failures of the connection are its client's to see.
    ///
    /// # Errors
    /// When the stream cannot be used by this runtime.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub async fn connection(self, stream: std::net::TcpStream, stop: impl Future<Output = ()>) -> io::Result<()> {
        // An answer is one small write; waiting for more to send with it would only delay it.
        stream.set_nodelay(true)?;
        let io = TokioIo::new(TcpStream::from_std(stream)?);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.header_timeout);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(self.header_timeout).keep_alive_timeout(self.header_timeout);
        let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(self.router)));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection has failed");
        }
        Ok(())
    }
}
