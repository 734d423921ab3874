//! The suite of [`SegmentStore`]: one property a guarantee, over random rows and filters. Knows no format beyond "plain Parquet".

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proximadb_model::{
    CollectionId, FieldType, FileId, Filter, Metadata, Projection, RecordId, RowSet, Rows, Schema, SegmentMeta, Sequence, ShardId, Test,
    Timestamp, Uid, Value,
};

use crate::error::{Fault, PortError, Result};
use crate::filesystem::{Filesystem, PutMode};
use crate::segment::{RowStream, SegmentReader, SegmentStore, ValueVisitor};

/// A store under test, best with row groups and pages of a few rows, so that small inputs have many.
pub trait Harness: Send {
    /// The store.
    fn store(&self) -> Arc<dyn SegmentStore>;

    /// Where the store keeps its objects, and nothing else does.
    fn filesystem(&self) -> Arc<dyn Filesystem>;
}

/// Runs every property with this many random inputs each, and prints the seed.
///
/// # Panics
/// Where the store breaks a guarantee.
pub async fn run(harness: &mut dyn Harness, seed: u64, cases: u32) {
    println!("segment conformance: seed {seed}, {cases} cases");
    g1_rows_come_back_bit_for_bit(harness, seed, cases).await;
    g2_failed_writes_leave_nothing(harness, seed).await;
    g3_damage_is_found(harness, seed, cases).await;
    g4_select_is_exact(harness, seed, cases).await;
    g5_files_are_parquet(harness, seed).await;
    g6_values_are_what_paths_lead_to(harness, seed, cases).await;
    deleted_segments_are_gone(harness, seed).await;
}

/// A source of random inputs, and of ids that no other property draws.
struct Chance {
    runner: TestRunner,
    property: u8,
    files: u32,
}

impl Chance {
    fn new(seed: u64, property: u8) -> Self {
        let mut bytes = [property; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        Self { runner, property, files: 0 }
    }

    fn draw<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        strategy.new_tree(&mut self.runner).expect("the strategies reject nothing").current()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draw(&(0..bound.max(1)))
    }

    fn file(&mut self) -> FileId {
        self.files += 1;
        let mut bytes = [self.property; 16];
        bytes[..4].copy_from_slice(&self.files.to_be_bytes());
        FileId(Uid::from_bytes(bytes))
    }
}

fn shard() -> ShardId {
    ShardId { collection: CollectionId(Uid::from_bytes([7; 16])), index: 3 }
}

/// A stream of blocks, which then ends, fails or hangs.
struct Blocks {
    blocks: std::vec::IntoIter<Rows>,
    end: End,
}

enum End {
    Ends,
    Fails,
    Hangs,
}

impl Blocks {
    fn new(blocks: Vec<Rows>, end: End) -> Self {
        Self { blocks: blocks.into_iter(), end }
    }
}

#[async_trait]
impl RowStream for Blocks {
    async fn next(&mut self) -> Result<Option<Rows>> {
        match (self.blocks.next(), &self.end) {
            (Some(rows), _) => Ok(Some(rows)),
            (None, End::Ends) => Ok(None),
            (None, End::Fails) => Err(PortError::new(Fault::Exhausted, "test.next", "rows", "injected")),
            (None, End::Hangs) => std::future::pending().await,
        }
    }
}

/// Rows of a segment, in blocks, with the schema they keep to.
#[derive(Clone, Debug)]
struct Input {
    schema: Schema,
    blocks: Vec<Rows>,
}

impl Input {
    fn whole(&self) -> Rows {
        let mut whole = Rows::new(self.blocks.first().map_or(0, |b| b.dimension));
        for block in &self.blocks {
            (0..block.len()).for_each(|row| whole.push_from(block, row));
        }
        whole
    }
}

async fn written(harness: &dyn Harness, id: FileId, input: &Input) -> SegmentMeta {
    let mut blocks = Blocks::new(input.blocks.clone(), End::Ends);
    harness.store().write(shard(), id, &input.schema, &mut blocks).await.expect("write")
}

async fn opened(harness: &dyn Harness, id: FileId, input: &Input) -> (SegmentMeta, Arc<dyn SegmentReader>) {
    let meta = written(harness, id, input).await;
    let reader = harness.store().open(shard(), &meta).await.expect("open");
    (meta, reader)
}

