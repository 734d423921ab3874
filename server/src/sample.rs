//! The sample: sentences of our own with their embeddings, so that a first search works at once.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use proximadb_model::{CollectionName, CollectionRef, CollectionSpec, Dimension, Metadata, MetricKind, Rows, Value};
use proximadb_ports::{Change, Database, NewRecord, Query, ReadOptions, SearchRequest, WriteRequest};

use crate::say;

const NAME: &str = "sample";
const SENTENCES: &[u8] = include_bytes!("../../tests/testdata/sample/sample.parquet");
const QUERIES: &[u8] = include_bytes!("../../tests/testdata/sample/queries.parquet");

/// Loads the sample unless it is there, and shows what a search for one of its questions finds.
pub(crate) async fn load(database: &dyn Database, rest: SocketAddr) -> Result<(), Box<dyn Error>> {
    let sentences = proximadb_viper::read_plain(Bytes::from_static(SENTENCES))?;
    let name = CollectionName::new(NAME)?;
    let collection = CollectionRef::Name(name.clone());
    let spec = CollectionSpec::new(name, Dimension::new(sentences.dimension as u64)?, MetricKind::Cosine);
    database.create_collection(spec).await?;
    let count = sentences.len();
    if database.count(&collection, None).await? < count as u64 {
        let changes = (0..count).map(|row| record(&sentences, row).map(Change::Upsert)).collect::<Option<Vec<_>>>();
        let changes = changes.ok_or("the sample has a row without its columns")?;
        database.write(&collection, WriteRequest { changes, ..WriteRequest::default() }).await?;
        database.flush(&collection).await?;
    }
    say(&format!("the collection \"{NAME}\" holds {count} sentences"));
    show_search(database, &collection).await?;
    say("search it yourself, here for the neighbours of one of its sentences:");
    let body = r#"{"id": "s0046", "k": 3, "filter": {"year": {"$gte": 2000}}}"#;
    say(&format!("  curl -s http://{rest}/v1/collections/{NAME}/search -H 'content-type: application/json' -d '{body}'"));
    Ok(())
}

fn record(rows: &Rows, row: usize) -> Option<NewRecord> {
    Some(NewRecord {
        id: rows.ids.get(row)?.clone(),
        vector: rows.vector(row)?.to_vec(),
        metadata: Metadata::clone(rows.metadata.get(row)?),
        expires: None,
    })
}

async fn show_search(database: &dyn Database, collection: &CollectionRef) -> Result<(), Box<dyn Error>> {
    let questions = proximadb_viper::read_plain(Bytes::from_static(QUERIES))?;
    let question = questions.vector(0).ok_or("the sample has no question")?;
    let request = SearchRequest {
        read: ReadOptions { vector: false, metadata: true },
        ..SearchRequest::nearest(Query::Vector(question.to_vec()), 3)
    };
    let found = database.search(collection, vec![request]).await?;
    say(&format!("nearest to \"{}\":", text(questions.metadata.first().map(AsRef::as_ref))));
    for hit in found.iter().flat_map(|f| &f.hits) {
        say(&format!("  {:.3}  {}  {}", hit.score, hit.id, text(hit.metadata.as_deref())));
    }
    Ok(())
}

fn text(metadata: Option<&Metadata>) -> &str {
    match metadata.and_then(|m| m.get("text")) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}
