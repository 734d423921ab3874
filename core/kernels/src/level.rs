//! Owns the choice of an instruction set, made once a process. Refuses to know what any kernel computes.

use std::sync::OnceLock;

use crate::kernel::{Kernel, RowForm};
use crate::planes::PlanesKernel;
use crate::platform;

/// An instruction set for which this crate has kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Plain Rust, for every processor; the oracle of the others.
    Scalar,
    /// x86-64 with AVX2, FMA, F16C and POPCNT.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL, VNNI and VPOPCNTDQ; half precision runs as at `Avx2`.
    Avx512,
    /// AArch64 with Advanced SIMD.
    Neon,
}

impl Level {
    /// All levels, whether or not this processor has them.
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Avx2, Level::Avx512, Level::Neon];
}

/// The kernels of one level.
///
/// Levels agree within rounding: for `n` components, two levels differ by at most `(n + 4) * f32::EPSILON * s` plus
/// `n * f32::MIN_POSITIVE`, where `s` is the sum of the absolute terms, as long as `s` itself is finite. Integer scores and
/// `hamming` are equal.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    pub(crate) level: Level,
    /// Inner product.
    pub dot: Kernel<f32, f32, f32>,
    /// Squared Euclidean distance.
    pub l2_squared: Kernel<f32, f32, f32>,
    /// Manhattan distance.
    pub l1: Kernel<f32, f32, f32>,
    /// Number of components that differ, by `!=` on f32.
    pub hamming: Kernel<f32, f32, f32>,
    /// Cosine similarity of raw rows to a query of norm one.
    pub cosine: Kernel<f32, f32, f32>,
    /// Inner product of i8 codes.
    pub dot_i8: Kernel<i8, i8, i32>,
    /// Inner product of an f32 query and rows of IEEE 754 half-precision bit patterns.
    pub dot_f16: Kernel<f32, u16, f32>,
    /// Number of bits that differ.
    pub hamming_bits: Kernel<u64, u64, u32>,
    /// Keys of rows estimated from their signs, under a query of four bits a component.
    pub estimates: PlanesKernel,
    pub(crate) dot_and_norm: RowForm<f32, f32, (f32, f32)>,
}

impl Kernels {
    /// The instruction set of these kernels.
    pub fn level(&self) -> Level {
        self.level
    }

    /// `(query · row, row · row)` in one pass; each is bitwise what `dot` gives.
    ///
    /// # Panics
    ///
    /// If the two lengths differ.
    #[inline]
    #[track_caller]
    pub fn dot_and_norm(&self, query: &[f32], row: &[f32]) -> (f32, f32) {
        assert_eq!(query.len(), row.len(), "query and row differ in length");
        // SAFETY: kernels are handed out only where the processor runs them; the function has no other condition.
        unsafe { (self.dot_and_norm)(query, row) }
    }
}

/// The kernels of the best level of this processor, chosen at the first call.
#[inline]
pub fn active() -> &'static Kernels {
    static ACTIVE: OnceLock<&'static Kernels> = OnceLock::new();
    ACTIVE.get_or_init(platform::best)
}

/// The level that the free functions of this crate run at.
pub fn active_level() -> Level {
    active().level()
}

/// The kernels of one level, or none where this processor lacks it; for tests and benches.
pub fn kernels_at(level: Level) -> Option<&'static Kernels> {
    platform::kernels_at(level)
}