async fn scanned(reader: &dyn SegmentReader, projection: Projection) -> Result<Rows> {
    let mut stream = reader.scan(projection).await?;
    let mut rows: Option<Rows> = None;
    while let Some(block) = stream.next().await? {
        assert!(!block.is_empty(), "a block has rows");
        match &mut rows {
            None => rows = Some(block),
            Some(rows) => (0..block.len()).for_each(|row| rows.push_from(&block, row)),
        }
    }
    Ok(rows.expect("a segment has rows"))
}

/// The only object whose key has the id in it.
async fn object(harness: &dyn Harness, id: FileId) -> String {
    let keys = harness.filesystem().list("").await.expect("list");
    let mut keys: Vec<String> = keys.into_iter().map(|o| o.key).filter(|key| key.contains(&id.to_string())).collect();
    assert_eq!(keys.len(), 1, "objects of segment {id}");
    keys.swap_remove(0)
}

fn projected(rows: &Rows, projection: Projection) -> Rows {
    let mut rows = rows.clone();
    if !projection.vectors {
        rows.vectors.clear();
    }
    if !projection.metadata {
        rows.metadata.clear();
    }
    rows
}

/// Equal down to the signs of zeros, which `==` does not see.
fn assert_same(found: &Rows, expected: &Rows) {
    assert_eq!(found, expected);
    assert!(found.vectors.iter().map(|x| x.to_bits()).eq(expected.vectors.iter().map(|x| x.to_bits())), "bits of vectors");
    assert_eq!(format!("{:?}", found.metadata), format!("{:?}", expected.metadata), "signs and kinds of metadata");
}

const PROJECTIONS: [Projection; 4] =
    [Projection::ALL, Projection::IDS, Projection { vectors: true, metadata: false }, Projection { vectors: false, metadata: true }];

/// G1: scanning and fetching give back what was written, in the order asked.
///
/// # Panics
/// Where it does not hold.
pub async fn g1_rows_come_back_bit_for_bit(harness: &mut dyn Harness, seed: u64, cases: u32) {
    let mut chance = Chance::new(seed, 1);
    for _ in 0..cases {
        let input = chance.draw(&input());
        let expected = input.whole();
        let id = chance.file();
        let (meta, reader) = opened(harness, id, &input).await;
        assert_eq!((meta.id, meta.rows as usize, reader.rows()), (id, expected.len(), expected.len()));
        let (low, high) = (expected.sequences.iter().min().copied(), expected.sequences.iter().max().copied());
        assert_eq!((Some(meta.sequences.0), Some(meta.sequences.1)), (low, high));
        assert_eq!(meta.bytes, harness.filesystem().size(&object(harness, id).await).await.expect("size"));

        for projection in PROJECTIONS {
            assert_same(&scanned(reader.as_ref(), projection).await.expect("scan"), &projected(&expected, projection));
            let asked = chance.draw(&prop::collection::vec(0..meta.rows, 0..20));
            let mut some = Rows::new(expected.dimension);
            asked.iter().for_each(|row| some.push_from(&projected(&expected, projection), *row as usize));
            assert_same(&reader.fetch(&asked, projection).await.expect("fetch"), &some);
            if projection.metadata {
                let metadata = reader.metadata(&asked).await.expect("metadata");
                assert_eq!(format!("{metadata:?}"), format!("{:?}", some.metadata), "signs and kinds of metadata");
            }
        }
        let bits = |vectors: &[f32]| vectors.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&reader.vectors(0..expected.len()).await.expect("vectors")), bits(&expected.vectors));
        let begin = chance.below(expected.len() as u64 + 1) as usize;
        let end = begin + chance.below((expected.len() - begin) as u64 + 1) as usize;
        let part = &expected.vectors[begin * expected.dimension..end * expected.dimension];
        assert_eq!(bits(&reader.vectors(begin..end).await.expect("some vectors")), bits(part));
        let asked = chance.draw(&prop::collection::vec(0..meta.rows, 0..20));
        let some: Vec<f32> = asked.iter().flat_map(|row| expected.vector(*row as usize).expect("has vectors")).copied().collect();
        assert_eq!(bits(&reader.vectors_of(&asked).await.expect("their vectors")), bits(&some));
        assert_eq!(reader.vectors_of(&[0, meta.rows]).await.expect_err("beyond the end").fault, Fault::Invalid);
        assert_eq!(reader.vectors(0..expected.len() + 1).await.expect_err("beyond the end").fault, Fault::Invalid);
        assert!(reader.resident_bytes() > 0, "an open segment takes memory");
        let beyond = reader.fetch(&[0, meta.rows], Projection::ALL).await;
        assert_eq!(beyond.expect_err("beyond the end").fault, Fault::Invalid);
        assert_eq!(reader.metadata(&[meta.rows]).await.expect_err("beyond the end").fault, Fault::Invalid);
    }
}

