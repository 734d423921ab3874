//! Where bytes are kept: directories on local disks, and buckets of S3, Azure and Google behind `object_store`.
//!
//! [`open`] makes a [`proximadb_ports::Filesystem`] of a URL; [`LocalDisk`] is the [`proximadb_ports::Disk`] of a directory;
//! [`DirLock`] keeps a second process off a disk root. Knows nothing of segments, logs or manifests.

mod blocking;
mod bucket;
mod dir_lock;
mod directory;
mod faults;
mod keys;
mod local;
mod local_disk;
mod location;
mod stores;

pub use dir_lock::DirLock;
pub use directory::create_directory;
pub use local_disk::LocalDisk;
pub use stores::open;
