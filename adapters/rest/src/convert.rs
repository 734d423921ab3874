//! From JSON twins to the words of the port, through the model's constructors.

use std::time::Duration;

use proximadb_model::{
    CollectionName, CollectionPatch, CollectionSpec, Dimension, Filter, IndexSettings, Invalid, Metadata, MetricKind, RecordId, Schema,
    Value,
};
use proximadb_ports::{Durability, NewPatch, NewRecord, Query, ReadOptions, ScanRequest, SearchRequest, WriteLists};

use crate::json::VectorFormat;
use crate::requests;

/// Hits of a search that does not say how many.
const K_DEFAULT: u64 = 10;
/// Records of a page that does not say how many.
const SCAN_LIMIT_DEFAULT: u64 = 100;

/// A field that must be there.
fn required<T>(field: &str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "is required"))
}

/// A count that this machine cannot even address is beyond every limit, and refused with them.
fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(crate) fn durability(word: Option<&str>) -> Result<Durability, Invalid> {
    match word {
        None | Some("sync") => Ok(Durability::Sync),
        Some("async") => Ok(Durability::Async),
        Some(_) => Err(Invalid::new("durability", "must be sync or async")),
    }
}

pub(crate) fn collection_spec(body: requests::CreateCollection) -> Result<CollectionSpec, Invalid> {
    let name = CollectionName::new(&required("name", body.name)?)?;
    let dimension = Dimension::new(required("dimension", body.dimension)?)?;
    let mut spec = CollectionSpec::new(name, dimension, body.metric.map_or(MetricKind::Cosine, |m| m.0));
    if let Some(fields) = body.schema {
        spec.schema = Schema::new(fields.0.into_iter().map(|(name, kind)| (name, kind.0)).collect())?;
    }
    spec.shards = body.shards.unwrap_or(spec.shards);
    spec.index = body.index.map_or(spec.index, |index| index_settings(index, spec.index));
    spec.description = body.description.unwrap_or_default();
    spec.check()?;
    Ok(spec)
}

/// The settings with those of the body in place of `present` ones.
fn index_settings(body: requests::Index, present: IndexSettings) -> IndexSettings {
    IndexSettings {
        kind: body.kind.map_or(present.kind, |k| k.0),
        m: body.m.unwrap_or(present.m),
        ef_construction: body.ef_construction.unwrap_or(present.ef_construction),
        ef_search: body.ef_search.unwrap_or(present.ef_search),
    }
}

/// A patch of a collection that has the `present` specification.
pub(crate) fn collection_patch(body: requests::UpdateCollection, present: &CollectionSpec) -> Result<CollectionPatch, Invalid> {
    let index = body.index.map(|index| index_settings(index, present.index));
    let mut changed = present.clone();
    changed.index = index.unwrap_or(present.index);
    changed.description = body.description.clone().unwrap_or_default();
    changed.check()?;
    Ok(CollectionPatch { description: body.description, index })
}

fn filter(value: Option<Value>) -> Result<Option<Filter>, Invalid> {
    value.as_ref().map(Filter::parse).transpose()
}

fn new_record(body: requests::NewRecord) -> Result<NewRecord, Invalid> {
    Ok(NewRecord {
        id: required("id", body.id)?.0,
        vector: required("vector", body.vector)?.0,
        metadata: Metadata::new(body.metadata.map(|m| m.0).unwrap_or_default())?,
        expires: body.expires.map(|t| t.0),
    })
}

fn new_patch(body: requests::NewPatch) -> Result<NewPatch, Invalid> {
    let id = required("id", body.id)?.0;
    if body.metadata.is_none() && body.vector.is_none() {
        return Err(Invalid::new("metadata", "one of metadata, vector is required"));
    }
    Ok(NewPatch { id, metadata: body.metadata.map(|m| m.0).unwrap_or_default(), vector: body.vector.map(|v| v.0) })
}

fn each<T, U>(name: &str, list: Option<Vec<T>>, convert: impl Fn(T) -> Result<U, Invalid>) -> Result<Vec<U>, Invalid> {
    let place = |i: usize, e: Invalid| e.within(&format!("{name}[{i}]"));
    list.unwrap_or_default().into_iter().enumerate().map(|(i, item)| convert(item).map_err(|e| place(i, e))).collect()
}

