//! The types of metadata columns: which values they hold exactly, and how those are written to and read from Arrow arrays.
//! Knows nothing of files.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use proximadb_model::{FieldType, Timestamp, Value};

/// The time zone of every timestamp column.
pub(crate) const UTC: &str = "UTC";

/// The type of a metadata column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// `Value::String`.
    Text,
    /// `Value::Int`; larger integers do not fit.
    Integer,
    /// `Value::Float`.
    Float,
    /// `Value::Bool`.
    Bool,
    /// `Value::DateTime`.
    Moment,
    /// `Value::Array` of strings only.
    TextList,
}

impl ColumnKind {
    /// The kinds, in a fixed order.
    pub(crate) const ALL: [Self; 6] = [Self::Text, Self::Integer, Self::Float, Self::Bool, Self::Moment, Self::TextList];

    /// The kind of column that a value suggests; an integer above `i64::MAX` suggests integers though it does not fit there.
    pub(crate) fn suggested_by(value: &Value) -> Option<Self> {
        match value {
            Value::String(_) => Some(Self::Text),
            Value::Int(_) | Value::UInt(_) => Some(Self::Integer),
            Value::Float(_) => Some(Self::Float),
            Value::Bool(_) => Some(Self::Bool),
            Value::DateTime(_) => Some(Self::Moment),
            Value::Array(items) if items.iter().all(|item| matches!(item, Value::String(_))) => Some(Self::TextList),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether a column of this kind gives the value back exactly as it is.
    pub(crate) fn holds(self, value: &Value) -> bool {
        !matches!(value, Value::UInt(_)) && Self::suggested_by(value) == Some(self)
    }

    /// The Arrow type of the column.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Moment => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::TextList => DataType::List(text_element()),
        }
    }
}

impl From<FieldType> for ColumnKind {
    fn from(declared: FieldType) -> Self {
        match declared {
            FieldType::String => Self::Text,
            FieldType::Integer => Self::Integer,
            FieldType::Float => Self::Float,
            FieldType::Bool => Self::Bool,
            FieldType::DateTime => Self::Moment,
            FieldType::StringList => Self::TextList,
        }
    }
}

fn text_element() -> FieldRef {
    Arc::new(Field::new("element", DataType::Utf8, false))
}

/// The value of a metadata column in a row; `None` where the row has none there, or the array is of no kind of ours.
pub(crate) fn value_at(array: &dyn Array, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8 => Value::String(array.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Value::DateTime(Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let texts = items.as_string_opt::<i32>()?;
            Value::Array(texts.iter().flatten().map(|text| Value::String(text.to_owned())).collect())
        }
        _ => return None,
    })
}

/// Builds one metadata column.
pub(crate) enum ColumnBuilder {
    Text(StringBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Moment(TimestampMicrosecondBuilder),
    TextList(ListBuilder<StringBuilder>),
}

impl ColumnBuilder {
    /// An empty column of a kind.
    pub(crate) fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Text => Self::Text(StringBuilder::new()),
            ColumnKind::Integer => Self::Integer(Int64Builder::new()),
            ColumnKind::Float => Self::Float(Float64Builder::new()),
            ColumnKind::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnKind::Moment => Self::Moment(TimestampMicrosecondBuilder::new().with_timezone(UTC)),
            ColumnKind::TextList => Self::TextList(ListBuilder::new(StringBuilder::new()).with_field(text_element())),
        }
    }

    /// Appends a value, or nothing where there is none or it does not fit; says whether the value is in the column now.
    pub(crate) fn append(&mut self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Text(column), Some(Value::String(text))) => column.append_value(text),
            (Self::Integer(column), Some(Value::Int(n))) => column.append_value(*n),
            (Self::Float(column), Some(Value::Float(n))) => column.append_value(*n),
            (Self::Bool(column), Some(Value::Bool(b))) => column.append_value(*b),
            (Self::Moment(column), Some(Value::DateTime(at))) => column.append_value(at.0),
            (Self::TextList(column), Some(list @ Value::Array(items))) if ColumnKind::TextList.holds(list) => {
                for item in items {
                    if let Value::String(text) = item {
                        column.values().append_value(text);
                    }
                }
                column.append(true);
            }
            (column, _) => {
                column.append_nothing();
                return false;
            }
        }
        true
    }

    fn append_nothing(&mut self) {
        match self {
            Self::Text(column) => column.append_null(),
            Self::Integer(column) => column.append_null(),
            Self::Float(column) => column.append_null(),
            Self::Bool(column) => column.append_null(),
            Self::Moment(column) => column.append_null(),
            Self::TextList(column) => column.append(false),
        }
    }

    /// The column.
    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Integer(mut column) => Arc::new(column.finish()),
            Self::Float(mut column) => Arc::new(column.finish()),
            Self::Bool(mut column) => Arc::new(column.finish()),
            Self::Moment(mut column) => Arc::new(column.finish()),
            Self::TextList(mut column) => Arc::new(column.finish()),
        }
    }
}
