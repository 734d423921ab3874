//! Owns what a metric is to its author, and the one that an instance keeps between calls. Refuses to know the maths.

use core::cell::RefCell;

use crate::{Descriptor, Mismatch, rows::rows_in};

/// A metric that [`export_metric!`](crate::export_metric) makes a plugin of.
pub trait Metric: Sized {
    /// The metric with its settings, a JSON text, for vectors of this many components, at least one. The same arguments make
    /// the same metric.
    ///
    /// # Errors
    /// What is wrong with the settings or the dimension, for people.
    fn new(settings: &str, dimension: usize) -> Result<Self, String>;

    /// What the metric says of itself.
    fn describe(&self) -> Descriptor;

    /// Puts the value of the query with each row of the block into its place of `out`; [`score_rows`](crate::score_rows) walks
    /// the rows. Every value is finite, and a function of the query and its row alone.
    ///
    /// The query has the dimension's components, and the block holds as many whole rows as `out` has places.
    ///
    /// # Errors
    /// Why this query cannot be compared, for people.
    fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String>;
}

/// The place of an instance's metric: empty until it is described.
#[derive(Debug, Default)]
pub struct MetricSlot<M>(RefCell<Option<(M, usize)>>);

impl<M> MetricSlot<M> {
    /// A slot without a metric.
    #[must_use]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }
}

impl<M: Metric> MetricSlot<M> {
    /// Makes the metric, keeps it in place of an earlier one, and gives what it says of itself.
    ///
    /// # Errors
    /// The metric's own, or that a dimension is none; the slot is as it was.
    pub fn describe(&self, settings: &str, dimension: u32) -> Result<Descriptor, String> {
        let dimension = usize::try_from(dimension).map_err(|error| format!("dimension: {error}"))?;
        if dimension == 0 {
            return Err("dimension: vectors have at least one component".to_owned());
        }
        let metric = M::new(settings, dimension)?;
        let descriptor = metric.describe();
        self.0.replace(Some((metric, dimension)));
        Ok(descriptor)
    }

    /// The metric's values for the rows of the block.
    ///
    /// # Errors
    /// The metric's own, a [`Mismatch`] of the query or the block, or that the slot is empty.
    pub fn score(&self, query: &[f32], block: &[f32]) -> Result<Vec<f32>, String> {
        let slot = self.0.borrow();
        let Some((metric, dimension)) = &*slot else {
            return Err("the metric was not described yet".to_owned());
        };
        if query.len() != *dimension {
            return Err(Mismatch::Query { components: query.len(), dimension: *dimension }.into());
        }
        let mut out = vec![0.0; rows_in(block, *dimension)?];
        metric.score(query, block, &mut out)?;
        Ok(out)
    }
}

/// Makes the exports of the world `metric-plugin` from a type of this crate that is a [`Metric`]. Once in a plugin.
#[macro_export]
macro_rules! export_metric {
    ($metric:ident) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::MetricSlot<$metric> = const { $crate::MetricSlot::new() };
            }

            struct Export;

            impl $crate::bindings::metric::exports::proximadb::plugin::metric::Guest for Export {
                fn describe(settings: String, dimension: u32) -> Result<$crate::Descriptor, String> {
                    SLOT.with(|slot| slot.describe(&settings, dimension))
                }

                fn score(query: Vec<f32>, block: Vec<f32>) -> Result<Vec<f32>, String> {
                    SLOT.with(|slot| slot.score(&query, &block))
                }
            }

    $crate::bindings::metric::export!(Export with_types_in $crate::bindings::metric);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score_rows;

    /// Adds its settings, a number, to the first component; a query that begins with 13 is refused.
    struct Plus(f32);

    impl Metric for Plus {
        fn new(settings: &str, _dimension: usize) -> Result<Self, String> {
            settings.parse().map(Self).map_err(|_| "settings: no number".to_owned())
        }

        fn describe(&self) -> Descriptor {
            Descriptor { name: format!("plus {}", self.0), version: "1".to_owned(), symmetric: false, lower_is_nearer: true }
        }

        fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
            if query[0] == 13.0 {
                return Err("query: an unlucky one".to_owned());
            }
            Ok(score_rows(query, block, out, |_, row| row[0] + self.0)?)
        }
    }

    #[track_caller]
    fn check(slot: &MetricSlot<Plus>, query: &[f32], block: &[f32], expected: Result<&[f32], &str>) {
        let result = slot.score(query, block);
        assert_eq!(result.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_slot_scores_with_what_was_described_last() {
        let slot = MetricSlot::<Plus>::new();
        check(&slot, &[0.0], &[1.0], Err("the metric was not described yet"));
        assert_eq!(slot.describe("1", 2).expect("a descriptor").name, "plus 1");
        check(&slot, &[0.0, 0.0], &[1.0, 9.0, 2.0, 9.0], Ok(&[2.0, 3.0]));
        assert_eq!(slot.describe("5", 1).expect("a descriptor").name, "plus 5");
        check(&slot, &[0.0], &[1.0, 9.0], Ok(&[6.0, 14.0]));
    }

    #[test]
    fn a_metric_that_cannot_be_made_leaves_the_slot_as_it_was() {
        let slot = MetricSlot::<Plus>::new();
        slot.describe("1", 1).expect("a descriptor");
        assert_eq!(slot.describe("one", 1).expect_err("no number"), "settings: no number");
        assert_eq!(slot.describe("2", 0).expect_err("no dimension"), "dimension: vectors have at least one component");
        check(&slot, &[0.0], &[1.0], Ok(&[2.0]));
    }

    #[test]
    fn a_metric_sees_only_lengths_that_fit() {
        let slot = MetricSlot::<Plus>::new();
        slot.describe("1", 2).expect("a descriptor");
        check(&slot, &[0.0], &[1.0, 2.0], Err("query: it has 1 components, not 2"));
        check(&slot, &[], &[], Err("query: it has 0 components, not 2"));
        check(&slot, &[0.0, 0.0], &[1.0, 2.0, 3.0], Err("block: 3 components are no whole rows of 2"));
        check(&slot, &[13.0, 0.0], &[1.0, 2.0], Err("query: an unlucky one"));
    }
}
