//! Serving connections that somebody else has accepted, each until its client closes it or the server stops.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use proximadb_ports::{Database, Fault, PortError};
use proximadb_proto::v1::FILE_DESCRIPTOR_SET;
use proximadb_proto::v1::proxima_db_server::{ProximaDbServer, SERVICE_NAME};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tonic::body::Body;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::codegen::Service as _;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use crate::call::timeout_of;
use crate::error_details;
use crate::health::HealthService;
use crate::outbox::outbox;
use crate::service::Service;
use crate::settings::GrpcSettings;

/// The gRPC server over a database; a clone is the same server.
#[derive(Clone)]
pub struct GrpcServer {
    calls: Calls,
    keep_alive: Duration,
}

impl GrpcServer {
    /// A server without connections.
    ///
    /// # Errors
    /// What the set-up of reflection fails with.
    pub fn new(database: Arc<dyn Database>, settings: &GrpcSettings) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // Answers are not compressed: clients offer to decompress by default, and most answers are vectors, which do not shrink.
        let service = ProximaDbServer::new(Service::new(Arc::clone(&database), &settings.request_id_prefix))
            .max_decoding_message_size(settings.message_bytes_max)
            .accept_compressed(Gzip)
            .accept_compressed(Zstd);
        let mut others = Routes::new(HealthServer::new(HealthService::new(database)));
        if settings.reflection {
            others = others.add_service(
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                    .build_v1()?,
            );
        }
        Ok(Self { calls: Calls { service, others: others.prepare() }, keep_alive: settings.keep_alive })
    }

    /// Serves one connection until its client closes it. A call that comes alone runs where the connection does; those that come while
    /// another is under way run on the `others`, which have more than one thread. Once `stop` completes no more calls are taken, and it ends with those under
    /// way. Failures of the connection are its client's to see.
    ///
    /// # Errors
    /// When the stream cannot be used by this runtime.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub async fn connection(self, stream: std::net::TcpStream, stop: impl Future<Output = ()>, others: Handle) -> io::Result<()> {
        // An answer is one small write; waiting for more to send with it would only delay it.
        stream.set_nodelay(true)?;
        let (stream, outbox) = outbox(TcpStream::from_std(stream)?);
        let mut builder = http2::Builder::new(Turns { others, under_way: Arc::default() });
        // A peer that has gone without a word is found out, so that it does not keep its place for ever.
        builder.timer(TokioTimer::new()).keep_alive_interval(self.keep_alive).keep_alive_timeout(self.keep_alive);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), self.calls));
        let (mut stop, mut stopping) = (pin!(stop), false);
        let served = poll_fn(|context| {
            if !stopping && stop.as_mut().poll(context).is_ready() {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            let ended = connection.as_mut().poll(context);
            // Whatever has been written by now: all answers that were ready.
            match outbox.poll_send(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
                _ => ended.map_err(|error| error.to_string()),
            }
        });
        let ended = served.await;
        let sent = poll_fn(|context| outbox.poll_send(context)).await.map_err(|error| error.to_string());
        if let Err(error) = ended.and(sent) {
            tracing::debug!(error, "a connection has failed");
        }
        Ok(())
    }
}

/// Where the calls of a connection run.
#[derive(Clone)]
struct Turns {
    others: Handle,
    under_way: Arc<AtomicUsize>,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Turns {
    fn execute(&self, call: F) {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let end = Ended(Arc::clone(&self.under_way));
        let call = async move {
            let _end = end;
            call.await;
        };
        if before == 0 {
            tokio::spawn(call)
        } else {
            self.others.spawn(call)
        };
    }
}

/// Counts a call as ended when it is dropped, whether it has ended well or not.
struct Ended(Arc<AtomicUsize>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The services by their paths. Calls of the database's own take no detour through a router.
#[derive(Clone)]
struct Calls {
    service: ProximaDbServer<Service>,
    others: Routes,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let limit = timeout_of(request.headers());
        let is_own = request
            .uri()
            .path()
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(SERVICE_NAME))
            .is_some_and(|rest| rest.starts_with('/'));
        // Both are ready at any time.
        let answer: Answer = if is_own { self.service.clone().call(request) } else { Box::pin(self.others.clone().call(request)) };
        match limit {
            Some(limit) => Box::pin(within(limit, answer)),
            None => answer,
        }
    }
}

/// What the client has stopped to wait for is given up.
async fn within(limit: Duration, answer: Answer) -> Result<Response<Body>, Infallible> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            let error = PortError::new(Fault::Deadline, "grpc.call", "the call", "its time is over");
            Ok(error_details::status(&error, "", &[]).into_http())
        }
    }
}
