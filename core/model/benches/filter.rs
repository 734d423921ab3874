//! Owns the measurement of filters answered from memory, over 100,000 rows: one criterion iteration makes the row set of one filter.
//!
//! `number` is a distinct number a row, `text` one of 1,000 texts, `tags` a list of up to three of 100; the shares are of all rows.
//! `matches` is the same filter asked of each row's metadata, as a memtable is. Data come from a fixed seed.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use proximadb_model::{FieldIndex, FieldIndexBuilder, Filter, Metadata, Test, Value, filter_paths};

const ROWS: usize = 100_000;

/// Marsaglia's xorshift64*, so that the bench needs no crate for its data.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }
}

fn documents() -> Vec<Metadata> {
    let mut seeded = Seeded(7);
    let mut numbers: Vec<i64> = (0..ROWS as i64).collect();
    for row in (1..ROWS).rev() {
        numbers.swap(row, seeded.below(row as u64 + 1) as usize);
    }
    let document = |number: i64| {
        let tags = (0..seeded.below(4)).map(|_| Value::String(format!("tag {}", seeded.below(100)))).collect();
        let fields = BTreeMap::from([
            ("number".to_owned(), Value::Int(number)),
            ("text".to_owned(), Value::String(format!("text {:03}", seeded.below(1_000)))),
            ("tags".to_owned(), Value::Array(tags)),
        ]);
        Metadata::new(fields).expect("small")
    };
    numbers.into_iter().map(document).collect()
}

fn index_of(documents: &[Metadata], path: &str) -> FieldIndex {
    let mut builder = FieldIndexBuilder::new(documents.len());
    for (row, document) in documents.iter().enumerate() {
        if let Some(value) = document.get(path) {
            builder.push(row, value);
        }
    }
    builder.finish().expect("small")
}

fn filters() -> Vec<(String, Filter)> {
    let on = |path: &str, test: Test| Filter::Field { path: path.to_owned(), test };
    let text = |n: u64| Value::String(format!("text {n:03}"));
    let below = |share: f64| on("number", Test::Lt(Value::Int((ROWS as f64 * share) as i64)));
    let mut all: Vec<(String, Filter)> =
        [0.5, 0.1, 0.01, 0.001].iter().map(|share| (format!("range {}%", share * 100.0), below(*share))).collect();
    all.push(("text equal 0.1%".to_owned(), on("text", Test::Eq(text(7)))));
    all.push(("text prefix 10%".to_owned(), on("text", Test::Prefix("text 3".to_owned()))));
    all.push(("text in 100 of 1000".to_owned(), on("text", Test::In((0..100).map(|n| text(n * 10)).collect()))));
    all.push(("text contains 2".to_owned(), on("text", Test::Contains(Value::String("42".to_owned())))));
    all.push(("tags contain 1".to_owned(), on("tags", Test::Contains(Value::String("tag 7".to_owned())))));
    let without = Filter::Not(Box::new(on("tags", Test::Contains(Value::String("tag 7".to_owned())))));
    all.push((
        "range and text or not tags".to_owned(),
        Filter::And(vec![below(0.5), Filter::Or(vec![on("text", Test::Lt(text(300))), without])]),
    ));
    all
}

fn filter(c: &mut Criterion) {
    let documents = documents();
    let mut group = c.benchmark_group("filter");
    group.sample_size(20);
    let indexes: BTreeMap<&str, FieldIndex> = ["number", "text", "tags"].map(|path| (path, index_of(&documents, path))).into();
    for (path, index) in &indexes {
        println!("filter/{path}: {:.1} bytes a row", index.bytes() as f64 / ROWS as f64);
    }
    for (name, filter) in filters() {
        let found = filter.select(ROWS, &|path| indexes.get(path)).expect("its fields are there");
        println!("filter/{name}: {} rows over {:?}", found.count(), filter_paths(&filter));
        group.bench_function(format!("memory/{name}"), |b| b.iter(|| filter.select(ROWS, &|path| indexes.get(black_box(path)))));
    }
    let (name, range) = &filters()[1];
    group.bench_function(format!("matches/{name}"), |b| {
        b.iter(|| documents.iter().filter(|document| range.matches(black_box(document))).count())
    });
    group.bench_function("build/number", |b| b.iter(|| index_of(&documents, "number")));
    group.bench_function("build/text", |b| b.iter(|| index_of(&documents, "text")));
    group.finish();
}

criterion_group!(benches, filter);
criterion_main!(benches);
