//! Which threads let which go first, where the system has priorities of threads. Refuses to know what they compute.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

/// How nice background work is to the rest, of 0 to 19: it gets about a tenth of a processor that a request wants too, so that a build
/// under full load goes on all the same (docs/decisions/0015-memory-budget.adoc).
#[cfg(target_os = "linux")]
const BACKGROUND_NICE: i32 = 10;

/// Time between two looks at what runs.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The look from which on a computation is as nice as background work.
const LONG_LOOKS: u32 = 3;
/// Looks that find nothing before nobody looks any more until something comes.
const QUIET_LOOKS: u32 = 250;

#[cfg(target_os = "linux")]
type Thread = (rustix::process::Pid, thread_priority::ThreadId);
#[cfg(not(target_os = "linux"))]
type Thread = ();

/// Lets the threads that answer requests go before this one, and before those that it starts, when all want a processor. The runtime's
/// blocking threads must not be among these: file systems start theirs from tasks of the runtime (`deadlined`), never from here.
pub(crate) fn give_precedence() {
    lower(this_thread());
}

#[cfg(target_os = "linux")]
fn this_thread() -> Thread {
    (rustix::thread::gettid(), thread_priority::thread_native_id())
}

#[cfg(target_os = "linux")]
fn lower((thread, _): Thread) {
    // On Linux a priority is a thread's own, though POSIX says a process's (setpriority(2), "C library/kernel differences").
    if let Err(error) = rustix::process::setpriority_process(Some(thread), BACKGROUND_NICE) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

thread_local! {
    /// Whether this thread computes under [`Watch::over`] and ends after it.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Lets everything else on the machine go before this thread, for the rest of its life.
pub(crate) fn give_way_to_all() {
    idle(this_thread());
}

/// One call of a plugin takes long: its thread gives way to all if it is one of those that end with their computation.
pub(crate) fn long_call() {
    if IS_WATCHED.get() {
        give_way_to_all();
    }
}

/// The nicest of threads may still finish its turn, four milliseconds where the system's clock ticks 250 times a second, before one that has
/// just woken; one that is idle by policy gives way at once (sched(7)).
#[cfg(target_os = "linux")]
fn idle((_, thread): Thread) {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy};
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread, ThreadPriority::Min, idle) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn idle((): Thread) {}

#[cfg(not(target_os = "linux"))]
fn this_thread() {}

#[cfg(not(target_os = "linux"))]
fn lower((): Thread) {}

/// Looks after threads that compute with a plugin: whoever takes longer than some milliseconds lets the others go first from then on.
pub(crate) struct Watch {
    running: Mutex<Running>,
    arrived: Condvar,
}

#[derive(Default)]
struct Running {
    /// Those that may have to let others go, and the looks that have found them.
    threads: Vec<(Thread, u32)>,
    is_watched: bool,
    is_closed: bool,
}

impl Watch {
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let watch = Arc::new(Self { running: Mutex::default(), arrived: Condvar::new() });
        let looking = Arc::clone(&watch);
        thread::Builder::new().name("precedence".to_owned()).spawn(move || looking.look())?;
        Ok(watch)
    }

    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// Runs a computation on this thread, which ends after it.
    pub(crate) fn over(&self, job: impl FnOnce()) {
        let this = this_thread();
        let mut running = self.lock();
        running.threads.push((this, 0));
        if !running.is_watched {
            running.is_watched = true;
            self.arrived.notify_all();
        }
        drop(running);
        IS_WATCHED.set(true);
        job();
        // Gone from the list before it is gone: the system may give its number to another.
        self.lock().threads.retain(|(thread, _)| *thread != this);
    }

    fn look(&self) {
        let mut running = self.lock();
        let mut quiet = 0;
        while !running.is_closed {
            if running.is_watched {
                running = self.arrived.wait_timeout(running, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                running = self.arrived.wait(running).unwrap_or_else(PoisonError::into_inner);
                quiet = 0;
            }
            quiet = if running.threads.is_empty() { quiet + 1 } else { 0 };
            running.is_watched = quiet < QUIET_LOOKS;
            running.threads.retain_mut(|(thread, looks)| {
                *looks += 1;
                let is_long = *looks >= LONG_LOOKS;
                if is_long {
                    lower(*thread);
                }
                !is_long
            });
        }
    }

    // Nothing panics while it holds the lock, so a poisoned lock tells nothing.
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn nice() -> i32 {
        rustix::process::getpriority_process(Some(this_thread().0)).expect("a priority")
    }

    #[test]
    fn what_takes_long_goes_behind_and_what_is_short_does_not() {
        let watch = Watch::start().expect("a thread");
        let run = |job: fn()| {
            let watch = Arc::clone(&watch);
            thread::spawn(move || {
                watch.over(job);
                nice()
            })
            .join()
            .expect("it ends")
        };
        let before = nice();
        assert_eq!(run(|| ()), before);
        assert_eq!(run(|| while nice() < BACKGROUND_NICE {}), BACKGROUND_NICE);
        run(|| {
            long_call();
            assert!(is_idle());
        });
        long_call();
        assert!(nice() == before && !is_idle(), "nobody else's priority is touched");
        watch.close();
    }

    fn is_idle() -> bool {
        let idle = thread_priority::ThreadSchedulePolicy::Normal(thread_priority::NormalThreadSchedulePolicy::Idle);
        thread_priority::thread_schedule_policy().expect("a policy") == idle
    }

    #[test]
    fn a_suspect_gives_way_to_all() {
        let suspect = thread::spawn(|| {
            give_way_to_all();
            is_idle()
        });
        assert!(suspect.join().expect("it ends") && !is_idle());
    }
}
