//! Listening: connections over TCP until shutdown, then a bounded drain.

use std::future::{Future, IntoFuture};
use std::io;
use std::sync::Arc;

use axum::serve::ListenerExt;
use proximadb_ports::Database;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::routes::router;
use crate::settings::RestSettings;

/// Serves until `shutdown` completes, then lets requests under way finish for at most `settings.drain`.
///
/// # Errors
/// What the listener fails with.
///
/// # Cancellation
/// Dropping the future stops accepting at once; connections end with the runtime.
#[expect(clippy::disallowed_methods, reason = "sockets need a real runtime anyway, and a transport holds no clock, only the database")]
pub async fn serve(
    listener: TcpListener,
    database: Arc<dyn Database>,
    settings: RestSettings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let drain = settings.drain;
    // An answer is one small write; waiting for more to send with it would only delay it.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
    });
    let (draining, drained) = oneshot::channel();
    let stop = async move {
        shutdown.await;
        // The receiver lives as long as the select below.
        let _ = draining.send(());
    };
    let serving = axum::serve(listener, router(database, settings)).with_graceful_shutdown(stop).into_future();
    let too_late = async move {
        match drained.await {
            Ok(()) => tokio::time::sleep(drain).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serving => served,
        () = too_late => {
            tracing::warn!("requests were still under way when the time to drain was over");
            Ok(())
        }
    }
}
