//! Owns the conversion between f32 and IEEE 754 half-precision bit patterns. Refuses to know distances.

/// The value of a half-precision bit pattern; exact.
#[inline]
pub(crate) fn decode(bits: u16) -> f32 {
    const REBIAS: f32 = f32::from_bits((254 - 15) << 23);
    let (sign, magnitude) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff) << 13);
    // The multiplication moves the exponent's bias and makes subnormals of half precision normal.
    let finite = (f32::from_bits(magnitude) * REBIAS).to_bits();
    let value = if magnitude >= 0x7c00 << 13 { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(sign | value)
}

/// The nearest half-precision bit pattern, ties to even; infinity beyond 65,504 and its half step.
#[inline]
fn encode(value: f32) -> u16 {
    const SHRINK: f32 = f32::from_bits((127 - 112) << 23);
    let sign = (value.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = value.to_bits() & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude < 0x3880_0000 {
        // Below the smallest normal half: adding 0.5 leaves the multiple of 2^-24 in the low bits, rounded by the hardware.
        return sign | ((f32::from_bits(magnitude) + 0.5).to_bits() - 0x3f00_0000) as u16;
    }
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    let scaled = (f32::from_bits(magnitude) * SHRINK).to_bits();
    sign | ((scaled + 0xfff + ((scaled >> 13) & 1)) >> 13) as u16
}

/// Writes the half-precision bit patterns nearest to `values`, ties to even; values beyond ±65,519 become infinite.
///
/// # Panics
///
/// If the lengths differ.
#[track_caller]
pub fn encode_f16(values: &[f32], out: &mut [u16]) {
    assert_eq!(values.len(), out.len(), "values and codes differ in length");
    for (code, &value) in out.iter_mut().zip(values) {
        *code = encode(value);
    }
}

/// Writes the values of half-precision bit patterns; exact.
///
/// # Panics
///
/// If the lengths differ.
#[track_caller]
pub fn decode_f16(codes: &[u16], out: &mut [f32]) {
    assert_eq!(codes.len(), out.len(), "codes and values differ in length");
    for (value, &code) in out.iter_mut().zip(codes) {
        *value = decode(code);
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn every_pattern_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = decode(bits);
            if value.is_nan() {
                assert!(decode(encode(value)).is_nan(), "{bits:#06x}");
            } else {
                assert_eq!(encode(value), bits, "{value}");
            }
        }
    }

    #[test]
    fn known_values_decode_to_themselves() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65_504.0), (0x0400, 6.103_515_6e-5), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(decode(bits), value);
        }
        assert_eq!(decode(0x7c00), f32::INFINITY);
    }

    #[test]
    fn values_between_two_patterns_go_to_the_nearest_and_ties_to_the_even_one() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (decode(bits), decode(bits + 1));
            let tie = (low + high) / 2.0;
            assert_eq!(encode(tie), bits + (bits & 1), "tie above {bits:#06x}");
            assert_eq!(encode(tie.next_down()), bits, "below the tie above {bits:#06x}");
            assert_eq!(encode(tie.next_up()), bits + 1, "above the tie above {bits:#06x}");
        }
        assert_eq!(encode(65_519.996), 0x7bff);
        assert_eq!(encode(65_520.0), 0x7c00);
    }
}
