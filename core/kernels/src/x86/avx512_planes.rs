//! Owns the kernel on bits under a four-bit query in AVX-512 with VPOPCNTDQ. Refuses to know when it may run.

use std::arch::x86_64::*;

use crate::planes::PLANES;

/// Rows scored at once, as many as a register has words, so that their sums end in one.
const GROUP: usize = 8;

#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub(crate) fn sums_over_bits(planes: &[u64], rows: &[u64], stride: usize, ids: &[u32], out: &mut [i32]) {
    let words = planes.len() / PLANES;
    if words == 0 {
        return out.fill(0);
    }
    for (sums, ids) in out.chunks_mut(GROUP).zip(ids.chunks(GROUP)) {
        // A group that is not full scores its first row again, which costs less than a form for each size.
        let mut group = [rows[ids[0] as usize * stride..][..words].as_ptr(); GROUP];
        for (row, &id) in group.iter_mut().zip(ids) {
            *row = rows[id as usize * stride..][..words].as_ptr();
        }
        // SAFETY: each pointer is that of a slice of `words` words.
        let scores = unsafe { group_sums(planes, words, group) };
        sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum = score as i32);
    }
}

/// # Safety
///
/// Each of `rows` points to `words` words.
#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
unsafe fn group_sums(planes: &[u64], words: usize, rows: [*const u64; GROUP]) -> [i64; GROUP] {
    assert!(planes.len() == PLANES * words);
    let mut sums = [_mm512_setzero_si512(); GROUP];
    for at in (0..words).step_by(8) {
        let mask = !0 >> (8 - (words - at).min(8));
        let mut registers = [_mm512_setzero_si512(); PLANES];
        for (p, plane) in registers.iter_mut().enumerate() {
            // SAFETY: lanes outside the mask are not read, and those inside it lie within the plane, which has `words` words.
            *plane = unsafe { _mm512_maskz_loadu_epi64(mask, planes.as_ptr().add(p * words + at).cast()) };
        }
        let [p0, p1, p2, p3] = registers;
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: lanes outside the mask are not read, and those inside it lie below `words`, the length of every row.
            let bits = unsafe { _mm512_maskz_loadu_epi64(mask, row.add(at).cast()) };
            let twos = _mm512_sub_epi64(ones(bits, p2), _mm512_slli_epi64::<1>(ones(bits, p3)));
            let units = _mm512_add_epi64(ones(bits, p0), _mm512_slli_epi64::<1>(ones(bits, p1)));
            *sum = _mm512_add_epi64(*sum, _mm512_add_epi64(units, _mm512_slli_epi64::<2>(twos)));
        }
    }
    totals(sums)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn ones(bits: __m512i, plane: __m512i) -> __m512i {
    _mm512_popcnt_epi64(_mm512_and_si512(bits, plane))
}

/// Sums of adjacent words, those of the two registers in turn.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b))
}

/// Sums of adjacent quarters, those of the first register first.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi64(_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0xdd>(a, b))
}

/// The total of each register's lanes, in the order of the registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn totals(rows: [__m512i; GROUP]) -> [i64; GROUP] {
    let [a, b, c, d, e, f, g, h] = rows;
    let all = quarters(quarters(pairs(a, b), pairs(c, d)), quarters(pairs(e, f), pairs(g, h)));
    let mut sums = [0; GROUP];
    // SAFETY: the array is as long as what is stored.
    unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), all) };
    sums
}
