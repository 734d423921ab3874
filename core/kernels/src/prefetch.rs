//! Owns hints to the memory system. Refuses to know what the memory holds.

use crate::platform;

const LINE_BYTES: usize = 64;

/// Asks for a slice to be brought near the processor; has no effect but on time.
#[inline]
pub fn prefetch<T>(memory: &[T]) {
    let step = (LINE_BYTES / size_of::<T>().max(1)).max(1);
    for place in memory.iter().step_by(step) {
        platform::prefetch_line(place);
    }
    // A slice that does not start on a line's boundary may end on a line that no step fell on.
    if let Some(last) = memory.last() {
        platform::prefetch_line(last);
    }
}