/// The lists of a write, and when to answer it.
pub(crate) fn write_lists(body: requests::Write) -> Result<(WriteLists, Durability), Invalid> {
    let given = [body.upsert.is_some(), body.insert.is_some(), body.patch.is_some(), body.delete.is_some(), body.delete_where.is_some()];
    if !given.contains(&true) {
        return Err(Invalid::new("", "one of upsert, insert, patch, delete, delete_where is required"));
    }
    let durability = durability(body.durability.as_deref())?;
    let delete_where = body.delete_where.map(|f| Filter::parse(&f.0)).transpose();
    let lists = WriteLists {
        insert: each("insert", body.insert.map(|l| l.0), new_record)?,
        upsert: each("upsert", body.upsert.map(|l| l.0), new_record)?,
        patch: each("patch", body.patch.map(|l| l.0), new_patch)?,
        delete: ids(body.delete.map(|l| l.0)),
        delete_where: delete_where
            .map_err(|e| Invalid::new(e.field.replacen("filter", "delete_where", 1), e.reason))?
            .into_iter()
            .collect(),
    };
    Ok((lists, durability))
}

fn ids(list: Option<Vec<crate::json::Id>>) -> Vec<RecordId> {
    list.unwrap_or_default().into_iter().map(|id| id.0).collect()
}

pub(crate) fn get_records(body: requests::GetRecords) -> Result<(Vec<RecordId>, ReadOptions, VectorFormat), Invalid> {
    let read = ReadOptions { vector: body.with_vector.unwrap_or(true), metadata: body.with_metadata.unwrap_or(true) };
    let ids = ids(Some(required("ids", body.ids)?.0));
    Ok((ids, read, body.vector_format.map(|f| f.0).unwrap_or_default()))
}

/// A search, and how its answer writes vectors.
pub(crate) fn search<const AT: usize>(body: requests::Search<AT>) -> Result<(SearchRequest, VectorFormat), Invalid> {
    let query = match (body.vector, body.id) {
        (Some(vector), None) => Query::Vector(vector.0),
        (None, Some(id)) => Query::Record(id.0),
        (Some(_), Some(_)) => return Err(Invalid::new("id", "only one of vector, id may be given")),
        (None, None) => return Err(Invalid::new("vector", "one of vector, id is required")),
    };
    let request = SearchRequest {
        query,
        k: count(body.k.unwrap_or(K_DEFAULT)),
        offset: count(body.offset.unwrap_or(0)),
        filter: filter(body.filter.map(|f| f.0))?,
        ef: body.ef.map(count),
        recall_target: body.recall_target,
        exact: body.exact.unwrap_or(false),
        score_threshold: body.score_threshold,
        read: ReadOptions { vector: body.with_vector.unwrap_or(false), metadata: body.with_metadata.unwrap_or(true) },
        timeout: body.timeout_ms.map(Duration::from_millis),
        explain: body.explain.unwrap_or(false),
    };
    request.check()?;
    Ok((request, body.vector_format.map(|f| f.0).unwrap_or_default()))
}

pub(crate) fn search_batch(body: requests::SearchBatch) -> Result<(Vec<SearchRequest>, Vec<VectorFormat>), Invalid> {
    let queries = required("queries", body.queries)?.0;
    Ok(each("queries", Some(queries), search)?.into_iter().unzip())
}

pub(crate) fn scan(body: requests::Scan) -> Result<(ScanRequest, VectorFormat), Invalid> {
    let request = ScanRequest {
        filter: filter(body.filter.map(|f| f.0))?,
        cursor: body.cursor,
        limit: count(body.limit.unwrap_or(SCAN_LIMIT_DEFAULT)),
        read: ReadOptions { vector: body.with_vector.unwrap_or(false), metadata: body.with_metadata.unwrap_or(true) },
    };
    request.check()?;
    Ok((request, body.vector_format.map(|f| f.0).unwrap_or_default()))
}

pub(crate) fn count_filter(body: requests::Count) -> Result<Option<Filter>, Invalid> {
    filter(body.filter.map(|f| f.0))
}
