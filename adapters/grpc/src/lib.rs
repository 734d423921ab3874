//! gRPC: the `Database` port over protobuf, one to one with REST.
//!
//! Owns the service, the conversion of messages, the table from fault to code and the error details. Refuses to know the engine,
//! files and configuration: it holds an `Arc<dyn Database>` and [`GrpcSettings`], nothing else.
//!
//! Fields that a message's type does not have are skipped, as protobuf wants it; everything else that is not understood is
//! refused as over REST.

mod call;
mod convert;
mod error_details;
mod fault_code;
mod health;
mod outbox;
mod serve;
mod service;
mod settings;

pub use error_details::{Any, BadRequest, ErrorInfo, FieldViolation, RpcStatus};
pub use fault_code::grpc_code;
pub use serve::GrpcServer;
pub use settings::GrpcSettings;
