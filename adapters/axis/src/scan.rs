//! Owns the comparison of a query with every allowed row. Refuses to know any structure over the rows.

use proximadb_model::{Candidate, RowSet, TopK};
use proximadb_ports::{Budget, Fault, Metric, PortError, Result, Scorer, SearchCounters, Vectors};

use crate::builtin::{BuiltinScorer, Measure};

/// Rows scored in one call at most.
const BLOCK_ROWS_MAX: usize = 256;
/// Rows scored in one call at least; a plugin's calls cost more than its arithmetic below that.
const BLOCK_ROWS_MIN: usize = 32;
/// Components scored in one call, between those bounds.
const BLOCK_COMPONENTS: usize = 64 << 10;
/// Rows between two looks at the budget; with a plugin there is one after each block, since nobody knows how long it takes.
const BUDGET_ROWS: usize = 4_096;

/// An exact search of one set of rows: the oracle of every other.
pub(crate) struct Scan<'a> {
    pub(crate) metric: &'a dyn Metric,
    pub(crate) vectors: &'a Vectors,
    pub(crate) budget: &'a Budget,
}

impl Scan<'_> {
    /// The `k` nearest of the allowed rows.
    ///
    /// # Errors
    /// `Deadline`; `Plugin`; `Invalid` for a query of another dimension.
    pub(crate) fn nearest(&self, query: &[f32], k: usize, allow: Option<&RowSet>, counters: &mut SearchCounters) -> Result<Vec<Candidate>> {
        let rows = self.vectors.rows();
        if let Some(allow) = allow {
            let allowed = allow.iter().take_while(|&row| row < rows).map(|row| row as u32);
            return self.among(query, k, allowed, counters);
        }
        check_query(query, self.vectors.dimension)?;
        self.budget.check()?;
        let mut top = TopK::new(k);
        if k > 0 && rows > 0 {
            self.all(&mut *self.metric.prepare(query)?, &mut top, counters)?;
        }
        Ok(top.into_sorted())
    }

    /// The `k` nearest of some rows, each of which is there.
    ///
    /// # Errors
    /// As of [`Self::nearest`].
    pub(crate) fn among(
        &self,
        query: &[f32],
        k: usize,
        rows: impl Iterator<Item = u32>,
        counters: &mut SearchCounters,
    ) -> Result<Vec<Candidate>> {
        check_query(query, self.vectors.dimension)?;
        self.budget.check()?;
        let mut top = TopK::new(k);
        if k > 0 && self.vectors.rows() > 0 {
            match Measure::of(&self.metric.descriptor().kind) {
                Some(measure) => self.gather(&measure.prepare(query), rows, &mut top, counters)?,
                None => self.copy(&mut *self.metric.prepare(query)?, rows, &mut top, counters)?,
            }
        }
        Ok(top.into_sorted())
    }

    fn budgeted(&self) -> Budgeted<'_> {
        let is_foreign = Measure::of(&self.metric.descriptor().kind).is_none();
        Budgeted { budget: self.budget, every: if is_foreign { 0 } else { BUDGET_ROWS }, left: 0 }
    }

    fn block_rows(&self) -> usize {
        (BLOCK_COMPONENTS / self.vectors.dimension.max(1)).clamp(BLOCK_ROWS_MIN, BLOCK_ROWS_MAX)
    }

    fn all(&self, scorer: &mut dyn Scorer, top: &mut TopK, counters: &mut SearchCounters) -> Result<()> {
        let block_rows = self.block_rows();
        let mut keys = [0.0; BLOCK_ROWS_MAX];
        let mut budgeted = self.budgeted();
        for (at, block) in self.vectors.data.chunks(block_rows * self.vectors.dimension).enumerate() {
            let keys = &mut keys[..block.len() / self.vectors.dimension];
            scorer.keys(block, keys)?;
            let first = at * block_rows;
            offer(top, keys.iter().enumerate().map(|(i, &key)| Candidate { key, row: (first + i) as u32 }));
            counters.distances += keys.len() as u64;
            budgeted.spend(keys.len())?;
        }
        Ok(())
    }

    fn gather(&self, scorer: &BuiltinScorer, rows: impl Iterator<Item = u32>, top: &mut TopK, counters: &mut SearchCounters) -> Result<()> {
        self.batches(rows, counters, |rows, keys| {
            scorer.gather(&self.vectors.data, rows, keys);
            offer(top, rows.iter().zip(keys).map(|(&row, key)| Candidate { key: *key, row }));
            Ok(())
        })
    }

    fn copy(&self, scorer: &mut dyn Scorer, rows: impl Iterator<Item = u32>, top: &mut TopK, counters: &mut SearchCounters) -> Result<()> {
        let dimension = self.vectors.dimension;
        let mut block = Vec::with_capacity(self.block_rows() * dimension);
        self.batches(rows, counters, |rows, keys| {
            block.clear();
            for &row in rows {
                block.extend_from_slice(&self.vectors.data[row as usize * dimension..][..dimension]);
            }
            scorer.keys(&block, keys)?;
            offer(top, rows.iter().zip(keys).map(|(&row, key)| Candidate { key: *key, row }));
            Ok(())
        })
    }

    /// Hands out rows in batches, with room for their keys.
    fn batches(
        &self,
        mut rows: impl Iterator<Item = u32>,
        counters: &mut SearchCounters,
        mut each: impl FnMut(&[u32], &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let (mut batch, mut keys) = (Vec::with_capacity(self.block_rows()), [0.0; BLOCK_ROWS_MAX]);
        let mut budgeted = self.budgeted();
        loop {
            batch.clear();
            batch.extend(rows.by_ref().take(self.block_rows()));
            if batch.is_empty() {
                return Ok(());
            }
            each(&batch, &mut keys[..batch.len()])?;
            counters.distances += batch.len() as u64;
            budgeted.spend(batch.len())?;
        }
    }
}

/// Refuses a query that the rows cannot be compared with.
///
/// # Errors
/// `Invalid`.
pub(crate) fn check_query(query: &[f32], dimension: usize) -> Result<()> {
    if query.len() == dimension {
        return Ok(());
    }
    let message = format!("has {} components, the index {dimension}", query.len());
    Err(PortError::new(Fault::Invalid, "index.search", "the query", message).with_field("vector"))
}

/// Offers what can still get in; nearly all of a scan's rows cannot, and the bound tells by one comparison.
fn offer(top: &mut TopK, candidates: impl Iterator<Item = Candidate>) {
    let mut bound = top.bound().copied();
    for candidate in candidates {
        if bound.is_none_or(|bound| candidate < bound) {
            top.push(candidate);
            bound = top.bound().copied();
        }
    }
}

/// Looks at the budget once in so many rows.
struct Budgeted<'a> {
    budget: &'a Budget,
    every: usize,
    left: usize,
}

impl Budgeted<'_> {
    fn spend(&mut self, rows: usize) -> Result<()> {
        match self.left.checked_sub(rows) {
            Some(left) => self.left = left,
            None => {
                self.left = self.every;
                self.budget.check()?;
            }
        }
        Ok(())
    }
}
