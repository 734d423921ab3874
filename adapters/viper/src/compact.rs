//! The metadata of the rows of a row group as short byte strings, one after another: small enough to keep, and a row is in one
//! place, so that bringing the metadata of a hit touches memory once instead of once for each column. Never leaves the process.
//!
//! A row is the text of its remainder (its length plus one, or zero where it has none), then for each column that has a value its
//! place and the value. Lengths, places and integers are in groups of seven bits, the lowest first.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use proximadb_model::{Metadata, Timestamp, Value};

use crate::column::{ColumnKind, value_at};
use crate::error::ViperError;
use crate::layout::{Layout, METADATA};
use crate::remainder;

/// The metadata of the rows of one row group.
pub(crate) struct CompactRows {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl CompactRows {
    /// Takes the metadata columns of a whole row group.
    ///
    /// # Errors
    /// [`ViperError`] when a column is missing or of another type, or when all that is too long.
    pub(crate) fn new(layout: &Layout, batch: &RecordBatch) -> Result<Self, ViperError> {
        let column = |place: usize| {
            let name = layout.schema.field(place).name();
            batch.column_by_name(name).ok_or_else(|| ViperError::Layout(format!("column {name} was not read")))
        };
        let columns = (METADATA..layout.remainder()).map(column).collect::<Result<Vec<_>, _>>()?;
        let rest = column(layout.remainder())?;
        let rest = rest.as_string_opt::<i32>().ok_or_else(|| ViperError::Layout("the remainder is not text".to_owned()))?;
        let mut rows = Self { ends: Vec::with_capacity(batch.num_rows()), bytes: Vec::new() };
        for row in 0..batch.num_rows() {
            match rest.is_null(row) {
                true => rows.bytes.push(0),
                false => {
                    put_number(&mut rows.bytes, rest.value(row).len() as u64 + 1);
                    rows.bytes.extend_from_slice(rest.value(row).as_bytes());
                }
            }
            for (place, column) in columns.iter().enumerate() {
                if let Some(value) = value_at(column.as_ref(), row) {
                    put_number(&mut rows.bytes, place as u64);
                    put_value(&mut rows.bytes, &value)?;
                }
            }
            let end = u32::try_from(rows.bytes.len()).map_err(|_| ViperError::Layout("a row group has too much metadata".to_owned()))?;
            rows.ends.push(end);
        }
        rows.bytes.shrink_to_fit();
        Ok(rows)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    /// The metadata of a row of a segment with the layout that the rows were made with.
    ///
    /// # Errors
    /// [`ViperError`] for a row that is not there, a text that is not JSON, and metadata beyond the limits.
    pub(crate) fn metadata(&self, layout: &Layout, row: usize) -> Result<Metadata, ViperError> {
        let mut cursor = Cursor { rest: self.row(row).ok_or_else(damaged)? };
        let mut fields = match cursor.number()?.checked_sub(1) {
            None => BTreeMap::new(),
            Some(len) => remainder::from_text(cursor.text(len)?)?,
        };
        while !cursor.rest.is_empty() {
            let place = cursor.number()?;
            let column = usize::try_from(place).ok().and_then(|place| layout.columns.get(place)).ok_or_else(damaged)?;
            fields.insert(column.key.clone(), cursor.value(column.kind)?);
        }
        Ok(Metadata::new(fields)?)
    }

    fn row(&self, row: usize) -> Option<&[u8]> {
        let end = *self.ends.get(row)?;
        let start = if row == 0 { 0 } else { *self.ends.get(row - 1)? };
        self.bytes.get(start as usize..end as usize)
    }
}

fn damaged() -> ViperError {
    ViperError::Layout("metadata in memory is not as it was made".to_owned())
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Small numbers of either sign become small ones without.
fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put_number(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) -> Result<(), ViperError> {
    match value {
        Value::String(text) => put_text(bytes, text),
        Value::Int(number) => put_signed(bytes, *number),
        Value::Float(number) => bytes.extend_from_slice(&number.to_le_bytes()),
        Value::Bool(truth) => bytes.push(u8::from(*truth)),
        Value::DateTime(at) => put_signed(bytes, at.0),
        Value::Array(items) => {
            put_number(bytes, items.len() as u64);
            for item in items {
                let Value::String(text) = item else { return Err(ViperError::Layout("a list column holds no text".to_owned())) };
                put_text(bytes, text);
            }
        }
        Value::Null | Value::UInt(_) | Value::Object(_) => {
            return Err(ViperError::Layout("a column holds what has no column".to_owned()));
        }
    }
    Ok(())
}

/// What is left of a row.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ViperError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, ViperError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(damaged()) };
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged())
    }

    fn signed(&mut self) -> Result<i64, ViperError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn text(&mut self, len: u64) -> Result<&'a str, ViperError> {
        let taken = self.take(usize::try_from(len).map_err(|_| damaged())?)?;
        std::str::from_utf8(taken).map_err(|_| damaged())
    }

    fn own_text(&mut self) -> Result<Value, ViperError> {
        let len = self.number()?;
        Ok(Value::String(self.text(len)?.to_owned()))
    }

    fn value(&mut self, kind: ColumnKind) -> Result<Value, ViperError> {
        Ok(match kind {
            ColumnKind::Text => self.own_text()?,
            ColumnKind::Integer => Value::Int(self.signed()?),
            ColumnKind::Float => match self.take(8)?.first_chunk() {
                Some(bytes) => Value::Float(f64::from_le_bytes(*bytes)),
                None => return Err(damaged()),
            },
            ColumnKind::Bool => Value::Bool(self.take(1)? == [1]),
            ColumnKind::Moment => Value::DateTime(Timestamp(self.signed()?)),
            ColumnKind::TextList => {
                let len = self.number()?;
                Value::Array((0..len).map(|_| self.own_text()).collect::<Result<_, _>>()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: i64, other: u64, float: f64, texts: Vec<String>) {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            put_number(&mut bytes, other);
            put_value(&mut bytes, &Value::Float(float)).expect("a float has a column");
            let list = Value::Array(texts.into_iter().map(Value::String).collect());
            put_value(&mut bytes, &list).expect("texts have a column");
            let mut cursor = Cursor { rest: &bytes };
            prop_assert_eq!(cursor.signed().expect("a number"), number);
            prop_assert_eq!(cursor.number().expect("a number"), other);
            let Value::Float(back) = cursor.value(ColumnKind::Float).expect("a float") else { panic!("another kind") };
            prop_assert_eq!(back.to_bits(), float.to_bits());
            prop_assert_eq!(cursor.value(ColumnKind::TextList).expect("a list"), list);
            prop_assert!(cursor.rest.is_empty());
        }

        #[test]
        fn any_bytes_end_in_a_value_or_an_error(bytes: Vec<u8>) {
            let rows = CompactRows { ends: vec![bytes.len() as u32], bytes };
            let columns = ColumnKind::ALL.into_iter().enumerate();
            let columns = columns.map(|(i, kind)| crate::layout::MetadataColumn { key: format!("k{i}"), kind }).collect();
            let layout = Layout::new(1, columns);
            let _ = rows.metadata(&layout, 0);
            prop_assert!(rows.metadata(&layout, 1).is_err(), "there is one row");
        }
    }

    #[test]
    fn small_numbers_are_short() {
        for (number, len) in [(0, 1), (-1, 1), (63, 1), (-64, 1), (64, 2), (202_512, 3), (i64::MAX, 10), (i64::MIN, 10)] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            assert_eq!(bytes.len(), len, "{number}");
        }
    }
}
