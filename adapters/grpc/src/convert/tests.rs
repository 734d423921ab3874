//! Metadata and vectors through their messages and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use proximadb_model::{Metadata, Value};
use proximadb_proto::v1;

use super::value::{metadata as message, read_metadata, read_vector, vector};

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::from_u64),
        any::<f64>().prop_filter("metadata has finite numbers", |n| n.is_finite()).prop_map(Value::Float),
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
    fn metadata_round_trips(map in prop::collection::btree_map(".{0,4}", any_value(), 0..6)) {
        let metadata = Metadata::new(map).expect("within limits");
        let bytes = v1::StructValue { fields: message(Some(Arc::new(metadata.clone()))) }.encode_to_vec();
        let back = v1::StructValue::decode(&bytes[..]).expect("our own bytes").fields;
        prop_assert_eq!(read_metadata(back).expect("within limits"), metadata);
    }

    #[test]
    fn vectors_round_trip(bits in prop::collection::vec(any::<u32>(), 0..9)) {
        // Bits, since packed bytes carry even a NaN through; refusing it is not the codec's part.
        let components: Vec<f32> = bits.iter().map(|b| f32::from_bits(*b)).collect();
        let back = read_vector(Some(vector(&components))).expect("whole");
        prop_assert_eq!(back.iter().map(|c| c.to_bits()).collect::<Vec<_>>(), bits);
    }
}

#[test]
fn integers_have_one_representation() {
    let uint = |n| v1::Value { kind: Some(v1::value::Kind::UintValue(n)) };
    let metadata = read_metadata(BTreeMap::from([("a".to_owned(), uint(1)), ("b".to_owned(), uint(u64::MAX))])).expect("valid");
    assert_eq!((metadata.get("a"), metadata.get("b")), (Some(&Value::Int(1)), Some(&Value::UInt(u64::MAX))));
}
