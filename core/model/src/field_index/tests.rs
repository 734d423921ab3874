//! The index against `Filter::matches`, over random documents and filters.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::filter::{Filter, paths};
use crate::value::Metadata;

const KEYS: [&str; 3] = ["a", "b", "a.b"];

/// Few distinct values of every kind, so that documents and operands meet; some that are equal though they look different.
fn scalar() -> impl Strategy<Value = Value> {
    let texts = ["", "a", "ab", "abc", "b", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2027-01-01T00:00:00Z"];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2i64..3).prop_map(Value::Int),
        prop::sample::select(vec![i64::MAX, i64::MIN, 1 << 53]).prop_map(Value::Int),
        prop::sample::select(vec![1u64 << 63, u64::MAX]).prop_map(Value::from_u64),
        prop::sample::select(vec![-1.5, -0.0, 0.0, 1.0, 1.5, 9_223_372_036_854_775_808.0, 9_007_199_254_740_992.0, 1e300])
            .prop_map(Value::Float),
        prop::sample::select(texts.to_vec()).prop_map(|text| Value::String(text.to_owned())),
        prop::sample::select(vec!["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"])
            .prop_map(|text| Value::DateTime(text.parse().expect("a moment"))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            1 => prop::collection::btree_map("[ab]", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

fn document() -> impl Strategy<Value = Metadata> {
    prop::collection::btree_map(prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned), value(), 0..4)
        .prop_map(|fields: BTreeMap<String, Value>| Metadata::new(fields).expect("within limits"))
}

fn test() -> impl Strategy<Value = Test> {
    let operand = || prop_oneof![4 => scalar(), 1 => value()];
    let list = || prop::collection::vec(operand(), 0..4);
    prop_oneof![
        operand().prop_map(Test::Eq),
        operand().prop_map(Test::Ne),
        operand().prop_map(Test::Gt),
        operand().prop_map(Test::Gte),
        operand().prop_map(Test::Lt),
        operand().prop_map(Test::Lte),
        list().prop_map(Test::In),
        list().prop_map(Test::Nin),
        any::<bool>().prop_map(Test::Exists),
        operand().prop_map(Test::Contains),
        prop::sample::select(vec!["", "a", "ab", "2026", "z"]).prop_map(|text| Test::Prefix(text.to_owned())),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let field = (prop::sample::select(vec!["a", "b", "a.b", "a.a", "none"]), test())
        .prop_map(|(path, test)| Filter::Field { path: path.to_owned(), test });
    field.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
}

fn index_of(documents: &[Metadata], path: &str) -> FieldIndex {
    let mut builder = FieldIndexBuilder::new(documents.len());
    for (row, document) in documents.iter().enumerate() {
        if let Some(value) = document.get(path) {
            builder.push(row, value);
        }
    }
    builder.finish().expect("small")
}

/// Whether a filter compares a list or an object as a whole.
fn has_wholes(filter: &Filter) -> bool {
    let whole = |value: &Value| matches!(value, Value::Array(_) | Value::Object(_));
    match filter {
        Filter::And(list) | Filter::Or(list) => list.iter().any(has_wholes),
        Filter::Not(inner) => has_wholes(inner),
        Filter::Field { test, .. } => match test {
            Test::Eq(value) | Test::Ne(value) | Test::Contains(value) => whole(value),
            Test::In(list) | Test::Nin(list) => list.iter().any(whole),
            _ => false,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn selects_exactly_what_matches(documents in prop::collection::vec(document(), 1..40), filter in filter()) {
        let indexes: BTreeMap<&str, FieldIndex> = paths(&filter).into_iter().map(|path| (path, index_of(&documents, path))).collect();
        match filter.select(documents.len(), &|path| indexes.get(path)) {
            Some(rows) => {
                let expected = RowSet::from_fn(documents.len(), |row| filter.matches(&documents[row]));
                prop_assert_eq!(rows, expected);
            }
            None => prop_assert!(has_wholes(&filter), "only lists and objects as wholes are left to others"),
        }
    }

    #[test]
    fn wide_ranges_over_many_rows_are_exact(numbers in prop::collection::vec(0i64..5_000, 4_000..5_000), low in 0i64..5_000, width in 0i64..5_000, many in any::<bool>()) {
        // As lists of two items every other row is in two places, and a range may hold both.
        let value = |row: usize, n: i64| if many && row.is_multiple_of(2) { Value::Array(vec![Value::Int(n), Value::Int(n / 2)]) } else { Value::Int(n) };
        let documents: Vec<Value> = numbers.iter().enumerate().map(|(row, n)| value(row, *n)).collect();
        let mut builder = FieldIndexBuilder::new(documents.len());
        documents.iter().enumerate().for_each(|(row, value)| builder.push(row, value));
        let index = builder.finish().expect("small");
        prop_assert!(!index.ints.postings().blocks().is_empty(), "blocks are what is tested here");
        for test in [Test::Gte(Value::Int(low)), Test::Lt(Value::Int(low + width)), Test::Eq(Value::Int(low)), Test::Gt(Value::Float(low as f64 + 0.5))] {
            let expected = RowSet::from_fn(documents.len(), |row| test.holds(Some(&documents[row])));
            prop_assert_eq!(index.select(&test), Some(expected));
        }
    }
}

#[test]
fn memory_is_counted() {
    let mut builder = FieldIndexBuilder::new(10_000);
    (0..10_000).for_each(|row| builder.push(row, &Value::Int(row as i64)));
    let expected = builder.bytes();
    let index = builder.finish().expect("small");
    // A number with its row and its place, and what the bitmaps take: not twice, not half of what was said before.
    assert!((160_000..=expected).contains(&index.bytes()), "{} of {expected}", index.bytes());
    assert!(expected < 2 * index.bytes());
}

#[test]
fn an_index_of_other_rows_is_not_asked() {
    let index = FieldIndexBuilder::new(3).finish().expect("small");
    let filter = Filter::Field { path: "a".to_owned(), test: Test::Exists(false) };
    assert_eq!(filter.select(3, &|_| Some(&index)), Some(RowSet::all(3)));
    assert_eq!(filter.select(4, &|_| Some(&index)), None);
    assert_eq!(filter.select(3, &|_| None), None);
}