/// G2: a write that fails, is refused or is dropped leaves nothing, and no write replaces a segment.
///
/// # Panics
/// Where it does not hold.
pub async fn g2_failed_writes_leave_nothing(harness: &mut dyn Harness, seed: u64) {
    let mut chance = Chance::new(seed, 2);
    let input = chance.draw(&input());
    let id = chance.file();
    let (store, filesystem) = (harness.store(), harness.filesystem());
    let before = filesystem.list("").await.expect("list");
    let mut other = input.blocks.clone();
    other.push(Rows::new(input.blocks[0].dimension + 1));
    if let Some(last) = other.last_mut() {
        let vector = vec![0.0; last.dimension];
        last.push(RecordId::new("x").expect("valid"), &vector, Arc::default(), Sequence(1), None);
    }
    let mut partial = input.blocks.clone();
    partial[0].metadata.clear();
    let refused = [
        (Blocks::new(input.blocks.clone(), End::Fails), Fault::Exhausted),
        (Blocks::new(Vec::new(), End::Fails), Fault::Exhausted),
        (Blocks::new(Vec::new(), End::Ends), Fault::Invalid),
        (Blocks::new(other, End::Ends), Fault::Invalid),
        (Blocks::new(partial, End::Ends), Fault::Invalid),
    ];
    for (mut blocks, fault) in refused {
        assert_eq!(store.write(shard(), id, &input.schema, &mut blocks).await.expect_err("must fail").fault, fault);
        assert_eq!(filesystem.list("").await.expect("list"), before);
    }
    let mut hanging = Blocks::new(input.blocks.clone(), End::Hangs);
    {
        let mut write = pin!(store.write(shard(), id, &input.schema, &mut hanging));
        for _ in 0..8 {
            assert!(matches!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        }
    }
    assert_eq!(filesystem.list("").await.expect("list"), before);

    let (_, reader) = opened(harness, id, &input).await;
    let again = store.write(shard(), id, &input.schema, &mut Blocks::new(input.blocks.clone(), End::Ends)).await;
    assert_eq!(again.expect_err("the file is there").fault, Fault::Conflict);
    assert_same(&scanned(reader.as_ref(), Projection::ALL).await.expect("scan"), &input.whole());
}

/// G3: no change to the bytes goes unnoticed, whether it happened before the segment is opened or after.
///
/// # Panics
/// Where it does not hold.
pub async fn g3_damage_is_found(harness: &mut dyn Harness, seed: u64, cases: u32) {
    let mut chance = Chance::new(seed, 3);
    let input = chance.draw(&input());
    let id = chance.file();
    let meta = written(harness, id, &input).await;
    let other = chance.file();
    written(harness, other, &input).await;
    let (store, filesystem) = (harness.store(), harness.filesystem());
    let key = object(harness, id).await;
    let good = filesystem.get(&key).await.expect("get");
    let foreign = filesystem.get(&object(harness, other).await).await.expect("get");
    let flipped = |at: u64, bit: u64| {
        let mut bytes = good.to_vec();
        bytes[at as usize] ^= 1 << bit;
        Bytes::from(bytes)
    };
    let mut bad = vec![Bytes::new(), good.slice(1..), good.slice(..good.len() - 1), Bytes::from([&good[..], &[0]].concat()), foreign];
    bad.extend((0..cases).map(|_| flipped(chance.below(meta.bytes), chance.below(8))));
    bad.extend((0..12.min(meta.bytes)).map(|from_end| flipped(meta.bytes - 1 - from_end, 0)));
    for bytes in bad {
        filesystem.put(&key, bytes, PutMode::Overwrite).await.expect("put");
        assert_eq!(store.open(shard(), &meta).await.err().expect("damaged").fault, Fault::Corrupt);
    }

    let expected = input.whole();
    for _ in 0..cases {
        filesystem.put(&key, good.clone(), PutMode::Overwrite).await.expect("put");
        let reader = store.open(shard(), &meta).await.expect("the bytes are good again");
        let bytes = flipped(chance.below(meta.bytes), chance.below(8));
        filesystem.put(&key, bytes, PutMode::Overwrite).await.expect("put");
        match scanned(reader.as_ref(), Projection::ALL).await {
            Ok(rows) => assert_same(&rows, &expected),
            Err(e) => assert_eq!(e.fault, Fault::Corrupt),
        }
        let filter = chance.draw(&filter());
        match reader.select(&filter).await {
            Ok(selection) => assert_eq!(selection.rows, matching(&expected, &filter)),
            Err(e) => assert_eq!(e.fault, Fault::Corrupt),
        }
        let rows: Vec<u32> = (0..meta.rows).rev().collect();
        match reader.vectors_of(&rows).await {
            Ok(vectors) => {
                assert_eq!(vectors, rows.iter().flat_map(|row| expected.vector(*row as usize)).flatten().copied().collect::<Vec<_>>())
            }
            Err(e) => assert_eq!(e.fault, Fault::Corrupt),
        }
    }
    filesystem.put(&key, good.slice(..good.len() / 2), PutMode::Overwrite).await.expect("put");
}

fn matching(rows: &Rows, filter: &Filter) -> RowSet {
    RowSet::from_fn(rows.len(), |row| filter.matches(&rows.metadata[row]))
}

/// G4: filters hold for exactly the rows for which `Filter::matches` says so, asked once or again.
///
/// # Panics
/// Where it does not hold.
pub async fn g4_select_is_exact(harness: &mut dyn Harness, seed: u64, cases: u32) {
    let mut chance = Chance::new(seed, 4);
    for _ in 0..cases {
        let input = chance.draw(&input());
        let expected = input.whole();
        let id = chance.file();
        let (_, reader) = opened(harness, id, &input).await;
        for _ in 0..24 {
            let filter = chance.draw(&filter());
            for _ in 0..2 {
                let selection = reader.select(&filter).await.expect("select");
                assert_eq!(selection.rows, matching(&expected, &filter), "{filter:?} over {:?}", expected.metadata);
                assert!(selection.rows_examined <= expected.len() as u64);
            }
        }
    }
}

/// Collects what it is shown, until it has seen as much as it wants.
struct Seen {
    values: BTreeMap<(usize, usize), Value>,
    wanted: usize,
}

impl ValueVisitor for Seen {
    fn value(&mut self, path: usize, row: usize, value: &Value) {
        let last = self.values.range((path, 0)..(path + 1, 0)).next_back();
        assert!(last.is_none_or(|((_, last), _)| *last < row), "rows ascend");
        self.values.insert((path, row), value.clone());
    }

    fn wants_more(&self) -> bool {
        self.values.len() < self.wanted
    }
}

/// G6: the values at any path are those that `Metadata::get` gives, row for row.
///
/// # Panics
/// Where it does not hold.
pub async fn g6_values_are_what_paths_lead_to(harness: &mut dyn Harness, seed: u64, cases: u32) {
    let fixed = ["when", "count", "price", "name", "tags", "flag", "number", "text", "list", "nowhere"];
    let paths: Vec<String> = fixed.iter().chain(&LOOSE).chain(&PATHS).map(|path| (*path).to_owned()).collect();
    let mut chance = Chance::new(seed, 7);
    for _ in 0..cases {
        let input = chance.draw(&input());
        let rows = input.whole();
        let (_, reader) = opened(harness, chance.file(), &input).await;
        let mut expected = BTreeMap::new();
        for (row, metadata) in rows.metadata.iter().enumerate() {
            expected.extend(paths.iter().enumerate().filter_map(|(path, name)| Some(((path, row), metadata.get(name)?.clone()))));
        }
        let mut seen = Seen { values: BTreeMap::new(), wanted: usize::MAX };
        reader.values(&paths, &mut seen).await.expect("values");
        assert_eq!(seen.values, expected);
        let mut nothing = Seen { values: BTreeMap::new(), wanted: 0 };
        reader.values(&paths, &mut nothing).await.expect("values");
        assert!(nothing.values.is_empty(), "who wants nothing is shown nothing");
    }
}

/// G5: a segment starts and ends as Parquet does, with its footer where Parquet has it.
///
/// # Panics
/// Where it does not hold.
pub async fn g5_files_are_parquet(harness: &mut dyn Harness, seed: u64) {
    let mut chance = Chance::new(seed, 5);
    let id = chance.file();
    let input = chance.draw(&input());
    written(harness, id, &input).await;
    let bytes = harness.filesystem().get(&object(harness, id).await).await.expect("get");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let mut length = [0; 4];
    length.copy_from_slice(&bytes[bytes.len() - 8..bytes.len() - 4]);
    assert!((u32::from_le_bytes(length) as usize) < bytes.len() - 12);
}

/// A deleted segment cannot be opened, and deleting it again is no error.
///
/// # Panics
/// Where it does not hold.
pub async fn deleted_segments_are_gone(harness: &mut dyn Harness, seed: u64) {
    let mut chance = Chance::new(seed, 6);
    let id = chance.file();
    let input = chance.draw(&input());
    let meta = written(harness, id, &input).await;
    let store = harness.store();
    for _ in 0..2 {
        store.delete(shard(), id).await.expect("delete");
        assert_eq!(store.open(shard(), &meta).await.err().expect("deleted").fault, Fault::NotFound);
    }
}

/// Fields that are declared in half of the inputs.
const DECLARED: [(&str, FieldType); 6] = [
    ("when", FieldType::DateTime),
    ("count", FieldType::Integer),
    ("price", FieldType::Float),
    ("name", FieldType::String),
    ("tags", FieldType::StringList),
    ("flag", FieldType::Bool),
];

/// Keys that take any value.
const LOOSE: [&str; 6] = ["mix", "a", "a.b", "日本", "$datetime", "m.id"];
/// Further paths that filters ask for.
const PATHS: [&str; 6] = ["a.b.c", "text.x", "mix.b", "missing", "missing.b", "name.b"];

fn text() -> impl Strategy<Value = String> {
    let few = ["", "a", "ab", "b", "ß", "日本", "\u{0}\"\\", "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"].map(str::to_owned).to_vec();
    let long = ("[ab\u{10FFFF}]{0,2}", 60usize..70).prop_map(|(end, length)| "ÿ".repeat(length) + &end);
    prop_oneof![12 => prop::sample::select(few), 1 => long]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -3i64..4, 1 => prop::sample::select(vec![i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1])]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![8 => (-6i32..7).prop_map(|n| f64::from(n) / 2.0), 1 => prop::sample::select(vec![-0.0, f64::MIN, f64::MAX, 1e16, 9007199254740992.0, 9223372036854775808.0, 0.1])]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![8 => (-1i64..3).prop_map(|s| Timestamp(s * 1_000_000)), 1 => prop::sample::select(vec![i64::MIN, -1, 1, i64::MAX]).prop_map(Timestamp)]
}

