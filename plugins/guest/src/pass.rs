//! Owns the pass over a block that makes several sums of each row at once, several rows side by side. Refuses to know what is summed.

use crate::lanes::{Lanes, WIDTH};
use crate::rows::{Mismatch, rows_in};

/// Components of each row in one turn of the loop, which the host looks at each time round.
const TURN: usize = 16;
/// Rows side by side, so that what they are compared with is read once for all of them, and sums need not wait for each other.
const ABREAST: usize = 4;

/// Adds up `terms` of every component of each row of `block`, and puts what `value` makes of a row's sums into its place of `out`.
///
/// `with` holds what rows are compared with, each as long as a row: the query, and weights perhaps. `terms` is given their components
/// and the row's. Sums that go together in one pass cost little more than one: cosine needs the products and the squares of a row.
///
/// A row's value does not depend on the others of the block. Sums beyond f32 are infinite or not a number.
///
/// ```
/// # use proximadb_plugin_guest::sum_rows;
/// let (weights, query, mut out) = ([2.0, 1.0], [1.0, 1.0], [0.0; 2]);
/// sum_rows([&weights, &query], &[1.0, 4.0, 3.0, 1.0], &mut out, |[w, q], x| [w * (q - x) * (q - x)], |[sum]| sum.sqrt())?;
/// assert_eq!(out, [3.0, 8.0f32.sqrt()]);
/// # Ok::<_, proximadb_plugin_guest::Mismatch>(())
/// ```
///
/// # Errors
/// [`Mismatch`] where the lengths do not fit each other; `out` is as it was.
#[inline]
pub fn sum_rows<const WITH: usize, const SUMS: usize>(
    with: [&[f32]; WITH],
    block: &[f32],
    out: &mut [f32],
    terms: impl Fn([f32; WITH], f32) -> [f32; SUMS],
    mut value: impl FnMut([f32; SUMS]) -> f32,
) -> Result<(), Mismatch> {
    let dimension = with.first().map_or(0, |first| first.len());
    let rows = rows_in(block, dimension)?;
    if let Some(other) = with.iter().find(|other| other.len() != dimension) {
        return Err(Mismatch::Query { components: other.len(), dimension });
    }
    if out.len() != rows {
        return Err(Mismatch::Out { places: out.len(), rows });
    }
    let ((groups, rest), abreast) = (out.as_chunks_mut::<ABREAST>(), ABREAST * dimension);
    let (grouped, single) = block.split_at(groups.len() * abreast);
    for (places, rows) in groups.iter_mut().zip(grouped.chunks_exact(abreast)) {
        let rows: [&[f32]; ABREAST] = core::array::from_fn(|row| &rows[row * dimension..][..dimension]);
        *places = pass(with, rows, &terms).map(&mut value);
    }
    for (place, row) in rest.iter_mut().zip(single.chunks_exact(dimension)) {
        [*place] = pass(with, [row], &terms).map(&mut value);
    }
    Ok(())
}

/// The sums of some rows; a row's are added up in the same order however many there are.
#[inline(always)]
fn pass<const WITH: usize, const SUMS: usize, const ROWS: usize>(
    with: [&[f32]; WITH],
    rows: [&[f32]; ROWS],
    terms: impl Fn([f32; WITH], f32) -> [f32; SUMS],
) -> [[f32; SUMS]; ROWS] {
    let (with, rows) = (with.map(|with| with.as_chunks::<TURN>()), rows.map(|row| row.as_chunks::<TURN>()));
    let turns = rows[0].0.len();
    assert!(with.iter().all(|with| with.0.len() == turns) && rows.iter().all(|row| row.0.len() == turns), "the lengths differ");
    let mut sums = [[Lanes::zero(); SUMS]; ROWS];
    for turn in 0..turns {
        for part in (0..TURN).step_by(WIDTH) {
            for (row, sums) in rows.iter().zip(&mut sums) {
                let at = |lane: usize| terms(core::array::from_fn(|of| with[of].0[turn][part + lane]), row.0[turn][part + lane]);
                let [a, b, c, d] = [at(0), at(1), at(2), at(3)];
                for (of, sum) in sums.iter_mut().enumerate() {
                    sum.add([a[of], b[of], c[of], d[of]]);
                }
            }
        }
    }
    let mut whole = sums.map(|sums| sums.map(Lanes::sum));
    for (row, sums) in rows.iter().zip(&mut whole) {
        for (at, x) in row.1.iter().enumerate() {
            let terms = terms(core::array::from_fn(|with_| with[with_].1[at]), *x);
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += term;
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, so that every sum is exact in whatever order it is made.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|place| ((place * 7 + seed * 5) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn every_component_of_every_row_counts_once() {
        for dimension in 1..=2 * TURN + 1 {
            for rows in 0..=2 * ABREAST + 1 {
                let (weights, query, block) = (numbers(dimension, 1), numbers(dimension, 2), numbers(rows * dimension, 3));
                let mut out = vec![0.0; rows];
                sum_rows([&weights, &query], &block, &mut out, |[w, q], x| [w * q * x, x], |[a, b]| a * 1_000.0 + b).expect("lengths fit");
                let expected = |row: &[f32]| {
                    let product: f32 = (0..dimension).map(|at| weights[at] * query[at] * row[at]).sum();
                    product * 1_000.0 + row.iter().sum::<f32>()
                };
                let expected: Vec<f32> = block.chunks_exact(dimension).map(expected).collect();
                assert_eq!(out, expected, "{rows} rows of {dimension}");
            }
        }
    }

    #[test]
    fn a_value_is_the_same_in_every_block() {
        let (dimension, rows) = (37, 11);
        let of = |count: usize, seed: f32| -> Vec<f32> { (0..count).map(|place| (place as f32 * seed).sin()).collect() };
        let (query, block) = (of(dimension, 0.7), of(rows * dimension, 1.3));
        let score = |block: &[f32]| {
            let mut out = vec![0.0; block.len() / dimension];
            sum_rows([&query], block, &mut out, |[q], x| [(q - x) * (q - x)], |[sum]| sum.sqrt()).expect("lengths fit");
            out
        };
        let together = score(&block);
        let apart: Vec<f32> = block.chunks(dimension).flat_map(score).collect();
        assert_eq!(together, apart);
    }

    #[test]
    fn lengths_that_do_not_fit_change_nothing() {
        let check = |with: [&[f32]; 2], block: &[f32], places: usize, expected: Mismatch| {
            let mut out = vec![-1.0; places];
            assert_eq!(sum_rows(with, block, &mut out, |[w, q], x| [w * q * x], |[sum]| sum), Err(expected));
            assert!(out.iter().all(|place| *place == -1.0));
        };
        check([&[], &[]], &[1.0], 1, Mismatch::EmptyQuery);
        check([&[1.0, 2.0], &[1.0, 2.0]], &[1.0, 2.0, 3.0], 1, Mismatch::Block { components: 3, dimension: 2 });
        check([&[1.0, 2.0], &[1.0]], &[1.0, 2.0], 1, Mismatch::Query { components: 1, dimension: 2 });
        check([&[1.0], &[1.0]], &[1.0, 2.0], 1, Mismatch::Out { places: 1, rows: 2 });
    }
}
