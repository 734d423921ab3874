//! Where bytes are kept: directories on local disks, and buckets of S3, Azure and Google behind `object_store`.
//!
//! [`open`] makes a [`proximadb_ports::Filesystem`] of a URL; [`LocalDisk`] is the [`proximadb_ports::Disk`] of a directory;
//! [`DirLock`] keeps a second process off a disk root, [`Reserve`] keeps room on it back. Around any store or disk go
//! [`MirroredFilesystem`] (second copies), [`scoped`] (a part of it), [`deadlined`] (no operation without
//! an end). Knows nothing of segments and logs; of manifests only that they name other objects.

mod blocking;
mod bucket;
mod deadline;
mod deadlined_filesystem;
mod dir_lock;
mod directory;
mod faults;
mod keys;
mod local;
mod local_disk;
mod location;
mod mirrored;
mod reserve;
mod root;
mod scoped;
mod stores;
mod tasks;
mod turns;

pub use deadline::DeadlineSettings;
pub use deadlined_filesystem::deadlined;
pub use dir_lock::DirLock;
pub use directory::create_directory;
pub use local_disk::LocalDisk;
pub use mirrored::MirroredFilesystem;
pub use reserve::Reserve;
pub use scoped::scoped;
pub use stores::open;

#[cfg(test)]
mod unreliable;
