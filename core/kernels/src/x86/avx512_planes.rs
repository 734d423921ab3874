//! Owns the kernel on bits under a four-bit query in AVX-512 with VPOPCNTDQ. Refuses to know when it may run.

use std::arch::x86_64::*;

use crate::planes::{FACTOR_WORDS, PLANES, PlanesQuery};

/// Rows scored at once, as many as a register has words, so that their sums end in one.
const GROUP: usize = 8;

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vpopcntdq")]
pub(crate) fn estimates(query: &PlanesQuery<'_>, rows: &[u64], stride: usize, ids: &[u32], out: &mut [f32]) {
    let words = query.words();
    for (keys, ids) in out.chunks_mut(GROUP).zip(ids.chunks(GROUP)) {
        let start = |id: u32| rows[id as usize * stride..][..words + FACTOR_WORDS].as_ptr();
        // A group that is not full scores its first row again, which costs less than a form for each size.
        let mut group = [start(ids[0]); GROUP];
        group.iter_mut().zip(ids).for_each(|(row, &id)| *row = start(id));
        // SAFETY: each pointer is that of a slice of `words + FACTOR_WORDS` words.
        let scores = unsafe { group_keys(query, words, group) };
        keys.iter_mut().zip(scores).for_each(|(key, score)| *key = score);
    }
}

/// # Safety
///
/// Each of `rows` points to `words + FACTOR_WORDS` words.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vpopcntdq")]
unsafe fn group_keys(query: &PlanesQuery<'_>, words: usize, rows: [*const u64; GROUP]) -> [f32; GROUP] {
    // SAFETY: each row has its factors, two words, behind its own, so one of one word has the two that are read, one of three has four.
    let sums = unsafe {
        match words {
            1 | 2 => quarter_sums(query.planes, words, rows),
            3 | 4 => half_sums(query.planes, words, rows),
            _ => group_sums(query.planes, words, rows),
        }
    };
    // SAFETY: the condition is the same.
    let [norm, spread, lift] = unsafe { group_factors(rows, words) };
    let all = |x: f32| _mm256_set1_ps(x);
    // In the order of `PlanesQuery::key`, every step rounded.
    let near = _mm256_add_ps(all(query.constant), _mm256_mul_ps(all(query.norm), norm));
    let product = _mm256_mul_ps(spread, _mm256_add_ps(_mm256_mul_ps(all(query.gain), _mm512_cvtepi64_ps(sums)), all(query.offset)));
    let keys = _mm256_sub_ps(_mm256_sub_ps(near, product), _mm256_mul_ps(all(query.lift), lift));
    let mut out = [0.0; GROUP];
    // SAFETY: the array is as long as what is stored.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), keys) };
    out
}

/// The sum of each row of one or two words, in the order of the rows, four of them in a register.
///
/// # Safety
///
/// Each of `rows` points to two words.
#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
unsafe fn quarter_sums(planes: &[u64], words: usize, rows: [*const u64; GROUP]) -> __m512i {
    assert!(planes.len() == PLANES * words && words <= 2);
    let mut registers = [_mm512_setzero_si512(); PLANES];
    for (register, plane) in registers.iter_mut().zip(planes.chunks_exact(words)) {
        // What lies behind a row of one word is not counted.
        let second = plane.get(1).copied().unwrap_or_default();
        *register = _mm512_broadcast_i32x4(_mm_set_epi64x(second as i64, plane[0] as i64));
    }
    // SAFETY: the condition is the same.
    let row = |at: usize| unsafe { _mm_loadu_si128(rows[at].cast()) };
    let four = |at: usize| {
        let lower = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(at)), row(at + 1));
        let upper = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(at + 2)), row(at + 3));
        weighed(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper), registers)
    };
    // Rows 0, 4, 1, 5 and so on.
    _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), pairs(four(0), four(4)))
}

