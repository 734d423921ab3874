//! Making an index of a field, value by value. Says beforehand about how much memory it will take; sets no bound itself.

use std::collections::HashMap;

use super::FieldIndex;
use super::postings::Sorted;
use super::terms::Terms;
use crate::row_set::RowSet;
use crate::value::Value;

/// Bytes that a new text takes beside its own.
const TERM_OVERHEAD_BYTES: usize = 64;
/// Bytes that a number or a row of a text takes at most: its value, its row, where its rows begin, and its part of a bitmap.
const ENTRY_BYTES: usize = 24;

/// Takes the values of one field, row by row.
#[derive(Debug)]
pub struct FieldIndexBuilder {
    rows: usize,
    present: RowSet,
    lists: RowSet,
    nulls: RowSet,
    no: RowSet,
    yes: RowSet,
    ints: Vec<(i64, u32)>,
    uints: Vec<(u64, u32)>,
    floats: Vec<(f64, u32)>,
    moments: Vec<(i64, u32)>,
    numbers: HashMap<String, u32>,
    texts: Vec<(u32, u32)>,
    text_bytes: usize,
    has_objects: bool,
    has_nested_lists: bool,
}

impl FieldIndexBuilder {
    /// An index of no values over `rows` rows.
    pub fn new(rows: usize) -> Self {
        let none = || RowSet::none(rows);
        Self {
            rows,
            present: none(),
            lists: none(),
            nulls: none(),
            no: none(),
            yes: none(),
            ints: Vec::new(),
            uints: Vec::new(),
            floats: Vec::new(),
            moments: Vec::new(),
            numbers: HashMap::new(),
            texts: Vec::new(),
            text_bytes: 0,
            has_objects: false,
            has_nested_lists: false,
        }
    }

    /// Says what the field is in a row; rows come in ascending order, those without the field may be left out.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn push(&mut self, row: usize, value: &Value) {
        self.present.insert(row);
        match value {
            Value::Array(items) => {
                self.lists.insert(row);
                items.iter().for_each(|item| self.part(row, item));
            }
            value => self.part(row, value),
        }
    }

    /// About the bytes that the index will take, or takes by now while it is built.
    pub fn bytes(&self) -> usize {
        let entries = self.ints.len() + self.uints.len() + self.floats.len() + self.moments.len() + self.texts.len();
        5 * self.present.bytes() + entries * ENTRY_BYTES + self.text_bytes + self.numbers.len() * TERM_OVERHEAD_BYTES
    }

    /// The index; `None` where it has more entries or text than one index can count.
    pub fn finish(self) -> Option<FieldIndex> {
        let most = [self.ints.len(), self.uints.len(), self.floats.len(), self.moments.len(), self.texts.len(), self.text_bytes];
        if most.into_iter().any(|n| u32::try_from(n).is_err()) {
            return None;
        }
        let rows = self.rows;
        Some(FieldIndex {
            rows,
            present: self.present,
            lists: self.lists,
            nulls: self.nulls,
            no: self.no,
            yes: self.yes,
            ints: Sorted::new(self.ints, rows, i64::cmp),
            uints: Sorted::new(self.uints, rows, u64::cmp),
            // NaN is left out, so that they have an order; -0.0 and 0.0 are one value.
            floats: Sorted::new(self.floats, rows, |a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)),
            moments: Sorted::new(self.moments, rows, i64::cmp),
            texts: Terms::new(self.numbers, &self.texts, rows),
            has_objects: self.has_objects,
            has_nested_lists: self.has_nested_lists,
        })
    }

    fn part(&mut self, row: usize, value: &Value) {
        let number = row as u32;
        match value {
            Value::Null => drop(self.nulls.insert(row)),
            Value::Bool(true) => drop(self.yes.insert(row)),
            Value::Bool(false) => drop(self.no.insert(row)),
            Value::Int(n) => self.ints.push((*n, number)),
            Value::UInt(n) => self.uints.push((*n, number)),
            Value::Float(n) if n.is_nan() => {}
            Value::Float(n) => self.floats.push((*n, number)),
            Value::DateTime(at) => self.moments.push((at.0, number)),
            Value::String(text) => self.text(number, text),
            Value::Array(_) => self.has_nested_lists = true,
            Value::Object(_) => self.has_objects = true,
        }
    }

    fn text(&mut self, row: u32, text: &str) {
        let term = match self.numbers.get(text) {
            Some(term) => *term,
            None => {
                let term = self.numbers.len() as u32;
                self.numbers.insert(text.to_owned(), term);
                self.text_bytes += text.len();
                term
            }
        };
        self.texts.push((term, row));
    }
}
