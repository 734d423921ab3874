//! What filters mean, case by case.

use super::*;

fn int(n: i64) -> Value {
    Value::Int(n)
}
fn text(s: &str) -> Value {
    Value::String(s.to_owned())
}
fn list(items: Vec<Value>) -> Value {
    Value::Array(items)
}
fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn record() -> Metadata {
    let Value::Object(fields) = object(vec![
        ("year", int(2021)),
        ("lang", text("en")),
        ("tags", list(vec![text("a"), text("b")])),
        ("nothing", Value::Null),
        ("when", Value::DateTime("2026-11-22T08:00:00Z".parse().expect("valid"))),
        ("inner", object(vec![("x", int(1))])),
    ]) else {
        unreachable!()
    };
    Metadata::new(fields).expect("valid")
}

#[track_caller]
fn check(filter: Value, expected: bool) {
    let parsed = Filter::parse(&filter).expect("understood");
    parsed.check().expect("what parses is within limits");
    assert_eq!(parsed.matches(&record()), expected, "{filter:?}");
}

fn on(field: &str, operator: &str, operand: Value) -> Value {
    object(vec![(field, object(vec![(operator, operand)]))])
}

#[test]
fn comparisons_hold_within_a_kind() {
    check(object(vec![("year", int(2021))]), true);
    check(object(vec![("year", Value::Float(2021.0))]), true);
    check(object(vec![("year", text("2021"))]), false);
    check(on("year", "$gte", int(2021)), true);
    check(on("year", "$gt", int(2021)), false);
    check(on("year", "$lt", Value::Float(2021.5)), true);
    check(on("year", "$lte", int(2020)), false);
    check(on("lang", "$gt", int(1)), false);
    check(on("lang", "$gt", text("de")), true);
    check(on("when", "$lt", text("2026-11-22T10:30:00+02:00")), true);
    check(on("when", "$lt", text("not a date")), false);
    check(on("inner.x", "$eq", int(1)), true);
}

#[test]
fn lists_match_by_element() {
    check(object(vec![("tags", text("a"))]), true);
    check(object(vec![("tags", list(vec![text("a"), text("b")]))]), true);
    check(object(vec![("tags", list(vec![text("b"), text("a")]))]), false);
    check(on("tags", "$in", list(vec![text("x"), text("b")])), true);
    check(on("tags", "$nin", list(vec![text("x"), text("b")])), false);
    check(on("tags", "$contains", text("a")), true);
    check(on("lang", "$contains", text("n")), true);
    check(on("lang", "$prefix", text("e")), true);
    check(on("tags", "$prefix", text("b")), true);
}

#[test]
fn negations_hold_where_the_field_is_missing() {
    check(on("absent", "$ne", int(1)), true);
    check(on("absent", "$nin", list(vec![int(1)])), true);
    check(on("absent", "$not", object(vec![("$gt", int(1))])), true);
    check(on("absent", "$gt", int(1)), false);
    check(object(vec![("$not", object(vec![("year", int(2021))]))]), false);
}

#[test]
fn null_and_missing_are_told_apart_only_by_exists() {
    check(object(vec![("nothing", Value::Null)]), true);
    check(object(vec![("absent", Value::Null)]), true);
    check(on("nothing", "$exists", Value::Bool(true)), true);
    check(on("absent", "$exists", Value::Bool(true)), false);
    check(on("absent", "$exists", Value::Bool(false)), true);
}

#[test]
fn parts_combine() {
    check(object(vec![]), true);
    check(object(vec![("year", object(vec![("$gte", int(2020)), ("$lt", int(2022))])), ("lang", text("de"))]), false);
    check(object(vec![("year", int(1)), ("$or", list(vec![object(vec![("lang", text("en"))])]))]), false);
    check(object(vec![("$or", list(vec![object(vec![("lang", text("de"))]), object(vec![("year", int(2021))])]))]), true);
    check(object(vec![("$and", list(vec![object(vec![("lang", text("en"))]), object(vec![("year", int(2021))])]))]), true);
}

#[test]
fn what_is_not_understood_is_refused_by_place() {
    let mut deep = object(vec![("a", int(1))]);
    for _ in 0..FILTER_DEPTH_MAX {
        deep = object(vec![("$not", deep)]);
    }
    for (filter, field) in [
        (on("year", "$foo", int(1)), "filter.year.$foo"),
        (object(vec![("$nor", list(vec![]))]), "filter.$nor"),
        (object(vec![("$or", list(vec![]))]), "filter.$or"),
        (object(vec![("$or", list(vec![object(vec![]), on("a", "$x", int(1))]))]), "filter.$or[1].a.$x"),
        (on("year", "$in", int(1)), "filter.year.$in"),
        (on("year", "$gt", list(vec![])), "filter.year.$gt"),
        (on("year", "$exists", int(1)), "filter.year.$exists"),
        (object(vec![("year", object(vec![("x", int(1))]))]), "filter.year"),
        (text("year > 1"), "filter"),
        (on("a", "$in", list(vec![int(1); FILTER_LIST_MAX + 1])), "filter.a.$in"),
    ] {
        assert_eq!(Filter::parse(&filter).expect_err(field).field, field);
    }
    assert!(Filter::parse(&deep).is_err());
    let many = |count: usize| object(vec![("$or", list((0..count).map(|i| object(vec![("a", int(i as i64))])).collect()))]);
    assert!(Filter::parse(&many(FILTER_CONDITIONS_MAX)).is_ok_and(|f| f.check().is_ok()));
    assert!(Filter::parse(&many(FILTER_CONDITIONS_MAX + 1)).is_err());
}

#[test]
fn paths_are_listed_once() {
    let filter = Filter::parse(&object(vec![("$or", list(vec![object(vec![("a", int(1)), ("b", int(2))]), object(vec![("a", int(3))])]))]))
        .expect("valid");
    assert_eq!(paths(&filter), ["a", "b"]);
}
