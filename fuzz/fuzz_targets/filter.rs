//! Any JSON is a filter or refused by place, and a filter that was understood can be evaluated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proximadb_model::{Filter, Metadata, Value};

fn value(json: &serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => n.as_i64().map(Value::Int).or(n.as_u64().map(Value::from_u64)).or(n.as_f64().map(Value::Float))?,
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(value).collect::<Option<_>>()?),
        serde_json::Value::Object(fields) => {
            Value::Object(fields.iter().map(|(k, v)| Some((k.clone(), value(v)?))).collect::<Option<_>>()?)
        }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(json) = serde_json::from_slice(bytes) else { return };
    let Some(value) = value(&json) else { return };
    if let Ok(filter) = Filter::parse(&value) {
        filter.check().expect("what parses is within the limits");
        if let Value::Object(fields) = value
            && let Ok(metadata) = Metadata::new(fields)
        {
            let _ = filter.matches(&metadata);
        }
    }
});
