//! Collections in answers.

use std::collections::BTreeMap;

use proximadb_ports::CollectionInfo;
use serde::Serialize;

use super::{Each, Under};

#[derive(Serialize)]
struct IndexSettingsOut {
    kind: &'static str,
    m: u32,
    ef_construction: u32,
    ef_search: u32,
}

#[derive(Serialize)]
struct CollectionOut<'a, Schema> {
    id: String,
    name: &'a str,
    dimension: usize,
    metric: String,
    score_kind: &'static str,
    schema: Schema,
    shards: u32,
    index: IndexSettingsOut,
    description: &'a str,
    created: String,
    records: u64,
    stored_bytes: u64,
    shards_unavailable: u32,
}

pub(crate) fn collection(info: &CollectionInfo) -> impl Serialize {
    let spec = &info.collection.spec;
    CollectionOut {
        id: info.collection.id.to_string(),
        name: spec.name.as_str(),
        dimension: spec.dimension.get(),
        metric: spec.metric.to_string(),
        score_kind: info.score_kind.as_str(),
        schema: spec.schema.fields().iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect::<BTreeMap<_, _>>(),
        shards: spec.shards,
        index: IndexSettingsOut {
            kind: spec.index.kind.as_str(),
            m: spec.index.m,
            ef_construction: spec.index.ef_construction,
            ef_search: spec.index.ef_search,
        },
        description: &spec.description,
        created: info.collection.created.to_string(),
        records: info.records,
        stored_bytes: info.stored_bytes,
        shards_unavailable: info.shards_unavailable,
    }
}

pub(crate) fn collections(infos: &[CollectionInfo]) -> impl Serialize {
    Under("collections", Each(move || infos.iter().map(collection)))
}
