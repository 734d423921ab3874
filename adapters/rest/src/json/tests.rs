//! What the reader refuses and where, and what comes back as it was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proximadb_model::limits::{DIMENSION_MAX, JSON_DEPTH_MAX};
use proximadb_model::{Metadata, Value};

use super::*;
use crate::requests::{NewRecord, Search, Write};

fn refused<T: for<'a> Deserialize<'a> + std::fmt::Debug>(text: &str) -> String {
    parse::<T>(text.as_bytes()).expect_err(text).field
}

fn vector(text: &str) -> Vec<f32> {
    parse::<Components>(text.as_bytes()).expect(text).0
}

#[test]
fn unknown_and_repeated_fields_are_named() {
    for (text, field) in [
        (r#"{"upsrt": []}"#, "upsrt"),
        (r#"{"upsert": [{"id": "a"}, {"id": "b", "vectr": [1]}]}"#, "upsert[1].vectr"),
        (r#"{"upsert": [{"id": "a", "id": "a"}]}"#, "upsert[0].id"),
        (r#"{"upsert": [], "upsert": []}"#, "upsert"),
        (r#"{"upsert": [{"id": "a", "metadata": {"x": {"y": 1, "y": 1}}}]}"#, "upsert[0].metadata.x.y"),
        (r#"{"upsert": [{"id": 1.5}]}"#, "upsert[0].id"),
        (r#"{"upsert": [{"id": 18446744073709551616}]}"#, "upsert[0].id"),
        (r#"{"upsert": [{"id": true}]}"#, "upsert[0].id"),
        (r#"{"upsert": [{"id": ""}]}"#, "upsert[0].id"),
        (r#"{"upsert": [{"expires": "tomorrow"}]}"#, "upsert[0].expires"),
        (r#"{"upsert": [[]]}"#, "upsert[0]"),
        (r#"{"upsert": {}}"#, "upsert"),
        (r#"[]"#, ""),
        (r#"{} {}"#, ""),
        (r#"{"upsert": []"#, ""),
    ] {
        assert_eq!(refused::<Write>(text), field, "{text}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    for (text, field) in [
        (r#"{"vector": [0, 1e39]}"#, "vector[1]"),
        (r#"{"vector": [0, -1e39]}"#, "vector[1]"),
        (r#"{"vector": [0, 1e400]}"#, "vector[1]"),
        (r#"{"vector": [0, 3.4028236e38]}"#, "vector[1]"),
        (r#"{"vector": [0, 1, NaN]}"#, "vector[2]"),
        (r#"{"vector": [0, "x"]}"#, "vector[1]"),
        (r#"{"vector": [0, null]}"#, "vector[1]"),
        (r#"{"vector": [[0]]}"#, "vector[0]"),
        (r#"{"vector": "AAAAAAA="}"#, "vector"),
        (r#"{"vector": "AAA"}"#, "vector"),
        (r#"{"vector": "AAAA AAA"}"#, "vector"),
        (r#"{"vector": {}}"#, "vector"),
        (r#"{"k": 18446744073709551616}"#, "k"),
        (r#"{"k": -1}"#, "k"),
        (r#"{"k": 1.0}"#, "k"),
        (r#"{"k": "1"}"#, "k"),
        (r#"{"score_threshold": 1e39}"#, "score_threshold"),
        (r#"{"exact": 1}"#, "exact"),
        (r#"{"recall_target": "high"}"#, "recall_target"),
        (r#"{"recall": 0.9}"#, "recall"),
        (r#"{"vector_format": "hex"}"#, "vector_format"),
    ] {
        assert_eq!(refused::<Search<1>>(text), field, "{text}");
    }
    let long = format!(r#"{{"vector": [{}0]}}"#, "0,".repeat(DIMENSION_MAX));
    assert_eq!(refused::<Search<1>>(&long), "vector");
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let invalid = parse::<Write>(b"{\"upsert\": [{\"id\": \"\xff\"}]}").expect_err("is not UTF-8");
    assert_eq!(invalid.field, "upsert[0].id");
}

#[test]
fn the_body_has_a_depth() {
    // The outermost object is the first level, the filter the second.
    let nested = |levels: usize| format!(r#"{{"filter": {}0{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(parse::<Search<1>>(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert!(refused::<Search<1>>(&nested(JSON_DEPTH_MAX + 1)).starts_with("filter[0]"));
    let metadata = |levels: usize| {
        let object = format!("{}0{}", r#"{"a":"#.repeat(levels - 3), "}".repeat(levels - 3));
        format!(r#"{{"upsert": [{{"metadata": {object}}}]}}"#)
    };
    assert!(parse::<Write>(metadata(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert!(refused::<Write>(&metadata(JSON_DEPTH_MAX + 1)).starts_with("upsert[0].metadata.a.a"));
    assert!(parse::<Write>("[".repeat(1_000_000).as_bytes()).is_err());
    let object = format!("{}1", r#"{"filter":"#.repeat(1_000_000));
    assert!(parse::<Search<1>>(object.as_bytes()).is_err());
}

#[test]
fn integers_are_ids_and_null_is_absent() {
    let record: NewRecord = parse(br#"{"id": 9223372036854775808, "vector": null, "metadata": null}"#).expect("valid");
    assert_eq!(record.id.expect("given").0.as_str(), "9223372036854775808");
    assert!(record.vector.is_none() && record.metadata.is_none());
    let negative: Id = parse(b"-7").expect("valid");
    assert_eq!(negative.0.as_str(), "-7");
}

#[test]
fn integers_are_exact_over_64_bits() {
    let text = r#"{"a":9223372036854775807,"b":18446744073709551615,"c":-9223372036854775808,"d":9007199254740993}"#;
    let Fields(fields) = parse::<Fields<1>>(text.as_bytes()).expect("valid");
    assert_eq!(fields["a"], Value::Int(i64::MAX));
    assert_eq!(fields["b"], Value::UInt(u64::MAX));
    assert_eq!(fields["c"], Value::Int(i64::MIN));
    assert_eq!(serde_json::to_string(&MetadataOut(&Metadata::new(fields).expect("valid"))).expect("plain"), text);
}

#[test]
fn components_are_those_of_a_client_that_casts_from_f64() {
    for text in ["1.00000017881393432617187499", "1.00000017881393432617187501", "0.1", "3.4028235e38", "1e-46", "16777217", "-0"] {
        let cast = text.parse::<f64>().expect("a number") as f32;
        assert_eq!(vector(&format!("[{text}]"))[0].to_bits(), cast.to_bits(), "{text}");
    }
    assert_eq!(vector(r#""AACAPwAAAMA=""#), [1.0, -2.0]);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::from_u64),
        any::<f64>().prop_filter("JSON has finite numbers", |n| n.is_finite()).prop_map(Value::Float),
        ".{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #[test]
    fn metadata_round_trips(fields in prop::collection::btree_map(".{0,4}", any_value(), 0..6)) {
        let metadata = Metadata::new(fields).expect("within limits");
        let text = serde_json::to_vec(&MetadataOut(&metadata)).expect("plain");
        let Fields(back): Fields<3> = parse(&text).expect("our own text");
        // Equality of floats forgets the sign of zero; their text does not.
        let back = Metadata::new(back).expect("within limits");
        prop_assert_eq!(&back, &metadata);
        prop_assert_eq!(serde_json::to_vec(&MetadataOut(&back)).expect("plain"), text);
    }

    #[test]
    fn vectors_round_trip(components in prop::collection::vec(any::<f32>().prop_filter("finite", |x| x.is_finite()), 0..9)) {
        for format in [VectorFormat::Array, VectorFormat::Base64] {
            let text = serde_json::to_vec(&VectorOut { components: &components, format }).expect("plain");
            let Components(back) = parse(&text).expect("our own text");
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&components));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in r#"[\[\]{}",:0-9eE.\-a-z \\]{0,64}"#) {
        let _ = parse::<Write>(text.as_bytes());
        let _ = parse::<Json<1>>(text.as_bytes());
    }
}

#[test]
fn dictionaries_refuse_repeated_keys() {
    assert_eq!(refused::<Dictionary<u64>>(r#"{"a": 1, "a": 2}"#), "a");
    let Dictionary(fields): Dictionary<u64> = parse(br#"{"a": 1, "b": 2}"#).expect("valid");
    assert_eq!(fields, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
}
