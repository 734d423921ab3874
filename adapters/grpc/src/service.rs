//! The service: one method a call of the port. No rule of the product is decided here.

use std::sync::Arc;

use proximadb_model::limits::SEARCH_BATCH_MAX;
use proximadb_model::{CollectionRef, Invalid};
use proximadb_ports::{Database, Fault, PortError, ReadOptions, WriteOutcome};
use proximadb_proto::v1;
use proximadb_proto::v1::proxima_db_server::ProximaDb;
use tonic::{Request, Response, Status, Streaming};

use crate::call::{Refusal, RequestIds};
use crate::convert;

/// The service over a database.
pub(crate) struct Service {
    database: Arc<dyn Database>,
    ids: RequestIds,
}

type Outcome<T> = Result<T, Refusal>;
type Answer<T> = Result<Response<T>, Status>;

impl Service {
    pub(crate) fn new(database: Arc<dyn Database>, request_id_prefix: &str) -> Self {
        Self { database, ids: RequestIds::new(request_id_prefix) }
    }

    async fn update(&self, request: v1::UpdateCollectionRequest) -> Outcome<v1::Collection> {
        let collection = convert::read_collection_ref(&request.collection)?;
        // Index settings may be given in part; the rest is what the collection has.
        let present = self.database.describe_collection(&collection).await?;
        let patch = convert::read_collection_patch(request, &present.collection.spec)?;
        Ok(convert::collection(&self.database.update_collection(&collection, patch).await?))
    }

    async fn write_one(&self, request: v1::WriteRequest) -> Outcome<WriteOutcome> {
        let collection = convert::read_collection_ref(&request.collection)?;
        let write = convert::read_write(request)?;
        self.database.write(&collection, write.request).await.map_err(|mut error| {
            error.field = error.field.map(|field| write.order.client_field(&field));
            error.into()
        })
    }

    async fn records(&self, request: v1::GetRecordsRequest) -> Outcome<v1::GetRecordsResponse> {
        let collection = convert::read_collection_ref(&request.collection)?;
        let ids = convert::read_ids("ids", &request.ids)?;
        let read = ReadOptions { vector: request.with_vector.unwrap_or(true), metadata: request.with_metadata.unwrap_or(true) };
        let found = self.database.get(&collection, &ids, read).await?;
        let result = |record: Option<_>| v1::GetRecordResult { record: record.map(convert::stored_record) };
        Ok(v1::GetRecordsResponse { results: found.into_iter().map(result).collect() })
    }

    async fn search_one(&self, request: v1::SearchRequest, time: Option<std::time::Duration>) -> Outcome<v1::SearchResponse> {
        let collection = convert::read_collection_ref(&request.collection)?;
        let query = request.query.ok_or_else(|| Invalid::new("query", "is required"))?;
        // Fields are named as over REST, where the query is the body.
        let query = convert::read_search(query, time)?;
        let mut found = self.search_all(&collection, vec![query]).await.map_err(|mut error| {
            error.field = error.field.map(|field| field.replacen("queries[0].", "", 1));
            error
        })?;
        Ok(found.remove(0))
    }

    async fn search_many(&self, request: v1::SearchBatchRequest, time: Option<std::time::Duration>) -> Outcome<v1::SearchBatchResponse> {
        let collection = convert::read_collection_ref(&request.collection)?;
        if request.queries.len() > SEARCH_BATCH_MAX {
            return Err(Invalid::new("queries", format!("has more than {SEARCH_BATCH_MAX} elements")).into());
        }
        let read = |(i, query)| convert::read_search(query, time).map_err(|e| e.within(&format!("queries[{i}]")));
        let queries = request.queries.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(v1::SearchBatchResponse { results: self.search_all(&collection, queries).await? })
    }

    /// One answer for each query, which is checked here.
    async fn search_all(
        &self,
        collection: &CollectionRef,
        queries: Vec<proximadb_ports::SearchRequest>,
    ) -> Result<Vec<v1::SearchResponse>, PortError> {
        let asked = queries.len();
        let found = self.database.search(collection, queries).await?;
        if found.len() != asked {
            let message = format!("{asked} queries got {} answers", found.len());
            return Err(PortError::new(Fault::Internal, "grpc.search", collection, message));
        }
        Ok(found.into_iter().map(convert::search_response).collect())
    }
}

