//! The wire of ProximaDB: messages and services generated from `proximadb/v1/*.proto`, and the descriptors for reflection.
//!
//! Holds no decision: what a message means is decided where it is converted. The generated files are committed; a test makes
//! them anew and compares, and `UPDATE_GOLDEN=1 cargo test -p proximadb-proto` writes them.

/// The package `proximadb.v1`.
#[allow(missing_docs, reason = "generated; the .proto files carry the documentation")]
pub mod v1 {
    include!("generated/proximadb.v1.rs");

    /// The descriptors of the package, as an encoded `google.protobuf.FileDescriptorSet`.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/proximadb.v1.bin");
}
