//! The filter language: its meaning over metadata, and its reading from Mongo-like values.
//!
//! Meaning, in the cases that differ between systems:
//! - a comparison holds only between values of one kind (numbers by value over all number kinds); no kind is converted,
//!   except text that reads as RFC 3339 when the other side is a point in time;
//! - on a list, `$eq`, `$in`, `$gt` and their like hold when they hold for the list itself or for any element;
//! - `$ne`, `$nin` and `$not` are exact complements, so they also hold where the field is missing;
//! - `$eq: null` holds where the field is null or missing; `$exists` tells the two apart.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::field_index::FieldIndex;
use crate::invalid::Invalid;
use crate::limits::{FILTER_CONDITIONS_MAX, FILTER_DEPTH_MAX, FILTER_LIST_MAX};
use crate::row_set::RowSet;
use crate::value::{Metadata, Value};

/// A condition on a record's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these hold; true when there are none.
    And(Vec<Filter>),
    /// At least one of these holds.
    Or(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// The value at a path compares as asked.
    Field {
        /// Key, or dotted path into nested objects.
        path: String,
        /// The comparison.
        test: Test,
    },
}

/// A comparison of one field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Equal by value.
    Eq(Value),
    /// Not `Eq`.
    Ne(Value),
    /// Greater.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// Equal to one of these.
    In(Vec<Value>),
    /// Not `In`.
    Nin(Vec<Value>),
    /// The field is there (a null is there), or is not.
    Exists(bool),
    /// A list has this element, or a text has this text in it.
    Contains(Value),
    /// A text starts with this.
    Prefix(String),
}

/// The operators that compare a field, in the order that errors list them.
pub const OPERATORS: [&str; 12] = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not", "$contains", "$prefix"];

