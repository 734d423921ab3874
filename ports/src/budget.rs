//! How long a computation may go on, and whether anybody still waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Fault, PortError, Result};

/// A deadline and a flag; checked inside long loops.
#[derive(Clone)]
pub struct Budget {
    clock: Arc<dyn Clock>,
    deadline: Option<Duration>,
    cancelled: Arc<AtomicBool>,
}

impl Budget {
    /// A budget that ends `timeout` from now, or never.
    pub fn new(clock: Arc<dyn Clock>, timeout: Option<Duration>) -> Self {
        let deadline = timeout.map(|t| clock.monotonic().saturating_add(t));
        Self { clock, deadline, cancelled: Arc::new(AtomicBool::new(false)) }
    }

    /// Ends it for everybody who shares it.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Fails once the time is over or nobody waits any more.
    ///
    /// # Errors
    /// `Deadline`.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(PortError::new(Fault::Deadline, "compute", "the request", "was cancelled"));
        }
        match self.deadline {
            Some(deadline) if self.clock.monotonic() >= deadline => {
                Err(PortError::new(Fault::Deadline, "compute", "the request", "its time is over"))
            }
            _ => Ok(()),
        }
    }

    /// What is left of the time; `None` without a deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|d| d.saturating_sub(self.clock.monotonic()))
    }
}
