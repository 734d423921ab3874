//! Reads numpy's arrays as far as data sets need them: one or two dimensions, C order, little-endian. Knows nothing of indexes and
//! servers. The benches of other crates read it as a module of their own.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use proximadb_kernels::{ask_for_huge_pages, decode_f16, normalize};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A file of numpy's.
pub(crate) struct Npy {
    path: PathBuf,
    pub(crate) descriptor: String,
    columns: usize,
    pub(crate) body: Vec<u8>,
}

impl Npy {
    /// Reads a file; a single dimension is a column.
    ///
    /// # Errors
    /// What cannot be read or is something else, with its name.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let wrong = |what: &str| format!("{}: {what}", path.display());
        let bytes = fs::read(path).map_err(|e| wrong(&e.to_string()))?;
        let Some((b"\x93NUMPY\x01\x00", rest)) = bytes.split_first_chunk() else { return Err(wrong("is no npy file of version 1").into()) };
        let Some((len, rest)) = rest.split_first_chunk() else { return Err(wrong("is too short").into()) };
        let Some((header, body)) = rest.split_at_checked(u16::from_le_bytes(*len).into()) else {
            return Err(wrong("is too short").into());
        };
        let header = String::from_utf8_lossy(header);
        if !header.contains("'fortran_order': False") {
            return Err(wrong("is not in C order").into());
        }
        let between = |from: &str, to: &str| Some(header.split_once(from)?.1.split_once(to)?.0.to_owned());
        let descriptor = between("'descr': '", "'").ok_or_else(|| wrong("has no descr"))?;
        let shape = between("'shape': (", ")").ok_or_else(|| wrong("has no shape"))?;
        let sizes: Vec<usize> = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
        let columns = match sizes[..] {
            [_] => 1,
            [_, columns] if columns > 0 => columns,
            _ => return Err(wrong("has neither one dimension nor two").into()),
        };
        Ok(Self { path: path.to_owned(), descriptor, columns, body: body.to_vec() })
    }

    /// The dimension, and rows of norm one.
    ///
    /// # Errors
    /// Where it has no halves, or a row of zeros.
    pub(crate) fn vectors(&self) -> Result<(usize, Vec<f32>)> {
        if self.descriptor != "<f2" {
            return Err(format!("{}: has {}, not <f2", self.path.display(), self.descriptor).into());
        }
        let halves: Vec<u16> = self.body.as_chunks::<2>().0.iter().map(|half| u16::from_le_bytes(*half)).collect();
        // As segments have their vectors in memory.
        let mut components = Vec::with_capacity(halves.len());
        ask_for_huge_pages(components.spare_capacity_mut());
        components.resize(halves.len(), 0.0);
        decode_f16(&halves, &mut components);
        match components.chunks_mut(self.columns).position(|row| !normalize(row)) {
            Some(row) => Err(format!("{}: row {row} has no direction", self.path.display()).into()),
            None => Ok((self.columns, components)),
        }
    }

    /// The neighbours of each query; negative numbers behind them stand for nothing.
    ///
    /// # Errors
    /// Where it has no integers of 32 or 64 bits.
    pub(crate) fn neighbours(&self) -> Result<Vec<Vec<u32>>> {
        let ids: Vec<i64> = match self.descriptor.as_str() {
            "<i4" => self.body.as_chunks::<4>().0.iter().map(|id| i32::from_le_bytes(*id).into()).collect(),
            "<i8" => self.body.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id)).collect(),
            other => return Err(format!("{}: has {other}, not <i4 or <i8", self.path.display()).into()),
        };
        Ok(ids.chunks(self.columns).map(|row| row.iter().filter_map(|&id| u32::try_from(id).ok()).collect()).collect())
    }
}
