//! What a request must be before any engine looks at it: the limits of size, the same for every transport.
//!
//! Knows no collection, so dimension, metric and schema are checked further in.

use std::collections::BTreeMap;

use proximadb_model::limits::{
    BATCH_OPERATIONS_MAX, DIMENSION_MAX, EF_MAX, IDEMPOTENCY_KEY_BYTES_MAX, K_MAX, SCAN_PAGE_MAX, TIMEOUT_MS_MAX, WINDOW_MAX,
};
use proximadb_model::{Filter, Invalid, Metadata, RecordId, SiteId, Value};

use crate::database::{Change, NewRecord, Query, ScanRequest, SearchRequest, WriteRequest};

/// Checks what can be said of components without their collection: their number, and that each is finite.
///
/// # Errors
/// [`Invalid`] on `vector`, with the place of the first bad component where there is one.
pub fn check_components(components: &[f32]) -> Result<(), Invalid> {
    if components.is_empty() || components.len() > DIMENSION_MAX {
        return Err(Invalid::new("vector", format!("must have 1 to {DIMENSION_MAX} components, got {}", components.len())));
    }
    match components.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Invalid::new(format!("vector[{i}]"), "must be a finite 32-bit number")),
        None => Ok(()),
    }
}

/// Checks the words by which a site is named: its uuid, or its number in the configuration.
///
/// # Errors
/// [`Invalid`] on `site`.
pub fn check_site(name: &str) -> Result<(), Invalid> {
    let number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) && name.parse::<u32>().is_ok();
    let known = number || name.parse::<SiteId>().is_ok();
    if known { Ok(()) } else { Err(Invalid::new("site", "must be the uuid of a site or its number in the configuration")) }
}

fn check_range(field: &str, value: u64, low: u64, high: u64) -> Result<(), Invalid> {
    let fits = (low..=high).contains(&value);
    if fits { Ok(()) } else { Err(Invalid::new(field, format!("must be {low} to {high}, got {value}"))) }
}

impl SearchRequest {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`Invalid`] naming the field as a request has it: `k`, `offset`, `ef`, `vector[3]`, …
    pub fn check(&self) -> Result<(), Invalid> {
        check_range("k", self.k as u64, 1, K_MAX as u64)?;
        if self.offset > WINDOW_MAX - self.k {
            return Err(Invalid::new("offset", format!("k + offset must be at most {WINDOW_MAX}")));
        }
        if let Some(ef) = self.ef {
            check_range("ef", ef as u64, 1, EF_MAX as u64)?;
        }
        if let Some(target) = self.recall_target {
            if !(target > 0.0 && target <= 1.0) {
                return Err(Invalid::new("recall_target", format!("must be more than 0 and at most 1, got {target}")));
            }
            if self.ef.is_some() {
                return Err(Invalid::new("recall_target", "only one of ef, recall_target may be given"));
            }
        }
        if self.score_threshold.is_some_and(|t| !t.is_finite()) {
            return Err(Invalid::new("score_threshold", "must be a finite 32-bit number"));
        }
        if let Some(timeout) = self.timeout {
            check_range("timeout_ms", u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), 1, TIMEOUT_MS_MAX)?;
        }
        if let Query::Vector(components) = &self.query {
            check_components(components)?;
        }
        self.filter.as_ref().map_or(Ok(()), Filter::check)
    }
}

impl ScanRequest {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`Invalid`] on `limit` or in `filter`.
    pub fn check(&self) -> Result<(), Invalid> {
        check_range("limit", self.limit as u64, 1, SCAN_PAGE_MAX as u64)?;
        self.filter.as_ref().map_or(Ok(()), Filter::check)
    }
}

impl WriteRequest {
    /// Checks the key, and that changes come in one way only; the changes themselves were checked by
    /// [`WriteLists::into_changes`].
    ///
    /// # Errors
    /// [`Invalid`] on `idempotency_key` or `avro`.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(key) = &self.idempotency_key {
            let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && !key.chars().any(char::is_control);
            if !fits {
                let reason = format!("must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes without control characters");
                return Err(Invalid::new("idempotency_key", reason));
            }
        }
        match &self.encoded {
            Some(_) if !self.changes.is_empty() => Err(Invalid::new("avro", "must be the only changes of its request")),
            Some(encoded) if encoded.payload.is_empty() => Err(Invalid::new("avro", "must not be empty")),
            _ => Ok(()),
        }
    }
}

/// A change of metadata, and perhaps of the vector, of a record that must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPatch {
    /// The record.
    pub id: RecordId,
    /// A merge patch: null removes a key.
    pub metadata: BTreeMap<String, Value>,
    /// A new vector.
    pub vector: Option<Vec<f32>>,
}

