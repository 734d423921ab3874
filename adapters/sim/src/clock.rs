//! Virtual time. Never reads the machine's clock, except through tokio where a test asks for tokio's own (paused) time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use proximadb_model::Timestamp;
use proximadb_ports::Clock;
use tokio::sync::oneshot;

/// 2026-01-01T00:00:00Z, the moment at which every simulated world begins.
const WORLD_BEGINS_MICROS: i64 = 1_767_225_600_000_000;

/// A clock that stands still until somebody moves it; shared as an `Arc`.
///
/// A clock from [`SimClock::new`] moves by [`SimClock::advance`] alone, and sleepers wake in the order of their deadlines.
/// One from [`SimClock::of_tokio`] follows `tokio::time`, which in a test with `start_paused` jumps to the next sleeper
/// whenever nothing else can run.
pub struct SimClock {
    source: Source,
    state: Mutex<State>,
}

enum Source {
    Manual,
    Tokio(tokio::time::Instant),
}

#[derive(Default)]
struct State {
    manual: Duration,
    skew_micros: i64,
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    slept: u64,
}

impl SimClock {
    /// A clock that only [`SimClock::advance`] moves.
    pub fn new() -> Self {
        Self { source: Source::Manual, state: Mutex::default() }
    }

    /// A clock that follows `tokio::time`; [`SimClock::advance`] moves it further on.
    #[expect(clippy::disallowed_methods, reason = "plays the Clock port")]
    pub fn of_tokio() -> Self {
        Self { source: Source::Tokio(tokio::time::Instant::now()), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves time on and wakes every sleeper whose time has come, earliest first.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut state = self.state();
            state.manual = state.manual.saturating_add(by);
            let reached = (state.manual, u64::MAX);
            let later = state.sleepers.split_off(&reached);
            std::mem::replace(&mut state.sleepers, later)
        };
        for sleeper in due.into_values() {
            // A sleeper that was dropped has nobody left to wake.
            let _ = sleeper.send(());
        }
    }

    /// Sets the time of day this much off, forwards or back, as a bad clock is; `monotonic` does not notice.
    pub fn set_skew_micros(&self, skew: i64) {
        self.state().skew_micros = skew;
    }

    /// How many sleepers wait for [`SimClock::advance`].
    pub fn sleepers(&self) -> usize {
        let mut state = self.state();
        state.sleepers.retain(|_, s| !s.is_closed());
        state.sleepers.len()
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.monotonic().as_micros()).unwrap_or(i64::MAX);
        let skew = self.state().skew_micros;
        Timestamp(WORLD_BEGINS_MICROS.saturating_add(elapsed).saturating_add(skew))
    }

    fn monotonic(&self) -> Duration {
        let manual = self.state().manual;
        match self.source {
            Source::Manual => manual,
            Source::Tokio(start) => start.elapsed().saturating_add(manual),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "plays the Clock port")]
    async fn sleep(&self, duration: Duration) {
        if let Source::Tokio(_) = self.source {
            return tokio::time::sleep(duration).await;
        }
        let woken = {
            let mut state = self.state();
            if duration.is_zero() {
                return;
            }
            let deadline = state.manual.saturating_add(duration);
            let (sleeper, woken) = oneshot::channel();
            let turn = state.slept;
            state.slept += 1;
            state.sleepers.insert((deadline, turn), sleeper);
            woken
        };
        // The other end goes away only together with the clock, and then nobody can tell the time any more.
        let _ = woken.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_their_time_has_come_and_not_before() {
        let clock = Arc::new(SimClock::new());
        let sleeper = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move {
                clock.sleep(Duration::from_secs(10)).await;
                clock.monotonic()
            }
        });
        tokio::task::yield_now().await;
        assert_eq!(clock.sleepers(), 1);
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.expect("no panic"), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn paused_tokio_time_jumps_to_the_next_sleeper() {
        let clock = SimClock::of_tokio();
        let before = clock.now();
        clock.sleep(Duration::from_secs(3_600)).await;
        assert!(clock.monotonic() >= Duration::from_secs(3_600));
        assert!(clock.now().0 - before.0 >= 3_600_000_000);
    }

    #[test]
    fn the_time_of_day_may_go_back_and_monotonic_does_not() {
        let clock = SimClock::new();
        clock.advance(Duration::from_secs(5));
        let (day, monotonic) = (clock.now(), clock.monotonic());
        clock.set_skew_micros(-60_000_000);
        assert!(clock.now() < day);
        assert_eq!(clock.monotonic(), monotonic);
    }
}