#[tonic::async_trait]
impl ProximaDb for Service {
    async fn create_collection(&self, request: Request<v1::CreateCollectionRequest>) -> Answer<v1::CreateCollectionResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            let created = self.database.create_collection(convert::read_collection_spec(request.into_inner())?).await?;
            Ok(v1::CreateCollectionResponse { collection: Some(convert::collection(&created.info)), created: created.new })
        };
        call.close(run.await)
    }

    async fn get_collection(&self, request: Request<v1::GetCollectionRequest>) -> Answer<v1::Collection> {
        let call = self.ids.open(request.metadata());
        let run = async {
            let collection = convert::read_collection_ref(&request.get_ref().collection)?;
            Ok(convert::collection(&self.database.describe_collection(&collection).await?))
        };
        call.close(run.await)
    }

    async fn list_collections(&self, request: Request<v1::ListCollectionsRequest>) -> Answer<v1::ListCollectionsResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            let infos = self.database.list_collections().await?;
            Ok(v1::ListCollectionsResponse { collections: infos.iter().map(convert::collection).collect() })
        };
        call.close(run.await)
    }

    async fn update_collection(&self, request: Request<v1::UpdateCollectionRequest>) -> Answer<v1::Collection> {
        let call = self.ids.open(request.metadata());
        call.close(self.update(request.into_inner()).await)
    }

    async fn delete_collection(&self, request: Request<v1::DeleteCollectionRequest>) -> Answer<v1::DeleteCollectionResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            self.database.drop_collection(&convert::read_collection_ref(&request.get_ref().collection)?).await?;
            Ok(v1::DeleteCollectionResponse {})
        };
        call.close(run.await)
    }

    async fn write(&self, request: Request<v1::WriteRequest>) -> Answer<v1::WriteResponse> {
        let call = self.ids.open(request.metadata());
        call.close(self.write_one(request.into_inner()).await.map(|outcome| convert::write_response(&outcome)))
    }

    /// Takes one message after the other, so that a fast client waits and no queue grows.
    async fn write_stream(&self, request: Request<Streaming<v1::WriteRequest>>) -> Answer<v1::WriteStreamResponse> {
        let call = self.ids.open(request.metadata());
        let mut messages = request.into_inner();
        let mut total = v1::WriteStreamResponse { durable: true, ..Default::default() };
        while let Some(message) = messages.message().await? {
            match self.write_one(message).await {
                Ok(outcome) => {
                    total.messages += 1;
                    total.upserted += outcome.upserted;
                    total.inserted += outcome.inserted;
                    total.patched += outcome.patched;
                    total.deleted += outcome.deleted;
                    total.durable &= outcome.durable;
                    total.sequence = total.sequence.max(outcome.sequence.0);
                }
                Err(refusal) => return call.close_with(Err(refusal), &[("applied_messages", total.messages.to_string())]),
            }
        }
        call.close(Ok(total))
    }

    async fn get_records(&self, request: Request<v1::GetRecordsRequest>) -> Answer<v1::GetRecordsResponse> {
        let call = self.ids.open(request.metadata());
        call.close(self.records(request.into_inner()).await)
    }

    async fn scan(&self, request: Request<v1::ScanRequest>) -> Answer<v1::ScanResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            let collection = convert::read_collection_ref(&request.get_ref().collection)?;
            let page = self.database.scan(&collection, convert::read_scan(request.into_inner())?).await?;
            Ok(v1::ScanResponse { records: page.records.into_iter().map(convert::stored_record).collect(), cursor: page.cursor })
        };
        call.close(run.await)
    }

    async fn count(&self, request: Request<v1::CountRequest>) -> Answer<v1::CountResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            let request = request.into_inner();
            let collection = convert::read_collection_ref(&request.collection)?;
            let filter = request.filter.map(convert::read_filter).transpose()?;
            Ok(v1::CountResponse { count: self.database.count(&collection, filter).await? })
        };
        call.close(run.await)
    }

    async fn search(&self, request: Request<v1::SearchRequest>) -> Answer<v1::SearchResponse> {
        let call = self.ids.open(request.metadata());
        call.close(self.search_one(request.into_inner(), call.time).await)
    }

    async fn search_batch(&self, request: Request<v1::SearchBatchRequest>) -> Answer<v1::SearchBatchResponse> {
        let call = self.ids.open(request.metadata());
        call.close(self.search_many(request.into_inner(), call.time).await)
    }

    async fn flush(&self, request: Request<v1::FlushRequest>) -> Answer<v1::FlushResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            self.database.flush(&convert::read_collection_ref(&request.get_ref().collection)?).await?;
            Ok(v1::FlushResponse {})
        };
        call.close(run.await)
    }

    async fn get_index_status(&self, request: Request<v1::GetIndexStatusRequest>) -> Answer<v1::IndexStatus> {
        let call = self.ids.open(request.metadata());
        let run = async {
            let collection = convert::read_collection_ref(&request.get_ref().collection)?;
            Ok(convert::index_status(&self.database.index_status(&collection).await?))
        };
        call.close(run.await)
    }

    async fn list_sites(&self, request: Request<v1::ListSitesRequest>) -> Answer<v1::ListSitesResponse> {
        let sites = self.database.sites().await.iter().map(convert::site).collect();
        self.ids.open(request.metadata()).close(Ok(v1::ListSitesResponse { sites }))
    }

    async fn list_assignments(&self, request: Request<v1::ListAssignmentsRequest>) -> Answer<v1::ListAssignmentsResponse> {
        let assignments = self.database.assignments().await.iter().map(convert::assignment).collect();
        self.ids.open(request.metadata()).close(Ok(v1::ListAssignmentsResponse { assignments }))
    }

    async fn drain_site(&self, request: Request<v1::DrainSiteRequest>) -> Answer<v1::Task> {
        let call = self.ids.open(request.metadata());
        let run = async { Ok(convert::task(&self.database.drain_site(convert::read_site(&request.get_ref().site)?).await?)) };
        call.close(run.await)
    }

    async fn cancel_drain(&self, request: Request<v1::CancelDrainRequest>) -> Answer<v1::CancelDrainResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            self.database.cancel_drain(convert::read_site(&request.get_ref().site)?).await?;
            Ok(v1::CancelDrainResponse {})
        };
        call.close(run.await)
    }

    async fn fail_over(&self, request: Request<v1::FailOverRequest>) -> Answer<v1::Task> {
        let call = self.ids.open(request.metadata());
        let run = async { Ok(convert::task(&self.database.fail_over(convert::read_site(&request.get_ref().site)?).await?)) };
        call.close(run.await)
    }

    async fn rebalance(&self, request: Request<v1::RebalanceRequest>) -> Answer<v1::Task> {
        let call = self.ids.open(request.metadata());
        let run = async { Ok(convert::task(&self.database.rebalance().await?)) };
        call.close(run.await)
    }

    async fn list_tasks(&self, request: Request<v1::ListTasksRequest>) -> Answer<v1::ListTasksResponse> {
        let tasks = self.database.tasks().await.iter().map(convert::task).collect();
        self.ids.open(request.metadata()).close(Ok(v1::ListTasksResponse { tasks }))
    }

    async fn accept_loss(&self, request: Request<v1::AcceptLossRequest>) -> Answer<v1::AcceptLossResponse> {
        let call = self.ids.open(request.metadata());
        let run = async {
            let collection = convert::read_collection_ref(&request.get_ref().collection)?;
            let losses = self.database.accept_loss(&collection).await?;
            Ok(v1::AcceptLossResponse { losses: losses.iter().map(convert::loss).collect() })
        };
        call.close(run.await)
    }

    async fn list_plugins(&self, request: Request<v1::ListPluginsRequest>) -> Answer<v1::ListPluginsResponse> {
        let plugins = self.database.plugins().await.iter().map(convert::plugin).collect();
        self.ids.open(request.metadata()).close(Ok(v1::ListPluginsResponse { plugins }))
    }

    async fn get_server_status(&self, request: Request<v1::GetServerStatusRequest>) -> Answer<v1::ServerStatus> {
        let (health, sites) = (self.database.health().await, self.database.sites().await);
        self.ids.open(request.metadata()).close(Ok(convert::server_status(health, &sites)))
    }
}