/// The lists that a write comes in over any transport, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteLists {
    /// Records that must not be there.
    pub insert: Vec<NewRecord>,
    /// Records, whether they are there or not.
    pub upsert: Vec<NewRecord>,
    /// Patches.
    pub patch: Vec<NewPatch>,
    /// Ids to delete.
    pub delete: Vec<RecordId>,
    /// Filters to delete by.
    pub delete_where: Vec<Filter>,
}

impl WriteLists {
    /// Checks every limit that needs no collection and puts the changes in order.
    ///
    /// # Errors
    /// [`Invalid`] naming the place in the lists, such as `upsert[3].vector[0]`.
    pub fn into_changes(self) -> Result<Vec<Change>, Invalid> {
        let mut total = 0usize;
        for (name, len) in ChangeOrder::of(&self).0 {
            total = total.saturating_add(len);
            if total > BATCH_OPERATIONS_MAX {
                return Err(Invalid::new(name, format!("the request has more than {BATCH_OPERATIONS_MAX} changes")));
            }
        }
        let mut changes = Vec::with_capacity(total);
        for (i, record) in self.insert.into_iter().enumerate() {
            check_components(&record.vector).map_err(|e| e.within(&format!("insert[{i}]")))?;
            changes.push(Change::Insert(record));
        }
        for (i, record) in self.upsert.into_iter().enumerate() {
            check_components(&record.vector).map_err(|e| e.within(&format!("upsert[{i}]")))?;
            changes.push(Change::Upsert(record));
        }
        for (i, patch) in self.patch.into_iter().enumerate() {
            changes.push(checked_patch(patch).map_err(|e| e.within(&format!("patch[{i}]")))?);
        }
        changes.extend(self.delete.into_iter().map(Change::Delete));
        for (i, filter) in self.delete_where.into_iter().enumerate() {
            filter.check().map_err(|e| Invalid::new(e.field.replacen("filter", &format!("delete_where[{i}]"), 1), e.reason))?;
            changes.push(Change::DeleteWhere(filter));
        }
        Ok(changes)
    }
}

fn checked_patch(patch: NewPatch) -> Result<Change, Invalid> {
    if let Some(components) = &patch.vector {
        check_components(components)?;
    }
    let metadata = Metadata::new(patch.metadata)?.into_fields();
    Ok(Change::Patch { id: patch.id, metadata, vector: patch.vector })
}

/// Where each change of a [`WriteRequest`] stood in the lists of its request.
///
/// An engine blames `changes[i]`, since it sees no lists; a client understands only the lists that it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeOrder([(&'static str, usize); 5]);

impl ChangeOrder {
    /// The order of these lists.
    pub fn of(lists: &WriteLists) -> Self {
        Self([
            ("insert", lists.insert.len()),
            ("upsert", lists.upsert.len()),
            ("patch", lists.patch.len()),
            ("delete", lists.delete.len()),
            ("delete_where", lists.delete_where.len()),
        ])
    }

    /// The field as the client knows it: `changes[7].vector` becomes `upsert[3].vector`; other fields stay.
    pub fn client_field(&self, field: &str) -> String {
        self.translate(field).unwrap_or_else(|| field.to_owned())
    }

