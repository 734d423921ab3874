//! Any bytes are a manifest or refused; behind a valid checksum too. What is read is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proximadb_model::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(&manifest.encode()[..], bytes);
    }
});
