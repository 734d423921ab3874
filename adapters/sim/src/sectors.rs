//! What a power cut leaves of bytes that were written and not synced. Decides bytes; knows no files.

use crate::rng::Rng;

/// Bytes that a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// Cuts `content` down to what survives: everything before `synced`, and of the rest each sector by chance.
///
/// The length may have reached the disk without the bytes (then they read as zeros, or rarely as whatever the sectors held
/// before), a later sector may survive an earlier one, and the end may lie anywhere.
pub(crate) fn tear(content: &mut Vec<u8>, synced: usize, rng: &mut Rng) {
    let unsynced = content.len().saturating_sub(synced) as u64;
    if unsynced == 0 {
        return;
    }
    let kept = match rng.below(4) {
        0 => 0,
        1 => unsynced,
        // `kept <= unsynced`, which was made from a usize.
        _ => rng.below(unsynced + 1),
    };
    content.truncate(synced + kept as usize);
    // 0 loses none, 1 loses all.
    let lost_one_in = rng.below(5);
    let mut at = synced;
    while at < content.len() {
        let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(content.len());
        if lost_one_in > 0 && rng.one_in(lost_one_in) {
            let stale = rng.one_in(8);
            for byte in &mut content[at..end] {
                *byte = if stale { rng.bits() as u8 } else { 0 };
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synced_bytes_always_survive_and_the_rest_sometimes_does_not() {
        let written: Vec<u8> = (0..5_000u32).map(|i| (i % 251) as u8 + 1).collect();
        let (mut whole, mut cut, mut holed, mut reordered) = (0, 0, 0, 0);
        for seed in 0..500 {
            let mut content = written.clone();
            tear(&mut content, 700, &mut Rng::new(seed));
            assert!(content.len() >= 700 && content.len() <= written.len(), "seed {seed}");
            assert_eq!(content[..700], written[..700], "seed {seed}");
            whole += usize::from(content == written);
            cut += usize::from(content.len() < written.len());
            let first_wrong = content.iter().zip(&written).position(|(a, b)| a != b);
            holed += usize::from(first_wrong.is_some());
            reordered +=
                usize::from(first_wrong.is_some_and(|i| content[i..].iter().zip(&written[i..]).skip(SECTOR_BYTES).any(|(a, b)| a == b)));
        }
        for (what, count) in [("whole", whole), ("cut", cut), ("holed", holed), ("reordered", reordered)] {
            assert!(count > 10, "{what}: {count} of 500");
        }
    }
}
