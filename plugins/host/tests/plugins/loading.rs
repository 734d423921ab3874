//! What the host takes as a plugin and what it refuses.

use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use proximadb_plugins::{Interruption, PluginHost, PluginOptions};
use proximadb_ports::{Fault, PortError};

use crate::guests::{Guest, compile};
use crate::{COSINE, RACK_AWARE, host, host_with, keys, options};

#[track_caller]
fn refused(host: &PluginHost, bytes: &[u8], word: &str) -> PortError {
    let error = host.load_metric("m", bytes, None, "", 1).err().expect("a refusal");
    assert_eq!(error.fault, Fault::Invalid, "{error:?}");
    assert!(format!("{error:?}").contains(word), "{error:?}");
    let metric = host.load_metric("good", &Guest::default().component(), None, "", 1).expect("the host goes on");
    assert_eq!(keys(&*metric, &[0.0], &[1.0, 2.0]).expect("keys"), [1.0, 2.0]);
    error
}

#[test]
fn what_is_no_component_is_refused() {
    let host = host();
    refused(&host, b"", "no WebAssembly component");
    refused(&host, b"(component)", "no WebAssembly component");
    refused(&host, &compile("(module)"), "no WebAssembly component");
    refused(&host, &compile("(component)"), "does not export proximadb:plugin/metric@0.1.0");
    refused(&host, RACK_AWARE, "does not export proximadb:plugin/metric@0.1.0");
    let error = host.load_assigner("a", COSINE, None, "").err().expect("a refusal");
    assert_eq!(error.fault, Fault::Invalid);
    assert!(error.message.contains("does not export proximadb:plugin/assigner@0.1.0"), "{error}");
}

#[test]
fn an_import_is_refused_by_its_name() {
    let wasi = compile(r#"(component (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64))))))"#);
    refused(&host(), &wasi, "imports wasi:clocks/monotonic-clock@0.2.0");
    let core = compile(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#);
    refused(&host(), &core, "no WebAssembly component");
}

#[test]
fn large_components_are_refused_unread() {
    let good = Guest::default().component();
    let (host, _) = host_with(PluginOptions { component_bytes_max: good.len(), ..options() });
    refused(&host, &[&*good, &[0]].concat(), "at most");
}

#[test]
fn only_the_pinned_bytes_are_taken() {
    let (host, bytes) = (host(), Guest::default().component());
    let pinned = *host.load_metric("m", &bytes, None, "", 1).expect("a metric").sha256();
    assert_eq!(host.load_metric("m", &bytes, Some(pinned), "", 1).expect("the same bytes").sha256(), &pinned);
    let error = host.load_metric("m", &bytes, Some([7; 32]), "", 1).err().expect("other bytes");
    assert_eq!(error.fault, Fault::Invalid);
    assert!(error.message.contains(&"07".repeat(32)), "{error}");
}

#[test]
fn the_digest_is_sha256() {
    // The digest of "abc" from the examples to FIPS 180-4.
    let error = host().load_metric("m", b"abc", Some([0; 32]), "", 1).err().expect("other bytes");
    assert!(error.message.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{error}");
}

#[test]
fn names_and_dimensions_have_bounds() {
    let (host, bytes) = (host(), Guest::default().component());
    for name in ["", "a b", "wasm:a", "ü", &"x".repeat(65)] {
        assert_eq!(host.load_metric(name, &bytes, None, "", 1).err().expect("no name").fault, Fault::Invalid, "{name}");
    }
    for dimension in [0, 65_537, usize::MAX] {
        assert_eq!(host.load_metric("m", &bytes, None, "", dimension).err().expect("too far").fault, Fault::Invalid, "{dimension}");
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let no_time = Interruption::Time { tick: Duration::ZERO, call_max: Duration::from_secs(1) };
    for options in [PluginOptions { stack_bytes_max: 0, ..options() }, PluginOptions { interruption: no_time, ..options() }] {
        let clock = std::sync::Arc::new(proximadb_sim::SimClock::new());
        assert_eq!(PluginHost::new(options, clock).err().expect("a refusal").fault, Fault::Invalid);
    }
}

#[test]
fn truncated_components_are_refused() {
    let (host, good) = (host(), Guest::default().component());
    for length in (0..good.len()).step_by(7) {
        let error = host.load_metric("m", &good[..length], None, "", 1).err().expect("a refusal");
        assert_eq!(error.fault, Fault::Invalid, "{length} bytes: {error:?}");
    }
    refused(&host, &COSINE[..COSINE.len() / 2], "no WebAssembly component");
}

#[test]
fn whatever_bits_are_flipped_the_host_stays() {
    const SEED: u64 = 20_260_101;
    println!("seed {SEED}");
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&SEED.to_le_bytes());
    let mut chance = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let (host, good) =
        (host_with(PluginOptions { interruption: Interruption::Fuel { call_max: 100_000 }, ..options() }).0, Guest::default().component());
    let mut taken = 0;
    for _ in 0..300 {
        let mut bytes = good.clone();
        let place = chance.random_range(0..bytes.len());
        bytes[place] ^= 1 << chance.random_range(0..8u8);
        match host.load_metric("m", &bytes, None, "", 1) {
            Ok(metric) => {
                taken += 1;
                if let Err(error) = keys(&*metric, &[0.0], &[1.0, 2.0]) {
                    assert!([Fault::Plugin, Fault::Invalid].contains(&error.fault), "bit in byte {place}: {error:?}");
                }
            }
            Err(error) => assert!([Fault::Plugin, Fault::Invalid].contains(&error.fault), "bit in byte {place}: {error:?}"),
        }
    }
    assert!(taken > 0, "every flip was refused, so nothing was called");
    refused(&host, b"", "no WebAssembly component");
}

#[test]
fn what_is_compiled_is_found_by_the_next_host_and_a_damaged_cache_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = || PluginOptions { cache_dir: Some(folder.path().to_owned()), ..options() };
    let bytes = Guest::default().component();
    let load = || {
        let metric = host_with(options()).0.load_metric("m", &bytes, None, "", 1).expect("a metric");
        assert_eq!(keys(&*metric, &[0.0], &[1.0, 2.0]).expect("keys"), [1.0, 2.0]);
    };
    let files = || {
        let mut files = Vec::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
            }
        }
        // Beside each lies what is known of its use, written by a thread of its own.
        files.retain(|file| file.extension().is_none());
        files
    };
    load();
    assert_eq!(files().len(), 1, "{:?}", files());
    load();
    assert_eq!(files().len(), 1, "{:?}", files());
    std::fs::write(&files()[0], b"no code").expect("writable");
    load();
}
