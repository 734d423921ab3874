//! The JSON bodies that requests have. Twins only: what they mean is decided in `convert.rs`.

use proximadb_model::limits::{BATCH_OPERATIONS_MAX, SEARCH_BATCH_MAX};
use proximadb_model::{FieldType, IndexKind, MetricKind, Timestamp};

use crate::json::{Components, Dictionary, Fields, FromText, Id, Json, List, VectorFormat, strict_object};

strict_object! {
    /// Body of `POST /v1/collections`.
    CreateCollection {
        name: String,
        dimension: u64,
        metric: FromText<MetricKind>,
        schema: Dictionary<FromText<FieldType>>,
        shards: u32,
        index: Index,
        description: String,
    }
}

strict_object! {
    /// Index settings; what is absent keeps the value it has.
    Index {
        kind: FromText<IndexKind>,
        m: u32,
        ef_construction: u32,
        ef_search: u32,
    }
}

strict_object! {
    /// Body of `PATCH /v1/collections/{collection}`.
    UpdateCollection {
        description: String,
        index: Index,
    }
}

strict_object! {
    /// A record to be written; stands at the third level of its body.
    NewRecord {
        id: Id,
        vector: Components,
        metadata: Fields<3>,
        expires: FromText<Timestamp>,
    }
}

strict_object! {
    /// A patch of a record; stands at the third level of its body.
    NewPatch {
        id: Id,
        metadata: Fields<3>,
        vector: Components,
    }
}

strict_object! {
    /// Body of `POST …/records`.
    Write {
        upsert: List<NewRecord, BATCH_OPERATIONS_MAX>,
        insert: List<NewRecord, BATCH_OPERATIONS_MAX>,
        patch: List<NewPatch, BATCH_OPERATIONS_MAX>,
        delete: List<Id, BATCH_OPERATIONS_MAX>,
        delete_where: Json<1>,
        durability: String,
    }
}

strict_object! {
    /// Body of `POST …/records/get`.
    GetRecords {
        ids: List<Id, BATCH_OPERATIONS_MAX>,
        with_vector: bool,
        with_metadata: bool,
        vector_format: FromText<VectorFormat>,
    }
}

strict_object! {
    /// Body of `POST …/search`, and an element of a batch.
    Search<const AT> {
        vector: Components,
        id: Id,
        k: u64,
        offset: u64,
        filter: Json<AT>,
        ef: u64,
        recall_target: f32,
        exact: bool,
        score_threshold: f32,
        with_vector: bool,
        with_metadata: bool,
        vector_format: FromText<VectorFormat>,
        explain: bool,
        timeout_ms: u64,
    }
}

strict_object! {
    /// Body of `POST …/search/batch`.
    SearchBatch {
        queries: List<Search<3>, SEARCH_BATCH_MAX>,
    }
}

strict_object! {
    /// Body of `POST …/scan`.
    Scan {
        filter: Json<1>,
        cursor: String,
        limit: u64,
        with_vector: bool,
        with_metadata: bool,
        vector_format: FromText<VectorFormat>,
    }
}

strict_object! {
    /// Body of `POST …/count`.
    Count {
        filter: Json<1>,
    }
}

strict_object! {
    /// Body of `POST …/flush`.
    Flush {}
}

strict_object! {
    /// Body of the calls that move shards, and of `POST …/accept_loss`; they have no options.
    Admin {}
}
