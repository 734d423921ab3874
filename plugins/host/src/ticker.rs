//! The thread that makes time pass for plugins. Real time on purpose: what it bounds is real computing, which no simulated clock
//! moves; under simulation the host counts instructions instead and has no such thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// Moves the engine's epoch on once a tick while there are calls, until it is dropped.
pub(crate) struct Ticker {
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Calls {
    /// Whether a call was begun or looked at since the last tick.
    came: AtomicBool,
    /// Whether nothing ticks until the next call.
    is_resting: AtomicBool,
    is_over: AtomicBool,
}

/// Keeps a ticker awake.
#[derive(Clone)]
pub(crate) struct Waker {
    calls: Arc<Calls>,
    thread: thread::Thread,
}

impl Waker {
    /// A call begins, or goes on.
    pub(crate) fn wake(&self) {
        self.calls.came.store(true, Ordering::SeqCst);
        if self.calls.is_resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

impl Ticker {
    /// Rests after so many ticks at which no call was new or looked at.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(engine: Engine, tick: Duration, quiet_max: u64) -> io::Result<Self> {
        let calls = Arc::<Calls>::default();
        let seen = Arc::clone(&calls);
        let thread = Builder::new().name("plugin-ticker".to_owned()).spawn(move || {
            let mut quiet = 0;
            while !seen.is_over.load(Ordering::SeqCst) {
                thread::park_timeout(tick);
                engine.increment_epoch();
                quiet = if seen.came.swap(false, Ordering::SeqCst) { 0 } else { quiet + 1 };
                if quiet > quiet_max {
                    seen.rest();
                    quiet = 0;
                }
            }
        })?;
        Ok(Self { waker: Waker { calls, thread: thread.thread().clone() }, thread: Some(thread) })
    }

    /// What calls keep it awake with.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Calls {
    /// Returns with the next call. Either that sees the rest, or the rest sees it.
    fn rest(&self) {
        self.is_resting.store(true, Ordering::SeqCst);
        while !self.came.load(Ordering::SeqCst) && !self.is_over.load(Ordering::SeqCst) {
            thread::park();
        }
        self.is_resting.store(false, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.waker.calls.is_over.store(true, Ordering::SeqCst);
        self.waker.thread.unpark();
        if let Some(thread) = self.thread.take() {
            // The thread has no way to panic, and there would be nobody to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_without_calls_and_goes_on_with_the_next() {
        let ticker = Ticker::start(Engine::default(), Duration::from_micros(100), 3).expect("a thread");
        let waker = ticker.waker();
        let until = |flag: &AtomicBool, value: bool| {
            while flag.load(Ordering::SeqCst) != value {
                thread::yield_now();
            }
        };
        for _ in 0..3 {
            until(&waker.calls.is_resting, true);
            waker.wake();
            // Only a tick takes the call's mark away. The ticker may rest again before anybody has seen it awake.
            until(&waker.calls.came, false);
        }
    }
}
