//! Owns the choice of kernels on processors that this crate has no instructions for: there is one.

use crate::level::{Kernels, Level};
use crate::scalar;

pub(crate) fn best() -> &'static Kernels {
    &scalar::KERNELS
}

pub(crate) fn kernels_at(level: Level) -> Option<&'static Kernels> {
    (level == Level::Scalar).then_some(&scalar::KERNELS)
}

pub(crate) fn prefetch_line(_: *const u8) {}
