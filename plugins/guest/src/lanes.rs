//! Owns a register of sums. On WebAssembly with SIMD it is one for the compiler too, which otherwise may add up other sums side by side
//! than those that lie so. Refuses to know what is summed.

/// Components that one register holds.
pub(crate) const WIDTH: usize = 4;

pub(crate) use register::Lanes;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod register {
    use core::arch::wasm32::{f32x4, f32x4_add, f32x4_extract_lane, v128};

    use super::WIDTH;

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes(v128);

    impl Lanes {
        #[inline(always)]
        pub(crate) fn zero() -> Self {
            Self(f32x4(0.0, 0.0, 0.0, 0.0))
        }

        #[inline(always)]
        pub(crate) fn add(&mut self, [a, b, c, d]: [f32; WIDTH]) {
            self.0 = f32x4_add(self.0, f32x4(a, b, c, d));
        }

        #[inline(always)]
        pub(crate) fn sum(self) -> f32 {
            let Self(v) = self;
            (f32x4_extract_lane::<0>(v) + f32x4_extract_lane::<1>(v)) + (f32x4_extract_lane::<2>(v) + f32x4_extract_lane::<3>(v))
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod register {
    use super::WIDTH;

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes([f32; WIDTH]);

    impl Lanes {
        #[inline(always)]
        pub(crate) fn zero() -> Self {
            Self([0.0; WIDTH])
        }

        #[inline(always)]
        pub(crate) fn add(&mut self, terms: [f32; WIDTH]) {
            self.0.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }

        #[inline(always)]
        pub(crate) fn sum(self) -> f32 {
            let [a, b, c, d] = self.0;
            (a + b) + (c + d)
        }
    }
}