fn texts() -> impl Strategy<Value = Value> {
    prop::collection::vec(text().prop_map(Value::String), 0..4).prop_map(Value::Array)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        3 => integer().prop_map(Value::Int),
        1 => prop::sample::select(vec![1u64 << 63, u64::MAX]).prop_map(Value::from_u64),
        2 => float().prop_map(Value::Float),
        4 => text().prop_map(Value::String),
    ]
}

/// Any value, nested a little. Points in time stand only where a schema puts them.
fn value() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec!["b", "c", "b.c", "$datetime", "$$datetime"]).prop_map(str::to_owned);
    scalar().prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(keys.clone(), inner, 0..3).prop_map(Value::Object),
        ]
    })
}

/// Metadata whose keys mostly have one kind of value each, and sometimes another.
fn metadata(schema: Schema) -> impl Strategy<Value = Arc<Metadata>> {
    let key = |name: &'static str, usual: BoxedStrategy<Value>| {
        prop_oneof![5 => Just(None), 12 => usual.prop_map(Some), 1 => value().prop_map(Some)]
            .prop_map(move |value| (name.to_owned(), value))
    };
    let fixed = (
        key("when", moment().prop_map(|at| Value::String(at.to_string())).boxed()),
        key("count", integer().prop_map(Value::Int).boxed()),
        key("price", float().prop_map(Value::Float).boxed()),
        key("name", text().prop_map(Value::String).boxed()),
        key("tags", texts().boxed()),
        key("flag", any::<bool>().prop_map(Value::Bool).boxed()),
        key("number", integer().prop_map(Value::Int).boxed()),
        key("text", text().prop_map(Value::String).boxed()),
        key("list", texts().boxed()),
    );
    let loose = prop::collection::btree_map(prop::sample::select(LOOSE.to_vec()), value(), 0..3);
    (fixed, loose).prop_map(move |((a, b, c, d, e, f, g, h, i), loose)| {
        let fields = [a, b, c, d, e, f, g, h, i].into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
        let mut fields: BTreeMap<String, Value> = fields.chain(loose.into_iter().map(|(key, value)| (key.to_owned(), value))).collect();
        // What the schema refuses never reaches a segment.
        for (key, kind) in schema.fields() {
            let only = Schema::new(BTreeMap::from([(key.clone(), *kind)])).expect("a part of a schema");
            if only.apply(Metadata::new(fields.clone()).expect("small")).is_err() {
                fields.remove(key);
            }
        }
        Arc::new(schema.apply(Metadata::new(fields).expect("small")).expect("what does not fit was removed"))
    })
}

