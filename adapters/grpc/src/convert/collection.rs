//! Collections.

use proximadb_model::{
    CollectionName, CollectionPatch, CollectionSpec, Dimension, FieldType, IndexKind, IndexSettings, Invalid, MetricKind, Schema,
};
use proximadb_ports::CollectionInfo;
use proximadb_proto::v1;

pub(crate) fn read_collection_spec(request: v1::CreateCollectionRequest) -> Result<CollectionSpec, Invalid> {
    let metric = if request.metric.is_empty() { MetricKind::Cosine } else { request.metric.parse()? };
    let mut spec = CollectionSpec::new(CollectionName::new(&request.name)?, Dimension::new(request.dimension)?, metric);
    let field = |(name, kind): (String, String)| match kind.parse::<FieldType>() {
        Ok(kind) => Ok((name, kind)),
        Err(e) => Err(e.within(&name).within("schema")),
    };
    spec.schema = Schema::new(request.schema.into_iter().map(field).collect::<Result<_, Invalid>>()?)?;
    spec.shards = request.shards.unwrap_or(spec.shards);
    spec.index = request.index.map_or(Ok(spec.index), |index| read_index(index, spec.index))?;
    spec.description = request.description;
    spec.check()?;
    Ok(spec)
}

/// The settings with those of the message in place of `present` ones.
fn read_index(index: v1::IndexSettings, present: IndexSettings) -> Result<IndexSettings, Invalid> {
    Ok(IndexSettings {
        kind: index.kind.map_or(Ok(present.kind), |kind| kind.parse::<IndexKind>())?,
        m: index.m.unwrap_or(present.m),
        ef_construction: index.ef_construction.unwrap_or(present.ef_construction),
        ef_search: index.ef_search.unwrap_or(present.ef_search),
    })
}

/// A patch of a collection that has the `present` specification.
pub(crate) fn read_collection_patch(request: v1::UpdateCollectionRequest, present: &CollectionSpec) -> Result<CollectionPatch, Invalid> {
    let index = request.index.map(|index| read_index(index, present.index)).transpose()?;
    let mut changed = present.clone();
    changed.index = index.unwrap_or(present.index);
    changed.description = request.description.clone().unwrap_or_default();
    changed.check()?;
    Ok(CollectionPatch { description: request.description, index })
}

pub(crate) fn collection(info: &CollectionInfo) -> v1::Collection {
    let spec = &info.collection.spec;
    v1::Collection {
        id: info.collection.id.to_string(),
        name: spec.name.to_string(),
        // A dimension is at most 65,536.
        dimension: u32::try_from(spec.dimension.get()).unwrap_or(u32::MAX),
        metric: spec.metric.to_string(),
        score_kind: info.score_kind.as_str().to_owned(),
        schema: spec.schema.fields().iter().map(|(name, kind)| (name.clone(), kind.as_str().to_owned())).collect(),
        shards: spec.shards,
        index: Some(v1::IndexSettings {
            kind: Some(spec.index.kind.to_string()),
            m: Some(spec.index.m),
            ef_construction: Some(spec.index.ef_construction),
            ef_search: Some(spec.index.ef_search),
        }),
        description: spec.description.clone(),
        created: info.collection.created.to_string(),
        records: info.records,
        stored_bytes: info.stored_bytes,
        shards_unavailable: info.shards_unavailable,
    }
}
