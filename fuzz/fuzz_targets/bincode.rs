//! Any payload is operations or corrupt; what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proximadb_ports::WalCodec;
use proximadb_wal::BincodeCodec;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(operations) = BincodeCodec.decode(bytes) {
        let mut out = Default::default();
        BincodeCodec.encode(&operations, &mut out).expect("what was read can be written");
        assert_eq!(BincodeCodec.decode(&out).expect("what was written can be read"), operations);
    }
});
