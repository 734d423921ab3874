//! Prints the size of a segment of normally distributed vectors, and how fast it is written, opened, scanned and filtered.
//!
//! `cargo run --release -p proximadb-viper --example measure -- [rows] [dimension] [file to leave behind]`
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use proximadb_model::{CollectionId, FileId, Filter, Metadata, Projection, RecordId, Rows, Schema, Sequence, ShardId, Test, Uid, Value};
use proximadb_ports::{Filesystem, Result, RowStream, SegmentStore};
use proximadb_sim::{SimClock, SimFilesystem};
use proximadb_viper::{Compression, ViperOptions, ViperStore};

/// Blocks that were made beforehand, so that making them is not measured.
struct Blocks(std::vec::IntoIter<Rows>);

#[async_trait]
impl RowStream for Blocks {
    async fn next(&mut self) -> Result<Option<Rows>> {
        Ok(self.0.next())
    }
}

/// Normal numbers (G. E. P. Box, M. E. Muller, 1958) over Knuth's MMIX generator.
struct Normal(u64);

impl Normal {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn next(&mut self) -> f32 {
        let (a, b) = (self.uniform(), self.uniform());
        ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
    }
}

fn blocks(rows: usize, dimension: usize) -> Vec<Rows> {
    let mut normal = Normal(1);
    let mut blocks: Vec<Rows> = Vec::new();
    for n in 0..rows {
        if n % 4_096 == 0 {
            blocks.push(Rows::new(dimension));
        }
        let fields = BTreeMap::from([
            ("year".to_owned(), Value::Int((n * 7_919 % 50) as i64 + 1_975)),
            ("score".to_owned(), Value::Float((n % 1_000) as f64 / 8.0)),
            ("lang".to_owned(), Value::String(["en", "de", "fr", "ja"][n % 4].to_owned())),
            ("tags".to_owned(), Value::Array(vec![Value::String(format!("tag-{}", n % 17)), Value::String("all".to_owned())])),
            ("nested".to_owned(), Value::Object(BTreeMap::from([("n".to_owned(), Value::Int(n as i64))]))),
        ]);
        let vector: Vec<f32> = (0..dimension).map(|_| normal.next()).collect();
        let id = RecordId::new(&format!("record-{n:08}")).expect("a valid id");
        let metadata = Arc::new(Metadata::new(fields).expect("small metadata"));
        if let Some(block) = blocks.last_mut() {
            block.push(id, &vector, metadata, Sequence(n as u64 + 1), None);
        }
    }
    blocks
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let dimension = arguments.next().map_or(Ok(384), |text| text.parse())?;
    let leave = arguments.next();
    let blocks = blocks(rows, dimension);
    let megabytes = (rows * dimension * 4) as f64 / 1e6;
    println!("{rows} rows of {dimension} components, {megabytes:.1} MB of vectors");

    for compression in [Compression::Zstd { level: 1 }, Compression::Zstd { level: 3 }, Compression::Lz4, Compression::None] {
        let filesystem = SimFilesystem::new(1);
        let port: Arc<dyn Filesystem> = Arc::new(filesystem.clone());
        let store = ViperStore::new(port, Arc::new(SimClock::new()), ViperOptions { compression, ..ViperOptions::default() });
        let shard = ShardId { collection: CollectionId(Uid::from_bytes([1; 16])), index: 0 };

        let start = Instant::now();
        let id = FileId(Uid::from_bytes([2; 16]));
        let meta = store.write(shard, id, &Schema::default(), &mut Blocks(blocks.clone().into_iter())).await?;
        let wrote = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let reader = store.open(shard, &meta).await?;
        let opened = start.elapsed().as_secs_f64();

        println!("{compression:?}: {:.1} MB", meta.bytes as f64 / 1e6);
        println!("  write {wrote:.2} s ({:.0} MB/s), open {:.0} ms", megabytes / wrote, opened * 1e3);
        let vectors = Projection { vectors: true, metadata: false };
        for (name, projection) in [("all", Projection::ALL), ("vectors", vectors), ("ids", Projection::IDS)] {
            let start = Instant::now();
            let mut stream = reader.scan(projection).await?;
            while stream.next().await?.is_some() {}
            let took = start.elapsed().as_secs_f64();
            println!("  scan {name} {took:.2} s ({:.0} MB/s of vectors)", megabytes / took);
        }
        let start = Instant::now();
        let asked: Vec<u32> = (0..10).map(|i| (i * (rows / 10)) as u32).collect();
        reader.fetch(&asked, Projection::ALL).await?;
        println!("  fetch of 10 rows {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
        for (path, test) in [
            ("year", Test::Gte(Value::Int(2_000))),
            ("score", Test::Lt(Value::Int(40))),
            ("lang", Test::Eq(Value::String("de".to_owned()))),
            ("tags", Test::Contains(Value::String("tag-3".to_owned()))),
            ("nested.n", Test::Lt(Value::Int(1_000))),
        ] {
            let filter = Filter::Field { path: path.to_owned(), test };
            let mut took = [0.0; 2];
            let mut count = 0;
            for time in &mut took {
                let start = Instant::now();
                count = reader.select(&filter).await?.rows.count();
                *time = start.elapsed().as_secs_f64() * 1e3;
            }
            println!("  select {path}: {count} rows, first {:.2} ms, then {:.3} ms", took[0], took[1]);
        }
        if let (Some(path), Some(key)) = (&leave, filesystem.keys().first()) {
            std::fs::write(path, filesystem.get(key).await?)?;
        }
    }
    Ok(())
}
