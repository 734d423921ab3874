//! Owns the loops over rows: how blocks and id lists are cut into groups, and what is prefetched. Refuses to know distances.

/// Rows that a gather asks for ahead of the one it scores: enough to cover a trip to memory at about ten nanoseconds a row.
pub(crate) const ROWS_AHEAD: usize = 8;

/// The `i`-th row of each of the `R` parts of a block.
///
/// Parts are read abreast, each from its start on, because the processor's prefetcher follows a few long streams well and gives
/// up on streams that jump after each row, as those of adjacent rows would.
#[inline(always)]
pub(crate) fn abreast<T, const R: usize>(block: &[T], dim: usize, part: usize, i: usize) -> [&[T]; R] {
    std::array::from_fn(|r| &block[(r * part + i) * dim..][..dim])
}

/// Looks up the rows of a group of ids.
#[inline(always)]
pub(crate) fn scattered<'a, T, const R: usize>(rows: &'a [T], dim: usize, stride: usize, ids: &[u32; R]) -> [&'a [T]; R] {
    std::array::from_fn(|i| &rows[ids[i] as usize * stride..][..dim])
}

/// Writes the three forms of a kernel around a function that scores a few rows at once.
///
/// The loops are compiled into each level so that the scoring function is inlined into them; a shared generic driver could
/// not inline a function that has more processor features than itself.
macro_rules! forms {
    ($(#[$attr:meta])* $row:ident, $block:ident, $gather:ident $([const $m:ident])?,
     ($q:ty, $t:ty) -> $s:ty, by $group:literal: $many:expr, $one:expr) => {
        $(#[$attr])*
        pub(crate) fn $row $(<const $m: u8>)? (query: &[$q], row: &[$t]) -> $s {
            let [score] = $one(query, [row]);
            score
        }

        $(#[$attr])*
        pub(crate) fn $block $(<const $m: u8>)? (query: &[$q], block: &[$t], out: &mut [$s]) {
            let dim = query.len();
            if dim == 0 {
                return out.fill(<$s>::default());
            }
            let part = out.len() / $group;
            for i in 0..part {
                let scores = $many(query, $crate::drive::abreast(block, dim, part, i));
                for (r, score) in scores.into_iter().enumerate() {
                    out[r * part + i] = score;
                }
            }
            for (score, row) in out[$group * part..].iter_mut().zip(block[$group * part * dim..].chunks_exact(dim)) {
                [*score] = $one(query, [row]);
            }
        }

        $(#[$attr])*
        pub(crate) fn $gather $(<const $m: u8>)? (query: &[$q], rows: &[$t], stride: usize, ids: &[u32], out: &mut [$s]) {
            let dim = query.len();
            let mut ahead = ids.iter();
            for id in ahead.by_ref().take($crate::drive::ROWS_AHEAD) {
                $crate::prefetch::prefetch(&rows[*id as usize * stride..][..dim]);
            }
            let (id_groups, id_rest) = ids.as_chunks::<$group>();
            let (groups, rest) = out.as_chunks_mut::<$group>();
            for (scores, ids) in groups.iter_mut().zip(id_groups) {
                for id in ahead.by_ref().take($group) {
                    $crate::prefetch::prefetch(&rows[*id as usize * stride..][..dim]);
                }
                *scores = $many(query, $crate::drive::scattered(rows, dim, stride, ids));
            }
            for (score, id) in rest.iter_mut().zip(id_rest) {
                [*score] = $one(query, $crate::drive::scattered(rows, dim, stride, &[*id]));
            }
        }
    };
}
pub(crate) use forms;
