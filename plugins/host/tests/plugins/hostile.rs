//! Guests that do harm: each is an error of its own plugin, and the host goes on serving another one.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use proximadb_plugins::{BreakerOptions, Interruption, PluginHost, PluginOptions, PluginUse};
use proximadb_ports::{Fault, Metric, PortError};
use proximadb_sim::SimClock;

use crate::guests::{ECHO, Guest};
use crate::{host_with, keys, options};

/// Loads a guest, has it score two vectors, and sees to it that another plugin of the host still answers.
#[track_caller]
fn harm(options: PluginOptions, bytes: &[u8]) -> PortError {
    let (host, _) = host_with(options);
    let good = host.load_metric("good", &Guest::default().component(), None, "", 1).expect("a metric");
    let outcome = host.load_metric("bad", bytes, None, "", 1).and_then(|bad| keys(&*bad, &[0.0], &[1.0, 2.0]));
    assert_eq!(keys(&*good, &[0.0], &[1.0, 2.0]).expect("the other plugin goes on"), [1.0, 2.0]);
    outcome.expect_err("harm")
}

#[track_caller]
fn fails(bytes: &[u8], word: &str) {
    let error = harm(options(), bytes);
    assert_eq!(error.fault, Fault::Plugin, "{error:?}");
    assert_eq!(error.subject, "bad");
    assert!(format!("{error:?}").contains(word), "{error:?}");
}

#[test]
fn an_endless_loop_ends() {
    let endless = Guest::scoring("(loop (br 0)) unreachable");
    fails(&endless, "took too long");
    let interruption = Interruption::Time { tick: Duration::from_millis(1), call_max: Duration::from_millis(200) };
    let error = harm(PluginOptions { interruption, ..options() }, &endless);
    assert_eq!(error.fault, Fault::Plugin);
    assert!(error.message.contains("took too long"), "{error:?}");
}

#[test]
fn a_call_that_takes_long_is_told_of_on_its_own_thread() {
    thread_local! {
        static LONG_CALLS: Cell<u32> = const { Cell::new(0) };
    }
    let interruption = Interruption::Time { tick: Duration::from_millis(1), call_max: Duration::from_millis(100) };
    let options = PluginOptions { interruption, ..options() };
    let host = PluginHost::with_long_calls(options, Arc::new(SimClock::new()), || LONG_CALLS.set(LONG_CALLS.get() + 1)).expect("a host");
    let good = host.load_metric("good", &Guest::default().component(), None, "", 1).expect("a metric");
    keys(&*good, &[1.0], &[2.0]).expect("an answer");
    assert_eq!(LONG_CALLS.get(), 0);
    let endless = host.load_metric("endless", &Guest::scoring("(loop (br 0)) unreachable"), None, "", 1).expect("a metric");
    keys(&*endless, &[1.0], &[2.0]).expect_err("it ends");
    assert_eq!(LONG_CALLS.get(), 1);
}

#[test]
fn an_endless_start_ends() {
    fails(&Guest { beside: "(func $start (loop (br 0))) (start $start)", ..Guest::default() }.component(), "took too long");
    fails(&Guest { describe: "(loop (br 0)) unreachable", ..Guest::default() }.component(), "took too long");
}

#[test]
fn a_trap_is_an_error() {
    fails(&Guest::scoring("unreachable"), "unreachable");
    fails(&Guest { describe: "unreachable", ..Guest::default() }.component(), "unreachable");
    fails(&Guest::scoring("(i32.div_u (i32.const 1) (i32.const 0))"), "divide");
    fails(&Guest::scoring("(i32.load (i32.const -1))"), "out of bounds");
}

#[test]
fn endless_recursion_ends_at_the_stack_limit() {
    let deeper = "(call $score (local.get $query) (local.get $dimension) (local.get $block) (local.get $length)) (drop) unreachable";
    fails(&Guest::scoring(deeper), "stack");
}

