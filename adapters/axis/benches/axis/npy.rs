//! Reads numpy's arrays as far as data sets need them: one or two dimensions, C order, little-endian. Knows nothing of indexes.

use std::fs;
use std::path::Path;

use proximadb_kernels::{decode_f16, normalize};
use proximadb_model::RowSet;

/// A file of numpy's.
pub(crate) struct Npy {
    descriptor: String,
    columns: usize,
    body: Vec<u8>,
}

impl Npy {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(&bytes[..7], b"\x93NUMPY\x01", "{}", path.display());
        let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = String::from_utf8_lossy(&bytes[10..end]).into_owned();
        let between = |from: &str, to: &str| header.split(from).nth(1).and_then(|rest| rest.split(to).next()).expect("a header").to_owned();
        let shape = between("'shape': (", ")");
        let columns = shape.split(',').nth(1).map(str::trim).filter(|columns| !columns.is_empty());
        let columns = columns.map_or(1, |columns| columns.parse().expect("a shape"));
        Self { descriptor: between("'descr': '", "'"), columns, body: bytes[end..].to_vec() }
    }

    /// The dimension, and rows of norm one.
    pub(crate) fn vectors(&self) -> (usize, Vec<f32>) {
        assert_eq!(self.descriptor, "<f2");
        let halves: Vec<u16> = self.body.as_chunks::<2>().0.iter().map(|half| u16::from_le_bytes(*half)).collect();
        let mut floats = vec![0.0; halves.len()];
        decode_f16(&halves, &mut floats);
        floats.chunks_mut(self.columns).for_each(|row| assert!(normalize(row), "a vector of zeros has no direction"));
        (self.columns, floats)
    }

    /// The neighbours of each query; where fewer match, there are fewer.
    pub(crate) fn neighbours(&self) -> Vec<Vec<u32>> {
        let ids: Vec<i64> = match self.descriptor.as_str() {
            "<i4" => self.body.as_chunks::<4>().0.iter().map(|id| i64::from(i32::from_le_bytes(*id))).collect(),
            "<i8" => self.body.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id)).collect(),
            other => panic!("ids of {other}"),
        };
        ids.chunks(self.columns).map(|row| row.iter().filter_map(|&id| u32::try_from(id).ok()).collect()).collect()
    }

    /// The rows for which a column of truth values is true.
    pub(crate) fn rows(&self) -> RowSet {
        assert_eq!(self.descriptor, "|b1");
        RowSet::from_fn(self.body.len(), |row| self.body[row] != 0)
    }
}
