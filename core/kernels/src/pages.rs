//! Owns the request for huge pages, which spare a walk over scattered memory most of its address translations. Refuses to know
//! what the memory holds.

use std::mem::MaybeUninit;

/// What a huge page must cover whole; smaller memory is left as it is.
const HUGE_BYTES: usize = 2 << 20;

/// Asks the system to put memory that was not written yet on huge pages; has no effect but on time, and none where the system
/// has no such thing.
pub fn ask_for_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    let address = memory.as_mut_ptr().addr();
    let (first, end) = (address.next_multiple_of(HUGE_BYTES), (address + size_of_val(memory)) / HUGE_BYTES * HUGE_BYTES);
    if first < end {
        advise(memory.as_mut_ptr().with_addr(first).cast(), end - first);
    }
}

#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    const MADV_HUGEPAGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(start: *mut std::ffi::c_void, bytes: usize, advice: i32) -> i32;
    }
    // SAFETY: the range lies within memory that the caller owns, and this advice changes nothing that a program can read. What
    // it answers does not matter: without huge pages everything works as well, only slower.
    unsafe { madvise(start.cast(), bytes, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *mut u8, _bytes: usize) {}