/// The sum of each row of three or four words, in the order of the rows, two of them in a register.
///
/// # Safety
///
/// Each of `rows` points to four words.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq")]
unsafe fn half_sums(planes: &[u64], words: usize, rows: [*const u64; GROUP]) -> __m512i {
    assert!(planes.len() == PLANES * words && words <= 4);
    let mask = !0 >> (8 - words);
    let mut registers = [_mm512_setzero_si512(); PLANES];
    for (register, plane) in registers.iter_mut().zip(planes.chunks_exact(words)) {
        // SAFETY: lanes outside the mask are not read, and those inside it lie within the plane. What lies behind a row of three words
        // is not counted.
        *register = _mm512_broadcast_i64x4(unsafe { _mm256_maskz_loadu_epi64(mask, plane.as_ptr().cast()) });
    }
    // SAFETY: the condition is the same.
    let row = |at: usize| unsafe { _mm256_loadu_si256(rows[at].cast()) };
    let two = |at: usize| weighed(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(row(at)), row(at + 1)), registers);
    // Rows 0, 2, 1, 3, and behind them four more.
    let sums = quarters(pairs(two(0), two(2)), pairs(two(4), two(6)));
    _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 6, 4, 3, 1, 2, 0), sums)
}

/// The sum of each row, in the order of the rows.
///
/// # Safety
///
/// Each of `rows` points to `words` words.
#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
unsafe fn group_sums(planes: &[u64], words: usize, rows: [*const u64; GROUP]) -> __m512i {
    assert!(planes.len() == PLANES * words);
    let mut sums = [_mm512_setzero_si512(); GROUP];
    for at in (0..words).step_by(8) {
        let mask = !0 >> (8 - (words - at).min(8));
        let mut registers = [_mm512_setzero_si512(); PLANES];
        for (p, plane) in registers.iter_mut().enumerate() {
            // SAFETY: lanes outside the mask are not read, and those inside it lie within the plane, which has `words` words.
            *plane = unsafe { _mm512_maskz_loadu_epi64(mask, planes.as_ptr().add(p * words + at).cast()) };
        }
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: lanes outside the mask are not read, and those inside it lie below `words`, the length of every row.
            let bits = unsafe { _mm512_maskz_loadu_epi64(mask, row.add(at).cast()) };
            *sum = _mm512_add_epi64(*sum, weighed(bits, registers));
        }
    }
    totals(sums)
}

/// Norm, spread and lift of each row, in the order of the rows.
///
/// # Safety
///
/// Each of `rows` points to `words + FACTOR_WORDS` words.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn group_factors(rows: [*const u64; GROUP], words: usize) -> [__m256; 3] {
    // SAFETY: the four factors are the two words behind the bits.
    let load = |row: usize| unsafe { _mm_loadu_ps(rows[row].add(words).cast()) };
    // Row i beside row i + 4, so that four rows' factors are turned over in each half.
    let pair = |row: usize| _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(load(row)), load(row + 4));
    let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
    let double = _mm256_castps_pd;
    let single = _mm256_castpd_ps;
    let (norms, others) = ((_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)), (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)));
    [
        single(_mm256_unpackhi_pd(double(norms.0), double(norms.1))),
        single(_mm256_unpacklo_pd(double(others.0), double(others.1))),
        single(_mm256_unpackhi_pd(double(others.0), double(others.1))),
    ]
}

/// The bits that are set in each plane too, as much as the plane says each counts.
#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn weighed(bits: __m512i, [p0, p1, p2, p3]: [__m512i; PLANES]) -> __m512i {
    let twos = _mm512_sub_epi64(ones(bits, p2), _mm512_slli_epi64::<1>(ones(bits, p3)));
    let units = _mm512_add_epi64(ones(bits, p0), _mm512_slli_epi64::<1>(ones(bits, p1)));
    _mm512_add_epi64(units, _mm512_slli_epi64::<2>(twos))
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
fn totals(rows: [__m512i; GROUP]) -> __m512i {
    let [a, b, c, d, e, f, g, h] = rows;
    quarters(quarters(pairs(a, b), pairs(c, d)), quarters(pairs(e, f), pairs(g, h)))
}
