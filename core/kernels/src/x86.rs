//! Owns the choice of kernels on x86-64: what the processor has, and which function stands for which kernel.

mod avx2_codes;
mod avx2_float;
mod avx512_codes;
mod avx512_float;
mod avx512_planes;

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use crate::kernel::Kernel;
use crate::level::{Kernels, Level};
use crate::planes::PlanesKernel;
use crate::scalar;
use crate::term::{DOT, HAMMING, L1, L2_SQUARED};

pub(crate) fn best() -> &'static Kernels {
    kernels_at(Level::Avx512).or_else(|| kernels_at(Level::Avx2)).unwrap_or(&scalar::KERNELS)
}

pub(crate) fn kernels_at(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Scalar => Some(&scalar::KERNELS),
        Level::Avx2 => has_avx2().then_some(&AVX2),
        Level::Avx512 => has_avx512().then_some(&AVX512),
        Level::Neon => None,
    }
}

/// Asks for the cache line that `place` lies on.
#[inline(always)]
pub(crate) fn prefetch_line(place: *const u8) {
    // SAFETY: a prefetch reads nothing that the program can see and faults on no address; SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("popcnt")
}

fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512vpopcntdq")
}

// SAFETY: private, and handed out by `kernels_at` only where `has_avx2` holds.
static AVX2: Kernels = unsafe {
    use avx2_codes as codes;
    use avx2_float as float;
    Kernels {
        level: Level::Avx2,
        dot: Kernel::new(float::row::<DOT>, float::block::<DOT>, float::gather::<DOT>),
        l2_squared: Kernel::new(float::row::<L2_SQUARED>, float::block::<L2_SQUARED>, float::gather::<L2_SQUARED>),
        l1: Kernel::new(float::row::<L1>, float::block::<L1>, float::gather::<L1>),
        hamming: Kernel::new(float::row::<HAMMING>, float::block::<HAMMING>, float::gather::<HAMMING>),
        cosine: Kernel::new(float::cosine, float::cosine_block, float::cosine_gather),
        dot_i8: Kernel::new(codes::dot_i8, codes::dot_i8_block, codes::dot_i8_gather),
        dot_f16: Kernel::new(codes::dot_f16, codes::dot_f16_block, codes::dot_f16_gather),
        hamming_bits: Kernel::new(codes::hamming_bits, codes::hamming_bits_block, codes::hamming_bits_gather),
        estimates: PlanesKernel::new(codes::estimates),
        dot_and_norm: float::dot_and_norm,
    }
};

/// Half precision stays that of AVX2.
// SAFETY: private, and handed out by `kernels_at` only where `has_avx512`, and with it `has_avx2`, holds.
static AVX512: Kernels = unsafe {
    use avx512_codes as codes;
    use avx512_float as float;
    Kernels {
        level: Level::Avx512,
        dot: Kernel::new(float::row::<DOT>, float::block::<DOT>, float::gather::<DOT>),
        l2_squared: Kernel::new(float::row::<L2_SQUARED>, float::block::<L2_SQUARED>, float::gather::<L2_SQUARED>),
        l1: Kernel::new(float::row::<L1>, float::block::<L1>, float::gather::<L1>),
        hamming: Kernel::new(float::row::<HAMMING>, float::block::<HAMMING>, float::gather::<HAMMING>),
        cosine: Kernel::new(float::cosine, float::cosine_block, float::cosine_gather),
        dot_and_norm: float::dot_and_norm,
        dot_i8: Kernel::new(codes::dot_i8, codes::dot_i8_block, codes::dot_i8_gather),
        hamming_bits: Kernel::new(codes::hamming_bits, codes::hamming_bits_block, codes::hamming_bits_gather),
        estimates: PlanesKernel::new(avx512_planes::estimates),
        ..AVX2
    }
};
