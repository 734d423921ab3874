//! Owns the walk over a block's rows and the checks of lengths before it. Refuses to know what a row is worth.

use core::{error::Error, fmt};

/// Why a query and a block were not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The query has no components.
    EmptyQuery,
    /// The query has another number of components than the metric was made for.
    Query {
        /// Components of the query.
        components: usize,
        /// Components that it should have.
        dimension: usize,
    },
    /// The block does not hold whole rows of the query's dimension.
    Block {
        /// Components of the block.
        components: usize,
        /// Components of a row.
        dimension: usize,
    },
    /// There is not one place for each row.
    Out {
        /// Places for values.
        places: usize,
        /// Rows of the block.
        rows: usize,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyQuery => f.write_str("query: it has no components"),
            Self::Query { components, dimension } => write!(f, "query: it has {components} components, not {dimension}"),
            Self::Block { components, dimension } => write!(f, "block: {components} components are no whole rows of {dimension}"),
            Self::Out { places, rows } => write!(f, "out: there are {places} places for {rows} rows"),
        }
    }
}

impl Error for Mismatch {}

impl From<Mismatch> for String {
    fn from(mismatch: Mismatch) -> Self {
        mismatch.to_string()
    }
}

/// Puts the value of each row of `block` into its place of `out`; a row has as many components as the query.
///
/// # Errors
/// [`Mismatch`] where the lengths do not fit each other; `out` is as it was.
#[inline]
pub fn score_rows(query: &[f32], block: &[f32], out: &mut [f32], mut value: impl FnMut(&[f32], &[f32]) -> f32) -> Result<(), Mismatch> {
    let rows = rows_in(block, query.len())?;
    if out.len() != rows {
        return Err(Mismatch::Out { places: out.len(), rows });
    }
    for (place, row) in out.iter_mut().zip(block.chunks_exact(query.len())) {
        *place = value(query, row);
    }
    Ok(())
}

/// How many rows of the dimension the block holds.
pub(crate) fn rows_in(block: &[f32], dimension: usize) -> Result<usize, Mismatch> {
    let components = block.len();
    match components.checked_rem(dimension) {
        None => Err(Mismatch::EmptyQuery),
        Some(0) => Ok(components / dimension),
        Some(_) => Err(Mismatch::Block { components, dimension }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &[f32], block: &[f32], places: usize, expected: Result<&[f32], Mismatch>) {
        let mut out = vec![-1.0; places];
        let before = out.clone();
        let result = score_rows(query, block, &mut out, |query, row| query[0] * 100.0 + row[0]);
        assert_eq!(result, expected.map(drop));
        assert_eq!(out, expected.unwrap_or(&before));
    }

    #[test]
    fn each_row_has_its_place() {
        check(&[1.0, 0.0], &[2.0, 0.0, 3.0, 0.0, 4.0, 0.0], 3, Ok(&[102.0, 103.0, 104.0]));
        check(&[1.0], &[], 0, Ok(&[]));
    }

    #[test]
    fn lengths_that_do_not_fit_change_nothing() {
        check(&[], &[1.0], 1, Err(Mismatch::EmptyQuery));
        check(&[1.0, 2.0], &[1.0, 2.0, 3.0], 1, Err(Mismatch::Block { components: 3, dimension: 2 }));
        check(&[1.0, 2.0], &[1.0, 2.0], 2, Err(Mismatch::Out { places: 2, rows: 1 }));
        check(&[1.0], &[1.0, 2.0], 1, Err(Mismatch::Out { places: 1, rows: 2 }));
    }
}
