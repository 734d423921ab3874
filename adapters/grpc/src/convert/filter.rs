//! Filters: the typed twin of the Mongo-like form, with the same refusals.

use proximadb_model::{Filter, Invalid, Test, Value};
use proximadb_proto::v1;
use v1::field_test::Test as Operator;
use v1::filter::Node;

use super::value::read_value;

/// Reads a filter and checks its limits.
pub(crate) fn read_filter(filter: v1::Filter) -> Result<Filter, Invalid> {
    let filter = node(filter).map_err(|e| e.within("filter"))?;
    filter.check()?;
    Ok(filter)
}

fn node(filter: v1::Filter) -> Result<Filter, Invalid> {
    Ok(match filter.node {
        None => return Err(Invalid::new("", "one of all_of, any_of, negated, field is required")),
        Some(Node::AllOf(list)) => Filter::And(super::each("all_of", list.filters, node)?),
        Some(Node::AnyOf(list)) if list.filters.is_empty() => return Err(Invalid::new("any_of", "must not be an empty list")),
        Some(Node::AnyOf(list)) => Filter::Or(super::each("any_of", list.filters, node)?),
        Some(Node::Negated(inner)) => Filter::Not(Box::new(node(*inner).map_err(|e| e.within("negated"))?)),
        Some(Node::Field(field)) => {
            let test = field.test.ok_or_else(|| Invalid::new("test", "is required"));
            let test = test.and_then(read_test).map_err(|e| e.within(&field.path))?;
            Filter::Field { path: field.path, test }
        }
    })
}

fn read_test(operator: Operator) -> Result<Test, Invalid> {
    let plain = |name: &str, value: v1::Value| read_value(value).map_err(|e| e.within(name));
    let comparable = |name: &str, value: v1::Value| match plain(name, value)? {
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Invalid::new(name, "must be a number, text or bool")),
        value => Ok(value),
    };
    let list = |name: &str, list: v1::ListValue| super::each(name, list.values, read_value);
    Ok(match operator {
        Operator::Eq(value) => Test::Eq(plain("eq", value)?),
        Operator::Ne(value) => Test::Ne(plain("ne", value)?),
        Operator::Gt(value) => Test::Gt(comparable("gt", value)?),
        Operator::Gte(value) => Test::Gte(comparable("gte", value)?),
        Operator::Lt(value) => Test::Lt(comparable("lt", value)?),
        Operator::Lte(value) => Test::Lte(comparable("lte", value)?),
        Operator::OneOf(values) => Test::In(list("one_of", values)?),
        Operator::NoneOf(values) => Test::Nin(list("none_of", values)?),
        Operator::Exists(wanted) => Test::Exists(wanted),
        Operator::Contains(value) => Test::Contains(plain("contains", value)?),
        Operator::Prefix(text) => Test::Prefix(text),
    })
}
