//! Where a record belongs, and how large a request may be.

use crate::invalid::Invalid;
use crate::limits::BATCH_OPERATIONS_MAX;

/// The shard of a record among `shards`: jump consistent hashing (Lamping and Veach 2014) of FNV-1a over the id.
/// Frozen: records are found by it.
pub fn shard_of(id: &str, shards: u32) -> u32 {
    let mut key = 0xcbf2_9ce4_8422_2325u64;
    for byte in id.as_bytes() {
        key = (key ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    key ^= key >> 32;
    let (mut bucket, mut next) = (0i64, 0i64);
    while next < i64::from(shards) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket as u32
}

/// Checks the number of changes in one request.
///
/// # Errors
/// [`Invalid`] on `records` for none or too many.
pub fn check_request_size(changes: usize) -> Result<(), Invalid> {
    match changes {
        0 => Err(Invalid::new("records", "there is nothing to write")),
        n if n > BATCH_OPERATIONS_MAX => {
            Err(Invalid::new("records", format!("has {n} changes, at most {BATCH_OPERATIONS_MAX} are allowed")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_spread_evenly_and_stay_where_they_were() {
        let mut counts = [0u32; 8];
        for i in 0..8_000 {
            let id = format!("doc_{i}");
            let shard = shard_of(&id, 8);
            counts[shard as usize] += 1;
            let fewer = shard_of(&id, 7);
            assert!(fewer == shard || shard == 7, "only what goes to the new shard moves");
        }
        assert!(counts.iter().all(|c| (850..1_150).contains(c)), "{counts:?}");
        // Frozen: a release that changes this line loses records.
        let first: Vec<_> = (0..8).map(|i| shard_of(&format!("doc_{i}"), 8)).collect();
        assert_eq!(first, FROZEN);
    }

    const FROZEN: [u32; 8] = [4, 1, 3, 6, 5, 6, 4, 5];

    #[test]
    fn requests_have_a_size() {
        assert!(check_request_size(1).is_ok() && check_request_size(BATCH_OPERATIONS_MAX).is_ok());
        assert!(check_request_size(0).is_err() && check_request_size(BATCH_OPERATIONS_MAX + 1).is_err());
    }
}
