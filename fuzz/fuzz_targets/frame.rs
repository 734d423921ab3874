//! Any bytes are scanned to their end, behind valid checksums too. A frame that is found is written again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proximadb_model::frame::{Frame, HEADER_BYTES, Header, Scanner};

/// The checksum of a header stands in its last bytes.
const CHECKSUM_BYTES: usize = 4;

fn scan(bytes: &[u8]) {
    for found in Scanner::new(bytes, 1) {
        let _ = found;
    }
    if let Ok(Frame { header, key, payload }) = Frame::decode(bytes) {
        let (head, trailer) = header.around(key, payload);
        assert!(bytes.starts_with(&[&head[..], payload, &trailer].concat()));
    }
}

fuzz_target!(|bytes: &[u8]| {
    scan(bytes);
    // Checksums keep chance out, so they are also set right: the header's, and the frame's where there is one.
    let mut bytes = bytes.to_vec();
    let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() else { return };
    let (told, checksum) = header.split_at_mut(HEADER_BYTES - CHECKSUM_BYTES);
    checksum.copy_from_slice(&crc32c::crc32c(told).to_le_bytes());
    if let Ok(header) = Header::decode(&bytes) {
        let body = HEADER_BYTES + usize::from(header.key_bytes) + header.payload_bytes as usize;
        if let Some(whole) = bytes.get(..body) {
            let checksum = crc32c::crc32c(whole).to_le_bytes();
            bytes.truncate(body);
            bytes.extend_from_slice(&checksum);
        }
    }
    scan(&bytes);
});
