//! Owns hints to the memory system. Refuses to know what the memory holds.

use crate::platform;

const LINE_BYTES: usize = 64;

/// Asks for a slice to be brought near the processor; has no effect but on time.
#[inline]
pub fn prefetch<T>(memory: &[T]) {
    let start = memory.as_ptr().cast::<u8>();
    let end = start.wrapping_add(size_of_val(memory));
    // By the place and not by the number of lines, which the compiler would make eight at a time, with more to do around them.
    let mut line = start.wrapping_sub(start.addr() % LINE_BYTES);
    while line < end {
        platform::prefetch_line(line);
        line = line.wrapping_add(LINE_BYTES);
    }
}

/// Asks for the cache line on which a slice starts.
#[inline]
pub fn prefetch_start<T>(memory: &[T]) {
    platform::prefetch_line(memory.as_ptr().cast());
}
