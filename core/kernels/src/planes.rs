//! Owns the shape of the kernel that compares a query of four-bit components with rows of single bits. Refuses to know what
//! the bits stand for.

/// Bits of a query's component, and so its planes.
pub const PLANES: usize = 4;

/// The sum of a query's components over the bits that a row has set.
///
/// The query comes as [`PLANES`] planes of as many words as a row: bit `i` of plane `p` is bit `p` of component `i`, a number
/// of four bits in two's complement (Gao and Long, "RaBitQ", section 3.3.2, with a sign instead of an offset).
#[derive(Clone, Copy)]
pub struct PlanesKernel {
    gather: PlanesForm,
}

/// Scores the rows named by ids, which start a stride apart. Unsafe only because the processor must have the features that the
/// function was compiled for.
pub(crate) type PlanesForm = unsafe fn(&[u64], &[u64], usize, &[u32], &mut [i32]);

impl PlanesKernel {
    /// # Safety
    ///
    /// Whoever hands the kernel out has made sure that the processor runs the function.
    pub(crate) const unsafe fn new(gather: PlanesForm) -> Self {
        Self { gather }
    }

    /// Scores rows by id: `out[i]` is the score of `rows[ids[i] * stride..][..planes.len() / PLANES]`.
    ///
    /// `stride` is in words and may exceed the row, for rows that carry other things behind their bits. Nothing is prefetched.
    ///
    /// # Panics
    ///
    /// If `planes` does not divide into planes, `ids` and `out` differ in length, or an id lies outside `rows`.
    #[inline]
    #[track_caller]
    pub fn gather(&self, planes: &[u64], rows: &[u64], stride: usize, ids: &[u32], out: &mut [i32]) {
        assert!(planes.len().is_multiple_of(PLANES), "{} words are not {PLANES} planes", planes.len());
        assert_eq!(ids.len(), out.len(), "ids and scores differ in length");
        let words = planes.len() / PLANES;
        assert!(stride >= words, "rows of {words} words overlap at a stride of {stride}");
        if let Some(&last) = ids.iter().max() {
            let end = (last as usize).checked_mul(stride).and_then(|start| start.checked_add(words));
            assert!(end.is_some_and(|end| end <= rows.len()), "row {last} lies outside the rows");
        }
        // SAFETY: `new` requires that the processor runs this function; it has no other condition.
        unsafe { (self.gather)(planes, rows, stride, ids, out) }
    }
}

impl std::fmt::Debug for PlanesKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanesKernel").finish_non_exhaustive()
    }
}

/// The plain form, which a level with a bit count in hardware compiles to its own instructions.
#[inline(always)]
pub(crate) fn sums_over_bits(planes: &[u64], rows: &[u64], stride: usize, ids: &[u32], out: &mut [i32]) {
    let words = planes.len() / PLANES;
    for (sum, &id) in out.iter_mut().zip(ids) {
        let row = &rows[id as usize * stride..][..words];
        let ones = |plane: usize| planes[plane * words..][..words].iter().zip(row).map(|(p, r)| (p & r).count_ones()).sum::<u32>() as i32;
        *sum = ones(0) + 2 * ones(1) + 4 * ones(2) - 8 * ones(3);
    }
}
