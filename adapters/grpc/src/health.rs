//! `grpc.health.v1` straight from the database's own word, so that it cannot be out of date.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use proximadb_ports::Database;
use proximadb_proto::v1::proxima_db_server::SERVICE_NAME;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How often a watched status is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The health service over a database.
pub(crate) struct HealthService {
    database: Arc<dyn Database>,
}

impl HealthService {
    pub(crate) fn new(database: Arc<dyn Database>) -> Self {
        Self { database }
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || service == SERVICE_NAME
}

async fn status(database: &dyn Database) -> ServingStatus {
    if database.health().await.ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service"));
        }
        Ok(Response::new(HealthCheckResponse { status: status(&*self.database).await.into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Tells the status, and then each time that it has changed; ends when nobody reads any more.
    #[expect(clippy::disallowed_methods, reason = "sockets need a real runtime anyway, and a transport holds no clock, only the database")]
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&request.get_ref().service);
        let database = self.database.clone();
        let changes = unfold(None, move |told: Option<ServingStatus>| {
            let database = database.clone();
            async move {
                loop {
                    let now = if known { status(&*database).await } else { ServingStatus::ServiceUnknown };
                    if told != Some(now) {
                        return Some((Ok(HealthCheckResponse { status: now.into() }), Some(now)));
                    }
                    tokio::time::sleep(WATCH_INTERVAL).await;
                }
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
