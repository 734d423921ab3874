//! Owns pure maths on slices: distances on f32 and on compact codes, at the best instruction set of the processor. Refuses to
//! know collections, metrics' names, files, threads and every other crate.
//!
//! Free functions run at [`active_level`], chosen once. [`kernels_at`] gives the same functions at a given level. Callers own
//! the buffers. This is the only crate of the workspace with unsafe code: it stands in the loads of the vector kernels and in
//! the calls to them, each has a twin in plain Rust that tests hold it to, and README.adoc says what it gains.

mod codes;
mod distance;
mod drive;
mod half;
mod kernel;
mod level;
mod norm;
mod pages;
mod planes;
mod prefetch;
mod scalar;
mod term;

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "aarch64")]
use arm as platform;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod portable;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use portable as platform;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
use x86 as platform;

pub use codes::{
    dot_f16, dot_f16_block, dot_f16_gather, dot_i8, dot_i8_block, dot_i8_gather, hamming_bits, hamming_bits_block, hamming_bits_gather,
};
pub use distance::{
    cosine, cosine_block, cosine_gather, dot, dot_and_norm, dot_block, dot_gather, hamming, hamming_block, hamming_gather, l1, l1_block,
    l1_gather, l2_squared, l2_squared_block, l2_squared_gather,
};
pub use half::{decode_f16, encode_f16};
pub use kernel::Kernel;
pub use level::{Kernels, Level, active, active_level, kernels_at};
pub use norm::{norm_squared, normalize};
pub use pages::ask_for_huge_pages;
pub use planes::{FACTOR_WORDS, PLANES, PlanesKernel, PlanesQuery};
pub use prefetch::{prefetch, prefetch_start};
