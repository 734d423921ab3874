//! The one error of every port: its fault says what the caller can do about it.

use std::error::Error;
use std::fmt;

use proximadb_model::Invalid;

/// What went wrong, by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The input breaks a rule; sending it again is useless.
    Invalid,
    /// What was named is not there.
    NotFound,
    /// It is there already, or is something else than was expected.
    Conflict,
    /// Another writer has taken over.
    Fenced,
    /// A limit or a disk is full; later it may work.
    Exhausted,
    /// The time that was given is over.
    Deadline,
    /// It cannot be reached now; later it may.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A plugin failed.
    Plugin,
    /// A bug of ours.
    Internal,
}

impl Fault {
    /// Every fault, in a fixed order.
    pub const ALL: [Self; 10] = [
        Self::Invalid,
        Self::NotFound,
        Self::Conflict,
        Self::Fenced,
        Self::Exhausted,
        Self::Deadline,
        Self::Unavailable,
        Self::Corrupt,
        Self::Plugin,
        Self::Internal,
    ];

    /// The code that clients see, in lowercase with underscores.
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_argument",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Fenced => "fenced",
            Self::Exhausted => "exhausted",
            Self::Deadline => "deadline_exceeded",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Plugin => "plugin_failed",
            Self::Internal => "internal",
        }
    }

    /// Whether the very same request may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Exhausted | Self::Deadline | Self::Unavailable | Self::Fenced)
    }
}

/// A failure at a port.
pub struct PortError {
    /// What the caller can do.
    pub fault: Fault,
    /// The operation that failed, such as `"filesystem.put"`.
    pub op: &'static str,
    /// What it was about: an object, a collection, a record.
    pub subject: String,
    /// What is wrong, in lowercase, without the cause.
    pub message: String,
    /// The offending field of the request, where there is one.
    pub field: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// An error with its causes on one line.
pub fn chain<E: Error + ?Sized>(error: &E) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(c) = cause {
        line.push_str(": ");
        line.push_str(&c.to_string());
        cause = c.source();
    }
    line
}

impl PortError {
    /// A failure of `op` on `subject`.
    pub fn new(fault: Fault, op: &'static str, subject: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { fault, op, subject: subject.to_string(), message: message.into(), field: None, source: None }
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure, blamed on a field of the request.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// An input that broke a rule of the model.
    pub fn invalid(op: &'static str, invalid: Invalid) -> Self {
        Self {
            fault: Fault::Invalid,
            op,
            subject: invalid.field.clone(),
            message: invalid.reason,
            field: Some(invalid.field),
            source: None,
        }
    }

    /// Another copy for another waiter of the same failure; the cause is kept as its text.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let source = self.source.as_ref().map(|s| s.to_string().into());
        Self {
            fault: self.fault,
            op: self.op,
            subject: self.subject.clone(),
            message: self.message.clone(),
            field: self.field.clone(),
            source,
        }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.op, self.subject, self.message)
    }
}

impl fmt::Debug for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.fault)?;
        let mut cause = self.source();
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            cause = c.source();
        }
        Ok(())
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|s| &**s as &(dyn Error + 'static))
    }
}

/// The result of every fallible method of a port.
pub type Result<T> = std::result::Result<T, PortError>;