impl Filter {
    /// Reads a filter from its Mongo-like form, such as `{"year": {"$gte": 2020}, "$or": [{"lang": "en"}, …]}`.
    ///
    /// # Errors
    /// [`Invalid`] naming the place, such as `filter.year.$foo`, for what is not understood or beyond a limit.
    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let mut budget = Conditions(0);
        let filter = object(value, 1, &mut budget).map_err(|e| e.within("filter"))?;
        filter.check()?;
        Ok(filter)
    }

    /// Checks the limits of a filter that was built rather than parsed.
    ///
    /// # Errors
    /// [`Invalid`] on `filter` when it is too deep, has too many conditions or too long a list.
    pub fn check(&self) -> Result<(), Invalid> {
        self.measure(1, &mut Conditions(0)).map_err(|e| e.within("filter"))
    }

    /// Whether the filter holds for a record with this metadata.
    pub fn matches(&self, metadata: &Metadata) -> bool {
        match self {
            Self::And(all) => all.iter().all(|f| f.matches(metadata)),
            Self::Or(any) => any.iter().any(|f| f.matches(metadata)),
            Self::Not(inner) => !inner.matches(metadata),
            Self::Field { path, test } => test.holds(metadata.get(path)),
        }
    }

    /// The rows of `rows` for which the filter holds, from the indexes of its fields; `None` where one is not there, or cannot tell.
    pub fn select<'a>(&self, rows: usize, index: &dyn Fn(&str) -> Option<&'a FieldIndex>) -> Option<RowSet> {
        Some(match self {
            Self::And(all) => {
                let mut left: Option<RowSet> = None;
                for part in all {
                    let part = part.select(rows, index)?;
                    match &mut left {
                        None => left = Some(part),
                        Some(left) => left.intersect(&part),
                    }
                }
                left.unwrap_or_else(|| RowSet::all(rows))
            }
            Self::Or(any) => {
                let mut found = RowSet::none(rows);
                for part in any {
                    found.union(&part.select(rows, index)?);
                }
                found
            }
            Self::Not(inner) => inner.select(rows, index)?.complement(),
            Self::Field { path, test } => index(path).filter(|index| index.rows() == rows)?.select(test)?,
        })
    }

    fn measure(&self, depth: usize, budget: &mut Conditions) -> Result<(), Invalid> {
        check_depth(depth)?;
        match self {
            // So that what has no condition at all has a bound too.
            Self::And(list) | Self::Or(list) if list.is_empty() => budget.one(),
            Self::And(list) | Self::Or(list) => list.iter().try_for_each(|f| f.measure(depth + 1, budget)),
            Self::Not(inner) => inner.measure(depth + 1, budget),
            Self::Field { path, test } => {
                budget.one()?;
                if path.is_empty() || path.starts_with('$') {
                    return Err(Invalid::new(path.clone(), "is not a field's name"));
                }
                match test {
                    Test::In(list) | Test::Nin(list) => check_list(list.len()),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl Test {
    /// Whether the test holds for a field's value, `None` meaning that the field is missing.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Eq(want) => equal(value, want),
            Self::Ne(want) => !equal(value, want),
            Self::In(list) => list.iter().any(|want| equal(value, want)),
            Self::Nin(list) => !list.iter().any(|want| equal(value, want)),
            Self::Gt(than) => ordered(value, than, Ordering::is_gt),
            Self::Gte(than) => ordered(value, than, Ordering::is_ge),
            Self::Lt(than) => ordered(value, than, Ordering::is_lt),
            Self::Lte(than) => ordered(value, than, Ordering::is_le),
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::Contains(part) => match (value, part) {
                (Some(Value::Array(items)), part) => items.iter().any(|item| item.same(part)),
                (Some(Value::String(text)), Value::String(part)) => text.contains(part.as_str()),
                _ => false,
            },
            Self::Prefix(prefix) => match value {
                Some(Value::String(text)) => text.starts_with(prefix.as_str()),
                Some(Value::Array(items)) => items.iter().any(|item| matches!(item, Value::String(t) if t.starts_with(prefix.as_str()))),
                _ => false,
            },
        }
    }
}

fn equal(value: Option<&Value>, want: &Value) -> bool {
    match value {
        None => matches!(want, Value::Null),
        Some(Value::Array(items)) if !matches!(want, Value::Array(_)) => items.iter().any(|item| item.same(want)),
        Some(value) => value.same(want),
    }
}

fn ordered(value: Option<&Value>, than: &Value, wanted: fn(Ordering) -> bool) -> bool {
    match value {
        None => false,
        Some(Value::Array(items)) => items.iter().any(|item| item.compare(than).is_some_and(wanted)),
        Some(value) => value.compare(than).is_some_and(wanted),
    }
}

struct Conditions(usize);

impl Conditions {
    fn one(&mut self) -> Result<(), Invalid> {
        self.0 += 1;
        if self.0 > FILTER_CONDITIONS_MAX {
            return Err(Invalid::new("", format!("has more than {FILTER_CONDITIONS_MAX} conditions")));
        }
        Ok(())
    }
}

fn check_depth(depth: usize) -> Result<(), Invalid> {
    if depth > FILTER_DEPTH_MAX {
        return Err(Invalid::new("", format!("is nested deeper than {FILTER_DEPTH_MAX} levels")));
    }
    Ok(())
}

fn check_list(len: usize) -> Result<(), Invalid> {
    if len > FILTER_LIST_MAX {
        return Err(Invalid::new("", format!("has {len} values, at most {FILTER_LIST_MAX} are allowed")));
    }
    Ok(())
}

fn object(value: &Value, depth: usize, budget: &mut Conditions) -> Result<Filter, Invalid> {
    check_depth(depth)?;
    let Value::Object(fields) = value else {
        return Err(Invalid::new("", format!("must be an object, got {}", value.kind())));
    };
    let mut all = Vec::new();
    for (key, value) in fields {
        let part = match key.as_str() {
            "$and" => branches(value, depth, budget).map(Filter::And),
            "$or" => branches(value, depth, budget).map(Filter::Or),
            "$not" => object(value, depth + 1, budget).map(|f| Filter::Not(Box::new(f))),
            other if other.starts_with('$') => Err(Invalid::new("", "unknown operator; here $and, $or, $not or a field's name may stand")),
            "" => Err(Invalid::new("", "a field's name must not be empty")),
            path => field(path, value, depth, budget),
        };
        all.push(part.map_err(|e| e.within(key))?);
    }
    Ok(match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            Filter::And(all)
        }
        None => Filter::And(all),
    })
}

