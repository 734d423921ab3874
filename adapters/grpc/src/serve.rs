//! Listening: connections over TCP until shutdown, then a bounded drain.

use std::future::Future;
use std::sync::Arc;

use proximadb_ports::Database;
use proximadb_proto::v1::FILE_DESCRIPTOR_SET;
use proximadb_proto::v1::proxima_db_server::ProximaDbServer;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::health_server::HealthServer;

use crate::health::HealthService;
use crate::service::Service;
use crate::settings::GrpcSettings;

/// Serves until `shutdown` completes, then lets calls under way finish for at most `settings.drain`.
///
/// # Errors
/// What the listener or the set-up of reflection fails with.
///
/// # Cancellation
/// Dropping the future stops accepting at once; connections end with the runtime.
#[expect(clippy::disallowed_methods, reason = "sockets need a real runtime anyway, and a transport holds no clock, only the database")]
pub async fn serve(
    listener: TcpListener,
    database: Arc<dyn Database>,
    settings: GrpcSettings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Answers are not compressed: clients offer to decompress by default, and most answers are vectors, which do not shrink.
    let service = ProximaDbServer::new(Service::new(database.clone(), &settings.request_id_prefix))
        .max_decoding_message_size(settings.message_bytes_max)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    let reflection = match settings.reflection {
        true => Some(
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .build_v1()?,
        ),
        false => None,
    };
    // An answer is one small write; waiting for more to send with it would only delay it.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let (draining, drained) = oneshot::channel();
    let stop = async move {
        shutdown.await;
        // The receiver lives as long as the select below.
        let _ = draining.send(());
    };
    let serving = Server::builder()
        .add_service(service)
        .add_service(HealthServer::new(HealthService::new(database)))
        .add_optional_service(reflection)
        .serve_with_incoming_shutdown(incoming, stop);
    let too_late = async move {
        match drained.await {
            Ok(()) => tokio::time::sleep(settings.drain).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = too_late => {
            tracing::warn!("calls were still under way when the time to drain was over");
            Ok(())
        }
    }
}
