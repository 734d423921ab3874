//! The suites of [`Clock`], [`Entropy`] and [`Executor`]: one property a guarantee. They measure by the clock under test alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use proximadb_model::Uid;

use crate::clock::{Clock, Entropy, Executor};

/// Runs every property of [`Clock`]; the clock must move by itself while somebody sleeps.
///
/// # Panics
/// Where the clock breaks a guarantee.
pub async fn run_clock(clock: &dyn Clock) {
    clock_g1_monotonic_never_goes_back(clock).await;
    clock_g2_sleep_lasts_long_enough(clock).await;
}

/// G1: of two readings the later is never the smaller.
///
/// # Panics
/// Where it does not hold.
pub async fn clock_g1_monotonic_never_goes_back(clock: &dyn Clock) {
    let mut last = clock.monotonic();
    for round in 0..1_000 {
        if round % 100 == 0 {
            clock.sleep(Duration::from_micros(50)).await;
        }
        let now = clock.monotonic();
        assert!(now >= last, "{now:?} after {last:?}");
        last = now;
    }
}

/// G2: whoever slept sees at least that much time gone by.
///
/// # Panics
/// Where it does not hold.
pub async fn clock_g2_sleep_lasts_long_enough(clock: &dyn Clock) {
    for asked in [0, 1, 900, 1_000, 7_300].map(Duration::from_micros) {
        let before = clock.monotonic();
        clock.sleep(asked).await;
        let slept = clock.monotonic() - before;
        assert!(slept >= asked, "slept {slept:?} of {asked:?}");
    }
}

/// Runs every property of [`Entropy`].
///
/// # Panics
/// Where the source breaks a guarantee.
pub fn run_entropy(entropy: &dyn Entropy) {
    entropy_g1_identities_differ(entropy);
    entropy_g2_identities_sort_by_time(entropy);
}

/// G1: many threads draw many identities, and no two are equal.
///
/// # Panics
/// Where it does not hold.
pub fn entropy_g1_identities_differ(entropy: &dyn Entropy) {
    const THREADS: usize = 8;
    const EACH: usize = 10_000;
    let drawn: Vec<Vec<Uid>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| (0..EACH).map(|_| entropy.uid()).collect())).collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    let distinct: BTreeSet<&Uid> = drawn.iter().flatten().collect();
    assert_eq!(distinct.len(), THREADS * EACH);
    let bits: BTreeSet<u64> = (0..1_000).map(|_| entropy.bits()).collect();
    assert!(bits.len() > 990, "random bits repeat");
}

/// G2: identities have version 7, and their times never go back.
///
/// # Panics
/// Where it does not hold.
pub fn entropy_g2_identities_sort_by_time(entropy: &dyn Entropy) {
    let drawn: Vec<Uid> = (0..10_000).map(|_| entropy.uid()).collect();
    assert!(drawn.iter().all(|u| u.as_bytes()[6] >> 4 == 7 && u.as_bytes()[8] >> 6 == 2), "RFC 9562, version 7");
    assert!(drawn.is_sorted_by_key(|u| u.as_bytes()[..6].to_vec()), "by their first 48 bits");
}

/// Lets everything else go first until `done`; where it never is, the test hangs, and its runner says so.
async fn until(done: impl Fn() -> bool) {
    std::future::poll_fn(|cx| {
        if done() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs every property of [`Executor`].
///
/// # Panics
/// Where the executor breaks a guarantee.
pub async fn run_executor(executor: &dyn Executor) {
    executor_g1_tasks_run_to_their_end(executor).await;
    executor_g2_computations_are_bounded(executor).await;
    executor_g3_a_panic_harms_nobody_else(executor).await;
}

/// G1: every spawned task ends, also those that give way on their way.
///
/// # Panics
/// Where it does not hold.
pub async fn executor_g1_tasks_run_to_their_end(executor: &dyn Executor) {
    let ended = Arc::new(AtomicUsize::new(0));
    for turns in 0..50usize {
        let ended = Arc::clone(&ended);
        let task = Box::pin(async move {
            let polled = AtomicUsize::new(0);
            until(|| polled.fetch_add(1, Ordering::Relaxed) >= turns).await;
            ended.fetch_add(1, Ordering::SeqCst);
        });
        if turns % 2 == 0 { executor.spawn("conformance", task) } else { executor.spawn_background("conformance", task) }
    }
    until(|| ended.load(Ordering::SeqCst) == 50).await;
}

/// G2: every computation runs, and never more at once than there are threads.
///
/// # Panics
/// Where it does not hold.
pub async fn executor_g2_computations_are_bounded(executor: &dyn Executor) {
    const JOBS: usize = 200;
    let (running, most, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..JOBS {
        let (running, most, ended) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&ended));
        executor.compute(Box::new(move || {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
            ended.fetch_add(1, Ordering::SeqCst);
        }));
    }
    for turn in 0..JOBS {
        let ended = Arc::clone(&ended);
        let job = move || {
            ended.fetch_add(1, Ordering::SeqCst);
        };
        executor.beside("conformance", turn % 2 == 0, Box::new(job));
    }
    until(|| ended.load(Ordering::SeqCst) == 2 * JOBS).await;
    assert!(executor.compute_threads() >= 1);
    assert!(most.load(Ordering::SeqCst) <= executor.compute_threads(), "{} at once", most.load(Ordering::SeqCst));
}

/// G3: after as many panics as there are threads and more, computations still run; what a panicking one held is dropped.
///
/// # Panics
/// Where it does not hold.
pub async fn executor_g3_a_panic_harms_nobody_else(executor: &dyn Executor) {
    let held = Arc::new(());
    for turn in 0..executor.compute_threads() + 3 {
        let held = Arc::clone(&held);
        let job = Box::new(move || {
            let _held = held;
            panic!("asked for by the conformance suite");
        });
        if turn == 0 { executor.background("conformance", job) } else { executor.compute(job) }
    }
    until(|| Arc::strong_count(&held) == 1).await;
    let ended = Arc::new(AtomicUsize::new(0));
    for turn in 0..executor.compute_threads() + 3 {
        let ended = Arc::clone(&ended);
        let job = Box::new(move || {
            ended.fetch_add(1, Ordering::SeqCst);
        });
        if turn == 0 { executor.background("conformance", job) } else { executor.compute(job) }
    }
    until(|| ended.load(Ordering::SeqCst) == executor.compute_threads() + 3).await;
}
