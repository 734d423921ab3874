//! What a test says of each row of a decoded column. Exact in the meaning of `Test::holds`; knows no files and no pruning.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, ListArray, StringArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, TimeUnit};
use proximadb_model::{Metadata, Test, Value};

use crate::bounds::{Bounds, NumberTest};
use crate::column::value_at;

/// The rows for which a test of a field holds.
///
/// The field's value is that of `column` where the row has one there, or else what `remainder`, one entry a row, has at `path`.
pub(crate) fn field(
    rows: usize,
    path: &str,
    test: &Test,
    column: Option<&dyn Array>,
    remainder: Option<&[Option<Metadata>]>,
) -> BooleanBuffer {
    let typed = column.map(|array| values(test, array));
    let nulls = column.and_then(|array| array.nulls());
    let is_typed = |row: usize| column.is_some() && nulls.is_none_or(|nulls| nulls.is_valid(row));
    match remainder {
        Some(remainder) => BooleanBuffer::collect_bool(rows, |row| match &typed {
            Some(typed) if is_typed(row) => typed.value(row),
            _ => test.holds(remainder.get(row).and_then(Option::as_ref).and_then(|metadata| metadata.get(path))),
        }),
        None => {
            let missing = test.holds(None);
            match (typed, nulls) {
                (None, _) => constant(rows, missing),
                (Some(typed), None) => typed,
                (Some(typed), Some(nulls)) if missing => &typed | &!nulls.inner(),
                (Some(typed), Some(nulls)) => &typed & nulls.inner(),
            }
        }
    }
}

/// The same answer for all rows.
pub(crate) fn constant(rows: usize, answer: bool) -> BooleanBuffer {
    if answer { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) }
}

/// What the test says of each value; anything where there is none.
fn values(test: &Test, array: &dyn Array) -> BooleanBuffer {
    match array.data_type() {
        DataType::Int64 => integers(&NumberTest::of_integers(test), array.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            integers(&NumberTest::of_moments(test), array.as_primitive::<TimestampMicrosecondType>().values())
        }
        DataType::Float64 => floats(&NumberTest::of_floats(test), array.as_primitive::<Float64Type>().values()),
        DataType::Boolean => bools(test, array.as_boolean()),
        DataType::Utf8 => texts(test, array.as_string::<i32>()).unwrap_or_else(|| each(test, array)),
        DataType::List(_) => lists(test, array.as_list::<i32>()).unwrap_or_else(|| each(test, array)),
        _ => each(test, array),
    }
}

/// The slow way, which is right for everything.
fn each(test: &Test, array: &dyn Array) -> BooleanBuffer {
    BooleanBuffer::collect_bool(array.len(), |row| test.holds(value_at(array, row).as_ref()))
}

fn integers(test: &NumberTest<i64>, values: &[i64]) -> BooleanBuffer {
    match (&test.bounds, test.negated) {
        // Spelled out so that the loop is branch-free.
        (Bounds::Within(low, high), false) => collect(values, |value| (*low <= value) & (value <= *high)),
        _ => collect(values, |value| test.holds(value)),
    }
}

fn floats(test: &NumberTest<f64>, values: &[f64]) -> BooleanBuffer {
    match (&test.bounds, test.negated) {
        (Bounds::Within(low, high), false) => collect(values, |value| (*low <= value) & (value <= *high)),
        _ => collect(values, |value| test.holds(value)),
    }
}

fn collect<T: Copy>(values: &[T], holds: impl Fn(T) -> bool) -> BooleanBuffer {
    let mut rest = values.iter();
    BooleanBuffer::collect_bool(values.len(), |_| rest.next().is_some_and(|value| holds(*value)))
}

fn bools(test: &Test, array: &BooleanArray) -> BooleanBuffer {
    let (yes, no) = (test.holds(Some(&Value::Bool(true))), test.holds(Some(&Value::Bool(false))));
    match (yes, no) {
        (true, false) => array.values().clone(),
        (false, true) => !array.values(),
        (both, _) => constant(array.len(), both),
    }
}

/// The texts among the operands; `None` when text may equal an operand that is not text.
fn wanted(operands: &[Value]) -> Option<HashSet<&str>> {
    if operands.iter().any(|operand| matches!(operand, Value::DateTime(_))) {
        return None;
    }
    Some(operands.iter().filter_map(|operand| if let Value::String(text) = operand { Some(text.as_str()) } else { None }).collect())
}

fn texts(test: &Test, array: &StringArray) -> Option<BooleanBuffer> {
    let rows = |holds: &dyn Fn(&str) -> bool| BooleanBuffer::collect_bool(array.len(), |row| holds(array.value(row)));
    Some(match test {
        Test::Eq(Value::String(want)) => rows(&|text| text == want),
        Test::Ne(Value::String(want)) => rows(&|text| text != want),
        Test::Gt(Value::String(than)) => rows(&|text| text > than.as_str()),
        Test::Gte(Value::String(than)) => rows(&|text| text >= than.as_str()),
        Test::Lt(Value::String(than)) => rows(&|text| text < than.as_str()),
        Test::Lte(Value::String(than)) => rows(&|text| text <= than.as_str()),
        Test::In(list) => {
            let wanted = wanted(list)?;
            rows(&|text| wanted.contains(text))
        }
        Test::Nin(list) => {
            let wanted = wanted(list)?;
            rows(&|text| !wanted.contains(text))
        }
        Test::Contains(Value::String(part)) => rows(&|text| text.contains(part.as_str())),
        Test::Prefix(prefix) => rows(&|text| text.starts_with(prefix.as_str())),
        Test::Exists(wanted) => constant(array.len(), *wanted),
        _ => return None,
    })
}

fn lists(test: &Test, array: &ListArray) -> Option<BooleanBuffer> {
    let items = array.values().as_string_opt::<i32>()?;
    let any = |holds: &dyn Fn(&str) -> bool| {
        let hits = BooleanBuffer::collect_bool(items.len(), |item| holds(items.value(item)));
        let offsets = array.value_offsets();
        BooleanBuffer::collect_bool(array.len(), |row| match offsets.get(row..row + 2) {
            Some([start, end]) => (*start..*end).any(|item| hits.value(item as usize)),
            _ => false,
        })
    };
    let none_is_a_list = |list: &[Value]| !list.iter().any(|operand| matches!(operand, Value::Array(_)));
    Some(match test {
        Test::Eq(Value::String(want)) | Test::Contains(Value::String(want)) => any(&|text| text == want),
        Test::Ne(Value::String(want)) => !&any(&|text| text == want),
        Test::In(list) if none_is_a_list(list) => {
            let wanted = wanted(list)?;
            any(&|text| wanted.contains(text))
        }
        Test::Nin(list) if none_is_a_list(list) => {
            let wanted = wanted(list)?;
            !&any(&|text| wanted.contains(text))
        }
        Test::Prefix(prefix) => any(&|text| text.starts_with(prefix.as_str())),
        Test::Exists(wanted) => constant(array.len(), *wanted),
        _ => return None,
    })
}
