//! Any payload is operations or corrupt; what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proximadb_ports::WalCodec;
use proximadb_wal::AvroCodec;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(operations) = AvroCodec.decode(bytes) {
        let mut out = Default::default();
        AvroCodec.encode(&operations, &mut out).expect("what was read can be written");
        assert_eq!(AvroCodec.decode(&out).expect("what was written can be read"), operations);
    }
});
