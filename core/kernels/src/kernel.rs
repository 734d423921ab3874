//! Owns the shape of a kernel: one distance in three forms, its lengths checked once. Refuses to know any instruction set.

/// One distance in three forms that give bitwise the same number for the same pair: a row, a block of adjacent rows, rows by id.
///
/// `Q` is a component of the query, `T` one of a stored row, `S` the score. A value of this type exists only where the
/// processor can run it, so the forms are safe to call.
#[derive(Clone, Copy)]
pub struct Kernel<Q: 'static, T: 'static, S: 'static> {
    row: RowForm<Q, T, S>,
    block: BlockForm<Q, T, S>,
    gather: GatherForm<Q, T, S>,
}

/// Scores one row. Unsafe only because the processor must have the features that the function was compiled for.
pub(crate) type RowForm<Q, T, S> = unsafe fn(&[Q], &[T]) -> S;
/// Scores adjacent rows; same condition.
pub(crate) type BlockForm<Q, T, S> = unsafe fn(&[Q], &[T], &mut [S]);
/// Scores the rows named by ids, which start `stride` components apart; same condition.
pub(crate) type GatherForm<Q, T, S> = unsafe fn(&[Q], &[T], usize, &[u32], &mut [S]);

impl<Q, T, S> Kernel<Q, T, S> {
    /// # Safety
    ///
    /// Whoever hands the kernel out has made sure that the processor runs all three functions.
    pub(crate) const unsafe fn new(row: RowForm<Q, T, S>, block: BlockForm<Q, T, S>, gather: GatherForm<Q, T, S>) -> Self {
        Self { row, block, gather }
    }

    /// Scores one row.
    ///
    /// # Panics
    ///
    /// If the two lengths differ.
    #[inline]
    #[track_caller]
    pub fn row(&self, query: &[Q], row: &[T]) -> S {
        assert_eq!(query.len(), row.len(), "query and row differ in length");
        // SAFETY: `new` requires that the processor runs this function; it has no other condition.
        unsafe { (self.row)(query, row) }
    }

    /// Scores `out.len()` adjacent rows: `out[i]` is the score of `block[i * query.len()..][..query.len()]`.
    ///
    /// # Panics
    ///
    /// If `block` does not hold exactly one row for each place of `out`.
    #[inline]
    #[track_caller]
    pub fn block(&self, query: &[Q], block: &[T], out: &mut [S]) {
        assert_eq!(Some(block.len()), query.len().checked_mul(out.len()), "block is not one row of the query's length for each score");
        // SAFETY: `new` requires that the processor runs this function; it has no other condition.
        unsafe { (self.block)(query, block, out) }
    }

    /// Scores rows by id, prefetching ahead: `out[i]` is the score of `rows[ids[i] * stride..][..query.len()]`.
    ///
    /// `stride` is in components and may exceed the row, for rows that carry padding or factors behind their components.
    ///
    /// # Panics
    ///
    /// If `ids` and `out` differ in length, or an id lies outside `rows`.
    #[inline]
    #[track_caller]
    pub fn gather(&self, query: &[Q], rows: &[T], stride: usize, ids: &[u32], out: &mut [S]) {
        assert_eq!(ids.len(), out.len(), "ids and scores differ in length");
        assert!(stride >= query.len(), "rows of {} components overlap at a stride of {stride}", query.len());
        if let Some(&last) = ids.iter().max() {
            let end = (last as usize).checked_mul(stride).and_then(|start| start.checked_add(query.len()));
            assert!(end.is_some_and(|end| end <= rows.len()), "row {last} lies outside the rows");
        }
        // SAFETY: `new` requires that the processor runs this function; it has no other condition.
        unsafe { (self.gather)(query, rows, stride, ids, out) }
    }
}

impl<Q, T, S> std::fmt::Debug for Kernel<Q, T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}