#[test]
fn memory_ends_at_its_limit() {
    // 1024 pages are 64 MiB, four of them taken from the start.
    let grow_by = |pages: &'static str| -> Vec<u8> {
        let score = format!("(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable)) {ECHO}");
        Guest::scoring(Box::leak(score.into_boxed_str()))
    };
    let (host, _) = host_with(options());
    let metric = host.load_metric("m", &grow_by("1020"), None, "", 1).expect("a metric");
    assert_eq!(keys(&*metric, &[0.0], &[1.0]).expect("as much as is allowed"), [1.0]);
    fails(&grow_by("1021"), "unreachable");
    fails(&Guest { memory: "(memory (export \"memory\") 1025)", ..Guest::default() }.component(), "memory");
    fails(&Guest { memory: "(memory (export \"memory\") 65536)", ..Guest::default() }.component(), "memory");
    fails(&Guest { beside: "(table 10001 funcref)", ..Guest::default() }.component(), "table");
}

#[test]
fn answers_of_the_wrong_length_are_no_answers() {
    for length in ["(i32.const 1)", "(i32.const 3)", "(i32.const 0)"] {
        let score = format!("(i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) {length}) (i32.const 64)");
        fails(&Guest::scoring(Box::leak(score.into_boxed_str())), "for 2 vectors");
    }
}

#[test]
fn values_that_are_no_numbers_are_no_answers() {
    for value in ["nan", "inf", "-inf"] {
        let score = format!("(f32.store offset=4 (local.get $block) (f32.const {value})) {ECHO}");
        fails(&Guest::scoring(Box::leak(score.into_boxed_str())), "the value of vector 1");
    }
}

#[test]
fn answers_outside_the_guests_memory_are_no_answers() {
    let at = |pointer: &str, length: &str| -> Vec<u8> {
        let score =
            format!("(i32.store (i32.const 68) (i32.const {pointer})) (i32.store (i32.const 72) (i32.const {length})) (i32.const 64)");
        Guest::scoring(Box::leak(score.into_boxed_str()))
    };
    fails(&at("0", "-1"), "trapped");
    fails(&at("262140", "2"), "trapped");
    fails(&at("-4", "2"), "trapped");
    fails(&at("3", "2"), "trapped");
    fails(&Guest::scoring("(i32.const -4)"), "trapped");
    fails(&Guest::scoring("(i32.store8 (i32.const 64) (i32.const 9)) (i32.const 64)"), "trapped");
}

/// Gives the text at 128 as an error when the first component of the block is below zero.
const SORRY: &str = "
    (if (f32.lt (f32.load (local.get $block)) (f32.const 0))
      (then
        (i32.store (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 128)) (i32.store (i32.const 72) (i32.const 5)))
      (else
        (i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length))))
    (i32.const 64)";

#[test]
fn an_error_of_the_guests_is_the_callers_and_opens_no_breaker() {
    let (host, _) = host_with(options());
    let metric = host.load_metric("m", &Guest::scoring(SORRY), None, "", 1).expect("a metric");
    for _ in 0..20 {
        let error = keys(&*metric, &[0.0], &[-1.0]).expect_err("sorry");
        assert_eq!((error.fault, error.message.as_str()), (Fault::Invalid, "the plugin says: sorry"));
    }
    assert_eq!(keys(&*metric, &[0.0], &[1.0]).expect("keys"), [1.0]);
}

#[test]
fn an_error_that_is_no_text_is_a_fault() {
    let beside = "(data (i32.const 128) \"\\ff\\ff\")";
    let sorry = "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 128))
        (i32.store (i32.const 72) (i32.const 2)) (i32.store16 (i32.const 128) (i32.const 0xffff)) (i32.const 64)";
    fails(&Guest { beside, score: sorry, ..Guest::default() }.component(), "utf-8");
}

/// Spoils its own memory and traps when the first component of the block is below zero; spoilt, it answers nonsense.
const SPOILS: &str = "
    (if (i32.load (i32.const 200)) (then (f32.store (local.get $block) (f32.const 99))))
    (if (f32.lt (f32.load (local.get $block)) (f32.const 0)) (then (i32.store (i32.const 200) (i32.const 1)) unreachable))
    (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length)) (i32.const 64)";