fn input() -> impl Strategy<Value = Input> {
    (1usize..9, any::<bool>()).prop_flat_map(|(dimension, declared)| {
        let fields = if declared { DECLARED.map(|(name, kind)| (name.to_owned(), kind)).into() } else { BTreeMap::new() };
        let schema = Schema::new(fields).expect("valid");
        let id = prop_oneof![3 => "[a-zé日😀]{1,8}", 1 => Just("x".repeat(256))]
            .prop_map(|text| RecordId::new(&text).expect("no control characters"));
        let component = prop_oneof![8 => -1.0f32..1.0, 1 => Just(-0.0), 1 => Just(f32::MIN_POSITIVE / 2.0), 1 => Just(f32::MAX)];
        let sequence = prop_oneof![8 => 1u64..1_000, 1 => Just(u64::MAX)].prop_map(Sequence);
        let expires = prop::option::of(prop_oneof![moment(), any::<i64>().prop_map(Timestamp)]);
        let row = (id, prop::collection::vec(component, dimension), metadata(schema.clone()), sequence, expires);
        prop::collection::vec(prop::collection::vec(row, 1..40), 1..4).prop_map(move |blocks| {
            let blocks = blocks.into_iter().map(|rows| {
                let mut block = Rows::new(dimension);
                rows.into_iter().for_each(|(id, vector, metadata, sequence, expires)| block.push(id, &vector, metadata, sequence, expires));
                block
            });
            Input { schema: schema.clone(), blocks: blocks.collect() }
        })
    })
}

fn operand() -> impl Strategy<Value = Value> {
    prop_oneof![12 => scalar(), 2 => moment().prop_map(Value::DateTime), 2 => texts(), 1 => value()]
}

fn test() -> impl Strategy<Value = Test> {
    let list = || prop::collection::vec(operand(), 0..4);
    prop_oneof![
        3 => operand().prop_map(Test::Eq),
        1 => operand().prop_map(Test::Ne),
        1 => operand().prop_map(Test::Gt),
        1 => operand().prop_map(Test::Gte),
        1 => operand().prop_map(Test::Lt),
        1 => operand().prop_map(Test::Lte),
        2 => list().prop_map(Test::In),
        1 => list().prop_map(Test::Nin),
        2 => any::<bool>().prop_map(Test::Exists),
        2 => operand().prop_map(Test::Contains),
        1 => text().prop_map(Test::Prefix),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let fixed = ["when", "count", "price", "name", "tags", "flag", "number", "text", "list"];
    let paths: Vec<&str> = fixed.iter().chain(&fixed).chain(&LOOSE).chain(&PATHS).copied().collect();
    let field = (prop::sample::select(paths), test()).prop_map(|(path, test)| Filter::Field { path: path.to_owned(), test });
    field.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}
