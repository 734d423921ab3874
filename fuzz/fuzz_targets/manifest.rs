//! Any bytes are a manifest or refused, behind a valid checksum too. What is read is written, and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proximadb_model::Manifest;

fn try_it(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(Manifest::decode(&manifest.encode()).expect("what was written can be read"), manifest);
    }
}

fuzz_target!(|bytes: &[u8]| {
    try_it(bytes);
    // The checksum keeps chance out, so the input is also what stands before it.
    try_it(&[bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat());
});
