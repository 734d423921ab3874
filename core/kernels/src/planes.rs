//! Owns the shape of the kernel that estimates how far rows are from their signs, under a query of four-bit components. Refuses to
//! know which metric it is and what the factors were made from.

/// Bits of a query's component, and so its planes.
pub const PLANES: usize = 4;
/// Words behind a row's bits that hold its four factors.
pub const FACTOR_WORDS: usize = 2;

/// A query for rows of single bits.
///
/// `planes` are [`PLANES`] planes of as many words as a row's bits: bit `i` of plane `p` is bit `p` of component `i`, a number of four
/// bits in two's complement (Gao and Long, "RaBitQ", section 3.3.2, with a sign instead of an offset). With the sum of the components
/// over the bits that a row has set, its key is `constant + norm * row.norm - row.spread * (gain * sum + offset) - lift * row.lift`.
#[derive(Clone, Copy, Debug)]
pub struct PlanesQuery<'a> {
    /// The components, plane after plane.
    pub planes: &'a [u64],
    /// What all keys have in common.
    pub constant: f32,
    /// What a row's norm counts.
    pub norm: f32,
    /// What a step of the sum counts, in the row's spread.
    pub gain: f32,
    /// What is added to the sum's worth.
    pub offset: f32,
    /// What a row's lift counts.
    pub lift: f32,
}

impl PlanesQuery<'_> {
    /// The key of a row with this sum and these factors. Every level computes it in this order, without fusing, so that they agree
    /// to the bit.
    #[inline(always)]
    pub(crate) fn key(&self, sum: f32, [_, norm, spread, lift]: [f32; 4]) -> f32 {
        (self.constant + self.norm * norm) - spread * (self.gain * sum + self.offset) - self.lift * lift
    }

    /// Words of a row's bits.
    #[inline(always)]
    pub(crate) fn words(&self) -> usize {
        self.planes.len() / PLANES
    }
}

/// The keys of rows of bits, each with its factors behind it: scale, norm, spread and lift as f32, two a word, the first in the lower
/// half. The scale is not used.
#[derive(Clone, Copy)]
pub struct PlanesKernel {
    gather: PlanesForm,
}

/// Scores the rows named by ids, which start a stride apart. Unsafe only because the processor must have the features that the
/// function was compiled for.
pub(crate) type PlanesForm = unsafe fn(&PlanesQuery<'_>, &[u64], usize, &[u32], &mut [f32]);

impl PlanesKernel {
    /// # Safety
    ///
    /// Whoever hands the kernel out has made sure that the processor runs the function.
    pub(crate) const unsafe fn new(gather: PlanesForm) -> Self {
        Self { gather }
    }

    /// Scores rows by id: `out[i]` is the key of the row that starts at `rows[ids[i] * stride]`.
    ///
    /// `stride` is in words. Nothing is prefetched.
    ///
    /// # Panics
    ///
    /// If the planes do not divide into planes, `ids` and `out` differ in length, or an id lies outside `rows`.
    #[inline]
    #[track_caller]
    pub fn gather(&self, query: &PlanesQuery<'_>, rows: &[u64], stride: usize, ids: &[u32], out: &mut [f32]) {
        assert!(query.planes.len().is_multiple_of(PLANES), "{} words are not {PLANES} planes", query.planes.len());
        assert_eq!(ids.len(), out.len(), "ids and scores differ in length");
        // SAFETY: `new` requires that the processor runs this function; it has no other condition.
        unsafe { (self.gather)(query, rows, stride, ids, out) }
    }
}

impl std::fmt::Debug for PlanesKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanesKernel").finish_non_exhaustive()
    }
}

/// The plain form, which a level with a bit count in hardware compiles to its own instructions.
#[inline(always)]
pub(crate) fn estimates(query: &PlanesQuery<'_>, rows: &[u64], stride: usize, ids: &[u32], out: &mut [f32]) {
    let words = query.words();
    for (key, &id) in out.iter_mut().zip(ids) {
        let (row, factors) = rows[id as usize * stride..][..words + FACTOR_WORDS].split_at(words);
        let ones =
            |plane: usize| query.planes[plane * words..][..words].iter().zip(row).map(|(p, r)| (p & r).count_ones()).sum::<u32>() as i32;
        let sum = ones(0) + 2 * ones(1) + 4 * ones(2) - 8 * ones(3);
        let float = |word: u64| [f32::from_bits(word as u32), f32::from_bits((word >> 32) as u32)];
        let ([scale, norm], [spread, lift]) = (float(factors[0]), float(factors[1]));
        *key = query.key(sum as f32, [scale, norm, spread, lift]);
    }
}
