//! Real time, for harnesses of real processes: how long something took, and waiting. The one place that asks the machine.

use std::time::{Duration, Instant};

/// Time since some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the harness measures real processes")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "the harness measures real processes")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.0)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "the harness waits for real processes")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
