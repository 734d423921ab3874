//! Leaving a plugin alone that keeps failing, so that it cannot take the time of those who do not need it. Does not know what a
//! fault is, nor what time it is.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::options::BreakerOptions;

/// The recent faults of one plugin.
///
/// After `faults_max` faults within `window` no call goes through for `cool_down`; then the count starts anew.
pub(crate) struct Breaker {
    options: BreakerOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Fewer than `faults_max` moments, oldest first.
    faults: VecDeque<Duration>,
    closed_from: Option<Duration>,
}

impl Breaker {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self { options, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may go through at `now`.
    pub(crate) fn lets_through(&self, now: Duration) -> bool {
        let mut state = self.state();
        let open = state.closed_from.is_some_and(|then| now < then);
        if !open {
            state.closed_from = None;
        }
        !open
    }

    /// Counts a fault at `now`.
    pub(crate) fn count(&self, now: Duration) {
        let mut state = self.state();
        while state.faults.front().is_some_and(|then| now.saturating_sub(*then) >= self.options.window) {
            state.faults.pop_front();
        }
        if state.faults.len() + 1 >= self.options.faults_max {
            state.faults.clear();
            state.closed_from = Some(now.saturating_add(self.options.cool_down));
        } else {
            state.faults.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerOptions { faults_max: 3, window: at(60), cool_down: at(30) })
    }

    #[test]
    fn opens_at_the_last_fault_within_the_window_and_closes_after_the_cool_down() {
        let breaker = breaker();
        for second in [0, 1] {
            breaker.count(at(second));
            assert!(breaker.lets_through(at(second)));
        }
        breaker.count(at(2));
        assert!(!breaker.lets_through(at(2)));
        assert!(!breaker.lets_through(at(31)));
        assert!(breaker.lets_through(at(32)));
    }

    #[test]
    fn starts_counting_anew_after_the_cool_down() {
        let breaker = breaker();
        for second in [0, 1, 2] {
            breaker.count(at(second));
        }
        assert!(breaker.lets_through(at(40)));
        breaker.count(at(40));
        breaker.count(at(41));
        assert!(breaker.lets_through(at(41)));
        breaker.count(at(42));
        assert!(!breaker.lets_through(at(42)));
    }

    #[test]
    fn forgets_faults_that_are_older_than_the_window() {
        let breaker = breaker();
        for second in [0, 30, 60, 90, 120, 150] {
            breaker.count(at(second));
            assert!(breaker.lets_through(at(second)), "after {second} s");
        }
        breaker.count(at(151));
        assert!(!breaker.lets_through(at(151)));
    }
}
