//! The values of one field over the rows of a segment, turned round: from a test to the rows for which it holds.
//!
//! Owns the meaning of [`Test::holds`] over sorted values; knows no file and no budget. A row's value is taken apart into what
//! tests compare: the value itself, or the items of a list, each under its own kind. What is left out is lists and objects as
//! wholes; a test that compares those is not answered here.

use std::cmp::Ordering;

use crate::filter::Test;
use crate::row_set::RowSet;
use crate::time::Timestamp;
use crate::value::Value;
use postings::{Pieces, Sorted};
use terms::Terms;

mod builder;
mod postings;
mod terms;

pub use builder::FieldIndexBuilder;

/// An index of one field over the rows `0..rows` of a segment.
#[derive(Debug)]
pub struct FieldIndex {
    rows: usize,
    /// Rows that have the field, a null included.
    present: RowSet,
    /// Rows where it is a list.
    lists: RowSet,
    nulls: RowSet,
    no: RowSet,
    yes: RowSet,
    ints: Sorted<i64>,
    uints: Sorted<u64>,
    floats: Sorted<f64>,
    moments: Sorted<i64>,
    texts: Terms,
    has_objects: bool,
    has_nested_lists: bool,
}

/// How a value must compare with an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Order {
    fn admits(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Greater => ordering.is_gt(),
        }
    }
}

impl FieldIndex {
    /// Rows that it ranges over.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that it keeps in memory.
    pub fn bytes(&self) -> usize {
        let sets = [&self.present, &self.lists, &self.nulls, &self.no, &self.yes].map(RowSet::bytes);
        let sorted = self.ints.bytes() + self.uints.bytes() + self.floats.bytes() + self.moments.bytes() + self.texts.bytes();
        size_of::<Self>() + sets.into_iter().sum::<usize>() + sorted
    }

    /// The rows for which the test holds, exactly as [`Test::holds`] says; `None` where that takes lists or objects as wholes.
    pub fn select(&self, test: &Test) -> Option<RowSet> {
        Some(match test {
            Test::Eq(want) => self.equal(want)?,
            Test::Ne(want) => self.equal(want)?.complement(),
            Test::In(list) => self.among(list)?,
            Test::Nin(list) => self.among(list)?.complement(),
            Test::Gt(than) => self.compared(Order::Greater, than),
            Test::Gte(than) => self.compared(Order::GreaterOrEqual, than),
            Test::Lt(than) => self.compared(Order::Less, than),
            Test::Lte(than) => self.compared(Order::LessOrEqual, than),
            Test::Exists(true) => self.present.clone(),
            Test::Exists(false) => self.present.complement(),
            Test::Contains(part) => self.containing(part)?,
            Test::Prefix(prefix) => {
                let mut pieces = Pieces::default();
                pieces.sorted(self.texts.postings(), self.texts.starting_with(prefix));
                pieces.rows(self.rows)
            }
        })
    }

    fn compared(&self, order: Order, than: &Value) -> RowSet {
        let mut pieces = Pieces::default();
        self.collect(order, than, &mut pieces);
        pieces.rows(self.rows)
    }

    fn equal(&self, want: &Value) -> Option<RowSet> {
        self.among(std::slice::from_ref(want))
    }

    fn among(&self, list: &[Value]) -> Option<RowSet> {
        let mut pieces = Pieces::default();
        let mut or_missing = false;
        for want in list {
            or_missing |= matches!(want, Value::Null);
            self.collect_equal(want, self.lists.count() > 0, &mut pieces)?;
        }
        let mut rows = pieces.rows(self.rows);
        if or_missing {
            rows.union(&self.present.complement());
        }
        Some(rows)
    }

    fn containing(&self, part: &Value) -> Option<RowSet> {
        let mut items = Pieces::default();
        self.collect_equal(part, self.has_nested_lists, &mut items)?;
        let mut rows = items.rows(self.rows);
        rows.intersect(&self.lists);
        if let Value::String(part) = part {
            let mut texts = Pieces::default();
            for term in self.texts.containing(part) {
                texts.sorted(self.texts.postings(), term..term + 1);
            }
            let mut texts = texts.rows(self.rows);
            texts.subtract(&self.lists);
            rows.union(&texts);
        }
        Some(rows)
    }

    /// Adds the rows of which a value, or an item of a list, equals `want`; `None` where that takes a list or an object as a whole.
    fn collect_equal<'a>(&'a self, want: &Value, lists_matter: bool, pieces: &mut Pieces<'a>) -> Option<()> {
        match want {
            Value::Array(_) => (!lists_matter).then_some(()),
            Value::Object(_) => (!self.has_objects).then_some(()),
            Value::Null => {
                pieces.set(&self.nulls);
                Some(())
            }
            scalar => {
                self.collect(Order::Equal, scalar, pieces);
                Some(())
            }
        }
    }

    /// Adds the rows of which a value, or an item of a list, has an order with `than` and it is this one.
    fn collect<'a>(&'a self, order: Order, than: &Value, pieces: &mut Pieces<'a>) {
        match than {
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => {
                pieces.sorted(self.ints.postings(), self.ints.range(order, |n| Value::Int(*n).compare(than)));
                pieces.sorted(self.uints.postings(), self.uints.range(order, |n| Value::UInt(*n).compare(than)));
                pieces.sorted(self.floats.postings(), self.floats.range(order, |n| Value::Float(*n).compare(than)));
            }
            Value::Bool(than) => {
                for (value, rows) in [(false, &self.no), (true, &self.yes)] {
                    if order.admits(value.cmp(than)) {
                        pieces.set(rows);
                    }
                }
            }
            Value::String(text) => {
                pieces.sorted(self.texts.postings(), self.texts.range(order, text));
                // Text compares with a point in time when it reads as one.
                if let Ok(at) = text.parse::<Timestamp>() {
                    pieces.sorted(self.moments.postings(), self.moments.range(order, |n| Some(n.cmp(&at.0))));
                }
            }
            Value::DateTime(at) => {
                pieces.sorted(self.moments.postings(), self.moments.range(order, |n| Some(n.cmp(&at.0))));
                for (term, text) in self.texts.iter().enumerate() {
                    if text.parse::<Timestamp>().is_ok_and(|text| order.admits(text.cmp(at))) {
                        pieces.sorted(self.texts.postings(), term..term + 1);
                    }
                }
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