fn branches(value: &Value, depth: usize, budget: &mut Conditions) -> Result<Vec<Filter>, Invalid> {
    let Value::Array(items) = value else {
        return Err(Invalid::new("", format!("must be a list of filters, got {}", value.kind())));
    };
    if items.is_empty() {
        return Err(Invalid::new("", "must not be an empty list"));
    }
    items.iter().enumerate().map(|(i, item)| object(item, depth + 1, budget).map_err(|e| e.within(&format!("[{i}]")))).collect()
}

fn field(path: &str, value: &Value, depth: usize, budget: &mut Conditions) -> Result<Filter, Invalid> {
    let one = |test| Filter::Field { path: path.to_owned(), test };
    match value {
        Value::Object(tests) if tests.keys().any(|k| k.starts_with('$')) => {
            let mut parts = Vec::new();
            for (operator, operand) in tests {
                let part = if operator == "$not" { negated(path, operand, depth, budget) } else { test(operator, operand).map(one) };
                parts.push(part.map_err(|e| e.within(operator))?);
            }
            Ok(match <[Filter; 1]>::try_from(parts) {
                Ok([only]) => only,
                Err(parts) => Filter::And(parts),
            })
        }
        Value::Object(_) => Err(Invalid::new("", format!("must be a value or operators ({})", OPERATORS.join(", ")))),
        scalar => {
            budget.one()?;
            Ok(one(Test::Eq(scalar.clone())))
        }
    }
}

fn negated(path: &str, operand: &Value, depth: usize, budget: &mut Conditions) -> Result<Filter, Invalid> {
    match operand {
        Value::Object(tests) if !tests.is_empty() && tests.keys().all(|k| k.starts_with('$')) => {
            check_depth(depth + 1)?;
            field(path, operand, depth + 1, budget).map(|f| Filter::Not(Box::new(f)))
        }
        _ => Err(Invalid::new("", "must be an object of operators")),
    }
}

fn test(operator: &str, operand: &Value) -> Result<Test, Invalid> {
    let comparable = || match operand {
        Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::String(_) | Value::DateTime(_) | Value::Bool(_) => Ok(operand.clone()),
        other => Err(Invalid::new("", format!("must be a number, text or bool, got {}", other.kind()))),
    };
    let list = || match operand {
        Value::Array(items) => check_list(items.len()).map(|()| items.clone()),
        other => Err(Invalid::new("", format!("must be a list, got {}", other.kind()))),
    };
    Ok(match operator {
        "$eq" => Test::Eq(operand.clone()),
        "$ne" => Test::Ne(operand.clone()),
        "$gt" => Test::Gt(comparable()?),
        "$gte" => Test::Gte(comparable()?),
        "$lt" => Test::Lt(comparable()?),
        "$lte" => Test::Lte(comparable()?),
        "$in" => Test::In(list()?),
        "$nin" => Test::Nin(list()?),
        "$contains" => Test::Contains(operand.clone()),
        "$exists" => match operand {
            Value::Bool(wanted) => Test::Exists(*wanted),
            other => return Err(Invalid::new("", format!("must be true or false, got {}", other.kind()))),
        },
        "$prefix" => match operand {
            Value::String(text) => Test::Prefix(text.clone()),
            other => return Err(Invalid::new("", format!("must be text, got {}", other.kind()))),
        },
        _ => return Err(Invalid::new("", format!("unknown operator; known are {}", OPERATORS.join(", ")))),
    })
}

/// The fields that a filter looks at, by path, without repetition.
pub fn paths(filter: &Filter) -> Vec<&str> {
    fn walk<'a>(filter: &'a Filter, out: &mut BTreeMap<&'a str, ()>) {
        match filter {
            Filter::And(list) | Filter::Or(list) => list.iter().for_each(|f| walk(f, out)),
            Filter::Not(inner) => walk(inner, out),
            Filter::Field { path, .. } => {
                out.insert(path, ());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(filter, &mut out);
    out.into_keys().collect()
}

#[cfg(test)]
mod tests;
