//! What one instance may take, and the looks at a call of it that does not come back. Knows no world of plugins.

use std::time::Duration;

use wasmtime::{StoreLimits, StoreLimitsBuilder, UpdateDeadline};

use crate::options::{Interruption, PluginOptions};
use crate::ticker::Waker;

/// A call that others keep from the processor is not its own fault, up to so many times the time that it has.
const WAITS_MAX: u64 = 50;

/// Ticks after which a call that is still looked at ends, whatever kept it from the processor.
pub(crate) fn ticks_max(tick: Duration, call_max: Duration) -> u64 {
    ticks(tick, call_max).saturating_mul(WAITS_MAX)
}

fn ticks(tick: Duration, time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(tick.as_nanos().max(1))).unwrap_or(u64::MAX).max(1)
}

/// The limits of an instance, and how far its present call has come.
pub(crate) struct Walls {
    pub(crate) limits: StoreLimits,
    long_call: fn(),
    /// Keeps ticking what brings the next look.
    waker: Option<Waker>,
    /// Zero where instructions are counted.
    tick: Duration,
    call_max: Duration,
    call: Call,
}

/// What the looks at one call have found.
#[derive(Clone, Copy, Default)]
struct Call {
    /// The thread's processor time at the first look.
    began: Option<Duration>,
    is_long: bool,
    ticks: u64,
}

impl Walls {
    pub(crate) fn new(options: &PluginOptions, long_call: fn(), waker: Option<Waker>) -> Self {
        let limits = StoreLimitsBuilder::new()
            .memory_size(options.memory_bytes_max)
            .memories(1)
            .table_elements(options.table_elements_max)
            .tables(options.instances_max)
            .instances(options.instances_max)
            .build();
        let (tick, call_max) = match options.interruption {
            Interruption::Time { tick, call_max } => (tick, call_max),
            Interruption::Fuel { .. } => (Duration::ZERO, Duration::ZERO),
        };
        Self { limits, long_call, waker, tick, call_max, call: Call::default() }
    }

    /// A call begins; gives the ticks until the first look at it.
    pub(crate) fn begin(&mut self) -> u64 {
        self.wake();
        self.call = Call { ticks: 1, ..Call::default() };
        self.call.ticks
    }

    /// Looks at a call that is still under way: it ends here once its own processor time is used up, and is told to be long once it has
    /// computed for most of a tick. The time before the first look, less than a tick, is not counted.
    pub(crate) fn look(&mut self) -> UpdateDeadline {
        self.wake();
        let now = processor_time();
        let used = now.saturating_sub(*self.call.began.get_or_insert(now));
        if used >= self.call_max || self.call.ticks > ticks_max(self.tick, self.call_max) {
            return UpdateDeadline::Interrupt;
        }
        if !self.call.is_long && used >= self.tick / 2 {
            self.call.is_long = true;
            (self.long_call)();
        }
        let next = if self.call.is_long { ticks(self.tick, self.call_max - used) } else { 1 };
        self.call.ticks = self.call.ticks.saturating_add(next);
        UpdateDeadline::Continue(next)
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }
}

/// What this thread has had of a processor. Real time for the same reason as the ticker's.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    static LONG_CALLS: AtomicUsize = AtomicUsize::new(0);

    fn long_call() {
        LONG_CALLS.fetch_add(1, Ordering::Relaxed);
    }

    fn compute(time: Duration) {
        let began = processor_time();
        while processor_time() - began < time {}
    }

    #[test]
    fn only_what_a_call_computes_itself_counts() {
        let (tick, call_max) = (Duration::from_millis(2), Duration::from_millis(20));
        let options = PluginOptions { interruption: Interruption::Time { tick, call_max }, ..PluginOptions::default() };
        let mut walls = Walls::new(&options, long_call, None);
        let long_calls = || LONG_CALLS.load(Ordering::Relaxed);
        assert_eq!(walls.begin(), 1);
        assert!(matches!(walls.look(), UpdateDeadline::Continue(1)));
        thread::spawn(move || compute(2 * call_max)).join().expect("it computes");
        assert!(matches!(walls.look(), UpdateDeadline::Continue(1)), "others computed");
        assert_eq!(long_calls(), 0);
        compute(tick);
        assert!(matches!(walls.look(), UpdateDeadline::Continue(2..=10)));
        assert_eq!(long_calls(), 1);
        compute(call_max);
        assert!(matches!(walls.look(), UpdateDeadline::Interrupt));
        assert_eq!(long_calls(), 1, "it is told once");

        walls.begin();
        assert!(matches!(walls.look(), UpdateDeadline::Continue(1)), "another call has time of its own");
        let looks = (0..10_000).take_while(|_| matches!(walls.look(), UpdateDeadline::Continue(_))).count();
        assert!(looks < 10_000, "nobody waits for ever");
    }
}