    fn translate(&self, field: &str) -> Option<String> {
        let (index, rest) = field.strip_prefix("changes[")?.split_once(']')?;
        let mut index: usize = index.parse().ok()?;
        for (name, len) in self.0 {
            if index < len {
                return Some(format!("{name}[{index}]{rest}"));
            }
            index -= len;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::ReadOptions;

    fn record(vector: Vec<f32>) -> NewRecord {
        NewRecord { id: RecordId::new("a").expect("valid"), vector, metadata: Metadata::default(), expires: None }
    }

    fn refused(lists: WriteLists) -> String {
        lists.into_changes().expect_err("is beyond a limit").field
    }

    #[test]
    fn searches_name_the_field_beyond_its_limit() {
        let check = |edit: fn(&mut SearchRequest), field: Option<&str>| {
            let mut request = SearchRequest::nearest(Query::Vector(vec![1.0]), 10);
            edit(&mut request);
            assert_eq!(request.check().err().map(|e| e.field).as_deref(), field);
        };
        check(|_| (), None);
        check(|r| r.k = 0, Some("k"));
        check(|r| r.k = K_MAX + 1, Some("k"));
        check(|r| r.k = usize::MAX, Some("k"));
        check(|r| r.offset = WINDOW_MAX - 10, None);
        check(|r| r.offset = WINDOW_MAX - 9, Some("offset"));
        check(|r| r.offset = usize::MAX, Some("offset"));
        check(|r| r.ef = Some(0), Some("ef"));
        check(|r| r.ef = Some(EF_MAX + 1), Some("ef"));
        check(|r| r.score_threshold = Some(f32::NAN), Some("score_threshold"));
        check(|r| r.timeout = Some(std::time::Duration::ZERO), Some("timeout_ms"));
        check(|r| r.timeout = Some(std::time::Duration::MAX), Some("timeout_ms"));
        check(|r| r.query = Query::Vector(vec![]), Some("vector"));
        check(|r| r.query = Query::Vector(vec![0.0, f32::INFINITY]), Some("vector[1]"));
        check(|r| r.query = Query::Vector(vec![0.0; DIMENSION_MAX + 1]), Some("vector"));
        check(|r| r.filter = Some(Filter::Or(vec![Filter::And(vec![]); 2_000])), Some("filter"));
    }

    #[test]
    fn a_site_is_named_by_its_uuid_or_its_number() {
        for good in ["0", "1", "007", "4294967295", "02020202-0202-0202-0202-020202020202"] {
            assert_eq!(check_site(good), Ok(()), "{good}");
        }
        for bad in ["", "4294967296", "-1", "+1", "1 ", "one", "../x", "02020202-0202-0202-0202-02020202020"] {
            assert_eq!(check_site(bad).expect_err(bad).field, "site");
        }
    }

    #[test]
    fn scans_have_pages_of_a_limited_size() {
        for (limit, fits) in [(0, false), (1, true), (SCAN_PAGE_MAX, true), (SCAN_PAGE_MAX + 1, false)] {
            let request = ScanRequest { filter: None, cursor: None, limit, read: ReadOptions { vector: false, metadata: true } };
            assert_eq!(request.check().is_ok(), fits, "{limit}");
        }
    }

    #[test]
    fn writes_name_the_place_in_their_lists() {
        let good = || record(vec![1.0]);
        assert_eq!(refused(WriteLists { upsert: vec![good(), record(vec![1.0, f32::NAN])], ..Default::default() }), "upsert[1].vector[1]");
        assert_eq!(refused(WriteLists { insert: vec![record(vec![])], ..Default::default() }), "insert[0].vector");
        let patch = NewPatch { id: good().id, metadata: [("x".to_owned(), Value::Float(f64::NAN))].into(), vector: None };
        assert_eq!(refused(WriteLists { patch: vec![patch], ..Default::default() }), "patch[0].metadata.x");
        let filter = Filter::Field { path: "$x".to_owned(), test: proximadb_model::Test::Exists(true) };
        assert_eq!(refused(WriteLists { delete_where: vec![filter], ..Default::default() }), "delete_where[0].$x");
        let delete = vec![good().id; BATCH_OPERATIONS_MAX];
        assert!(WriteLists { delete: delete.clone(), ..Default::default() }.into_changes().is_ok());
        assert_eq!(refused(WriteLists { upsert: vec![good()], delete, ..Default::default() }), "delete");
    }

    #[test]
    fn an_engines_field_becomes_the_clients() {
        let record = record(vec![1.0]);
        let lists =
            WriteLists { insert: vec![record.clone()], upsert: vec![record.clone(); 2], delete: vec![record.id; 1], ..Default::default() };
        let order = ChangeOrder::of(&lists);
        for (engine, client) in [
            ("changes[0].id", "insert[0].id"),
            ("changes[2].vector", "upsert[1].vector"),
            ("changes[3]", "delete[0]"),
            ("changes[4]", "changes[4]"),
            ("collection", "collection"),
        ] {
            assert_eq!(order.client_field(engine), client);
        }
    }

    #[test]
    fn keys_and_encoded_changes_are_checked() {
        let check = |edit: fn(&mut WriteRequest)| {
            let mut request = WriteRequest::default();
            edit(&mut request);
            request.check().err().map(|e| e.field)
        };
        assert_eq!(check(|r| r.idempotency_key = Some("k".repeat(255))), None);
        assert_eq!(check(|r| r.idempotency_key = Some("k".repeat(256))).as_deref(), Some("idempotency_key"));
        assert_eq!(check(|r| r.idempotency_key = Some(String::new())).as_deref(), Some("idempotency_key"));
        let encoded = |payload: &'static [u8]| {
            Some(proximadb_model::EncodedOperations { codec: proximadb_model::CodecId::AVRO, payload: payload.into() })
        };
        let mut request = WriteRequest { encoded: encoded(b"x"), ..Default::default() };
        assert!(request.check().is_ok());
        request.changes.push(Change::Delete(RecordId::new("a").expect("valid")));
        assert_eq!(request.check().expect_err("both").field, "avro");
        let empty = WriteRequest { encoded: encoded(b""), ..Default::default() };
        assert_eq!(empty.check().expect_err("empty").field, "avro");
    }
}
