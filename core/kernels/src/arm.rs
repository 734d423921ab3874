//! Owns the choice of kernels on AArch64, where Advanced SIMD is always present.

mod neon;

use std::arch::asm;

use crate::kernel::Kernel;
use crate::level::{Kernels, Level};
use crate::scalar;
use crate::term::{DOT, HAMMING, L1, L2_SQUARED};

// SAFETY: Advanced SIMD is part of the baseline of every AArch64 target that this module is compiled for.
static NEON: Kernels = unsafe {
    Kernels {
        level: Level::Neon,
        dot: Kernel::new(neon::row::<DOT>, neon::block::<DOT>, neon::gather::<DOT>),
        l2_squared: Kernel::new(neon::row::<L2_SQUARED>, neon::block::<L2_SQUARED>, neon::gather::<L2_SQUARED>),
        l1: Kernel::new(neon::row::<L1>, neon::block::<L1>, neon::gather::<L1>),
        hamming: Kernel::new(neon::row::<HAMMING>, neon::block::<HAMMING>, neon::gather::<HAMMING>),
        cosine: Kernel::new(neon::cosine, neon::cosine_block, neon::cosine_gather),
        dot_i8: Kernel::new(neon::dot_i8, neon::dot_i8_block, neon::dot_i8_gather),
        dot_and_norm: neon::dot_and_norm,
        // Half precision has no stable intrinsics here, and the plain bit count already compiles to CNT.
        ..scalar::KERNELS
    }
};

pub(crate) fn best() -> &'static Kernels {
    &NEON
}

pub(crate) fn kernels_at(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Scalar => Some(&scalar::KERNELS),
        Level::Neon => Some(&NEON),
        Level::Avx2 | Level::Avx512 => None,
    }
}

/// Asks for the cache line that `place` lies on.
#[inline(always)]
pub(crate) fn prefetch_line(place: *const u8) {
    // SAFETY: a prefetch reads nothing that the program can see, faults on no address and changes no flag.
    unsafe { asm!("prfm pldl1keep, [{0}]", in(reg) place, options(nostack, preserves_flags, readonly)) }
}
