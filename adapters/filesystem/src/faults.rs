//! The table from what a store or a disk says to what the caller can do about it.

use std::error::Error;
use std::io::{self, ErrorKind};

use proximadb_ports::{Fault, PortError};

/// What a failed system call means.
pub(crate) fn of_io(error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound => Fault::NotFound,
        ErrorKind::AlreadyExists => Fault::Conflict,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Exhausted,
        // On a disk a key cannot be an object and a prefix of other objects at once.
        ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::DirectoryNotEmpty => Fault::Invalid,
        ErrorKind::InvalidFilename => Fault::Invalid,
        _ => Fault::Unavailable,
    }
}

/// What a failed request to a store means.
pub(crate) fn of_store(error: &object_store::Error) -> Fault {
    use object_store::Error as E;
    match error {
        // A bucket that is gone is not an object that was never there.
        E::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => Fault::Unavailable,
        E::NotFound { .. } => Fault::NotFound,
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => Fault::Conflict,
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } | E::NotImplemented { .. } | E::NotSupported { .. } => Fault::Invalid,
        // Somebody may give the right back.
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Fault::Unavailable,
        E::JoinError { .. } => Fault::Internal,
        other => io_cause(other).map_or(Fault::Unavailable, of_io),
    }
}

fn io_cause(error: &object_store::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

fn message(fault: Fault) -> &'static str {
    match fault {
        Fault::NotFound => "is not there",
        Fault::Conflict => "is there already",
        Fault::Exhausted => "there is no room left",
        Fault::Invalid => "the store refuses it",
        Fault::Internal => "the work was lost",
        _ => "the store failed",
    }
}

/// What the operator has to know beyond the fault.
fn message_of_io(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        ErrorKind::QuotaExceeded => "the quota leaves no room",
        _ => message(of_io(error)),
    }
}

/// A failed system call, at the port.
pub(crate) fn io_error(op: &'static str, subject: &str, error: io::Error) -> PortError {
    PortError::new(of_io(&error), op, subject, message_of_io(&error)).with_source(error)
}

/// A failed request to a store, at the port.
pub(crate) fn store_error(op: &'static str, subject: &str, error: object_store::Error) -> PortError {
    let fault = of_store(&error);
    let of_io = io_cause(&error).filter(|cause| of_io(cause) == fault);
    PortError::new(fault, op, subject, of_io.map_or(message(fault), message_of_io)).with_source(error)
}

/// The same failure of an operation to which absence means that the whole place is gone.
pub(crate) fn place_is_gone(mut error: PortError) -> PortError {
    if error.fault == Fault::NotFound {
        error.fault = Fault::Unavailable;
        "the place itself is gone".clone_into(&mut error.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: source.into() }
    }

    #[test]
    fn the_table() {
        let there = |text: &'static str| (String::new(), Box::<dyn Error + Send + Sync>::from(text));
        let ((path, source), (path2, source2), (path3, source3)) = (there("gone"), there("<Code>NoSuchBucket</Code>"), there("taken"));
        for (error, fault) in [
            (object_store::Error::NotFound { path, source }, Fault::NotFound),
            (object_store::Error::NotFound { path: path2, source: source2 }, Fault::Unavailable),
            (object_store::Error::AlreadyExists { path: path3, source: source3 }, Fault::Conflict),
            (generic(io::Error::from(ErrorKind::StorageFull)), Fault::Exhausted),
            (generic(io::Error::from(ErrorKind::QuotaExceeded)), Fault::Exhausted),
            (generic(generic(io::Error::from(ErrorKind::StorageFull))), Fault::Exhausted),
            (generic(io::Error::from(ErrorKind::Other)), Fault::Unavailable),
            (generic("connection refused"), Fault::Unavailable),
        ] {
            assert_eq!(of_store(&error), fault, "{error:?}");
        }
    }
    /// The numbers are those of Linux: a full disk, a full quota, a disk that was remounted read-only, a failing one.
    #[test]
    fn a_disk_says_what_is_wrong_with_it_directly_and_through_the_store() {
        for (number, fault, message) in [
            (28, Fault::Exhausted, "there is no room left"),
            (122, Fault::Exhausted, "the quota leaves no room"),
            (30, Fault::Unavailable, "the file system is read-only"),
            (5, Fault::Unavailable, "the store failed"),
        ] {
            let direct = io_error("op", "disk", io::Error::from_raw_os_error(number));
            assert_eq!((direct.fault, direct.message.as_str()), (fault, message), "{number}");
            let wrapped = store_error("op", "disk", generic(generic(io::Error::from_raw_os_error(number))));
            assert_eq!((wrapped.fault, wrapped.message.as_str()), (fault, message), "{number} through the store");
        }
    }
}
