//! Owns hints to the memory system. Refuses to know what the memory holds.

use crate::platform;

const LINE_BYTES: usize = 64;

/// Asks for a slice to be brought near the processor; has no effect but on time.
#[inline]
pub fn prefetch<T>(memory: &[T]) {
    let before = memory.as_ptr().addr() % LINE_BYTES;
    let first = memory.as_ptr().cast::<u8>().wrapping_sub(before);
    for line in 0..(before + size_of_val(memory)).div_ceil(LINE_BYTES) {
        platform::prefetch_line(first.wrapping_add(line * LINE_BYTES));
    }
}
