//! Owns the sums that metrics are made of, as loops that the compiler turns into SIMD (`-C target-feature=+simd128` on wasm32).
//! Refuses to know what they mean: roots, signs and sums beyond f32 are the metric's.

/// Sums that run side by side: whole SIMD registers, and fewer turns of a loop that the host looks at each time round.
const LANES: usize = 16;

/// The sum of the products of the components.
///
/// A sum beyond f32 is infinite or not a number.
///
/// # Panics
/// Where the lengths differ.
#[must_use]
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| a * b)
}

/// The sum of the squares of the components' differences; its root is the L2 distance.
///
/// A sum beyond f32 is infinite or not a number.
///
/// # Panics
/// Where the lengths differ.
#[must_use]
#[inline]
pub fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

/// [`squared_l2`] in which the square of each component's difference counts as often as its weight says.
///
/// # Panics
/// Where the lengths differ.
#[must_use]
#[inline]
pub fn weighted_squared_l2(weights: &[f32], a: &[f32], b: &[f32]) -> f32 {
    assert!(weights.len() == a.len() && a.len() == b.len(), "the lengths differ");
    let ((w_parts, w_rest), (a_parts, a_rest), (b_parts, b_rest)) =
        (weights.as_chunks::<LANES>(), a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for ((w, a), b) in w_parts.iter().zip(a_parts).zip(b_parts) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += w[lane] * difference * difference;
        }
    }
    let rest: f32 = w_rest.iter().zip(a_rest).zip(b_rest).map(|((w, a), b)| w * (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    assert!(a.len() == b.len(), "the lengths differ");
    let ((a_parts, a_rest), (b_parts, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a_parts.iter().zip(b_parts) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| term(*a, *b)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, so that every sum is exact in whatever order it is made.
    fn vector(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|place| ((place * 7 + seed * 5) % 11) as f32 - 5.0).collect()
    }

    /// What the sum of the terms is, one after the other, for lengths around the number of lanes.
    #[track_caller]
    fn check(kernel: impl Fn(&[f32], &[f32], &[f32]) -> f32, term: impl Fn(f32, f32, f32) -> f32) {
        for length in 0..=3 * LANES + 1 {
            let (w, a, b) = (vector(length, 1), vector(length, 2), vector(length, 3));
            let expected: f32 = (0..length).map(|place| term(w[place], a[place], b[place])).sum();
            assert_eq!(kernel(&w, &a, &b), expected, "{length} components");
        }
    }

    #[test]
    fn every_component_counts_once() {
        check(|_, a, b| dot(a, b), |_, a, b| a * b);
        check(|_, a, b| squared_l2(a, b), |_, a, b| (a - b) * (a - b));
        check(weighted_squared_l2, |w, a, b| w * (a - b) * (a - b));
    }

    #[test]
    fn sums_beyond_f32_are_not_hidden() {
        assert_eq!(dot(&[f32::MAX; 20], &[2.0; 20]), f32::INFINITY);
        assert_eq!(squared_l2(&[f32::MAX; 20], &[0.0; 20]), f32::INFINITY);
        assert!(weighted_squared_l2(&[0.0; 20], &[f32::MAX; 20], &[-f32::MAX; 20]).is_nan());
    }

    #[test]
    #[should_panic(expected = "the lengths differ")]
    fn a_dot_of_two_lengths_panics() {
        let _ = dot(&[0.0; 17], &[0.0; 16]);
    }

    #[test]
    #[should_panic(expected = "the lengths differ")]
    fn weights_of_another_length_panic() {
        let _ = weighted_squared_l2(&[0.0; 16], &[0.0; 17], &[0.0; 17]);
    }
}