#[test]
fn after_a_trap_the_next_call_gets_a_new_instance() {
    let (host, _) = host_with(options());
    let metric = host.load_metric("m", &Guest::scoring(SPOILS), None, "", 1).expect("a metric");
    let mut scorer = metric.prepare(&[0.0]).expect("a scorer");
    let mut out = [0.0];
    for _ in 0..3 {
        assert_eq!(scorer.keys(&[-1.0], &mut out).expect_err("a trap").fault, Fault::Plugin);
        scorer.keys(&[1.0], &mut out).expect("a new instance");
        assert_eq!(out, [1.0]);
    }
}

#[test]
fn a_plugin_that_keeps_failing_is_left_alone_for_a_while() {
    let breaker = BreakerOptions { faults_max: 5, window: Duration::from_secs(60), cool_down: Duration::from_secs(30) };
    let (host, clock) = host_with(PluginOptions { breaker, ..options() });
    let metric = host.load_metric("m", &Guest::scoring(SPOILS), None, "", 1).expect("a metric");
    let other = host.load_metric("other", &Guest::scoring(SPOILS), None, "", 1).expect("a metric");
    for _ in 0..5 {
        assert!(keys(&*metric, &[0.0], &[-1.0]).expect_err("a trap").message.contains("trapped"));
    }
    let resting = keys(&*metric, &[0.0], &[1.0]).expect_err("left alone");
    assert_eq!(resting.fault, Fault::Plugin);
    assert!(resting.message.contains("left alone"), "{resting}");
    assert_eq!(keys(&*other, &[0.0], &[1.0]).expect("each has a breaker of its own"), [1.0]);
    clock.advance(Duration::from_secs(29));
    assert!(keys(&*metric, &[0.0], &[1.0]).is_err());
    clock.advance(Duration::from_secs(1));
    assert_eq!(keys(&*metric, &[0.0], &[1.0]).expect("after the cool-down"), [1.0]);
}

#[test]
fn what_a_plugin_was_used_for_is_counted_over_all_dimensions() {
    let (host, clock) = host_with(options());
    let plugin = host.load_metric_plugin("m", &Guest::scoring(SPOILS), None, "", None).expect("a metric");
    assert_eq!(plugin.use_so_far(), PluginUse::default());
    let metric = plugin.for_dimension(1).expect("a metric");
    assert_eq!(keys(&*metric, &[0.0], &[1.0]).expect("keys"), [1.0]);
    let used = plugin.use_so_far();
    assert_eq!((used.calls, used.faults, used.is_resting, used.last_fault), (2, 0, false, None), "described and asked once");
    assert!(std::sync::Arc::ptr_eq(&metric, &plugin.for_dimension(1).expect("the same")));
    for _ in 0..5 {
        assert!(keys(&*metric, &[0.0], &[-1.0]).is_err());
    }
    let used = plugin.use_so_far();
    assert_eq!((used.calls, used.faults, used.is_resting), (7, 5, true));
    assert!(used.last_fault.is_some_and(|fault| fault.contains("trapped")));
    let error = plugin.for_dimension(2).err().expect("the breaker is the plugin's, not the dimension's");
    assert!(error.message.contains("left alone"), "{error}");
    assert_eq!(plugin.use_so_far().calls, 7, "what is left alone is not called");
    clock.advance(Duration::from_secs(30));
    assert!(plugin.for_dimension(2).is_ok() && !plugin.use_so_far().is_resting);
}

#[test]
fn long_words_about_itself_are_no_answer() {
    let long = "(i32.store (i32.const 24) (i32.const 129)) (i32.store (i32.const 20) (i32.const 1024)) (i32.const 16)";
    fails(&Guest { describe: long, ..Guest::default() }.component(), "128 bytes");
}
