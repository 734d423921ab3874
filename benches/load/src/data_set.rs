//! Reading the set: rows, held-out queries, true neighbours, filters. Knows no server.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::npy::Npy;

/// A set on disk; rows are read as they are wanted.
pub(crate) struct DataSet {
    directory: PathBuf,
    pub(crate) name: String,
    pub(crate) queries: Vectors,
    /// The true neighbours of each query, nearest first; fewer than others where a filter leaves fewer.
    pub(crate) truth: Vec<Vec<u32>>,
    pub(crate) filter: Option<Range>,
}

/// Rows of norm one.
pub(crate) struct Vectors {
    pub(crate) dimension: usize,
    pub(crate) components: Vec<f32>,
}

impl Vectors {
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.components.chunks_exact(self.dimension)
    }
}

/// A filter of the set: a field between two integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) name: String,
    pub(crate) field: String,
    pub(crate) gte: i64,
    pub(crate) lte: i64,
}

impl DataSet {
    /// The queries of a set, and what is true of them under a filter of its `meta.json`.
    ///
    /// # Errors
    /// What cannot be read or is not what it should be, with its file.
    pub(crate) fn open(directory: &Path, filter: Option<&str>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let name = directory.canonicalize()?.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let queries = vectors(&directory.join("queries.f16.npy"))?;
        let truth = Npy::read(&directory.join(format!("gt_{}.npy", filter.unwrap_or("none"))))?.neighbours()?;
        if truth.len() != queries.rows().len() {
            return Err(format!("{} queries have true neighbours, and there are {}", truth.len(), queries.rows().len()).into());
        }
        let filter = filter.map(|name| range(&directory.join("meta.json"), name)).transpose()?;
        Ok(Self { directory: directory.to_owned(), name, queries, truth, filter })
    }

    /// The rows to be searched.
    ///
    /// # Errors
    /// As of [`DataSet::open`].
    pub(crate) fn base(&self) -> Result<Vectors, Box<dyn Error + Send + Sync>> {
        vectors(&self.directory.join("base.f16.npy"))
    }
}

fn vectors(path: &Path) -> Result<Vectors, Box<dyn Error + Send + Sync>> {
    let (dimension, components) = Npy::read(path)?.vectors()?;
    Ok(Vectors { dimension, components })
}

fn range(path: &Path, name: &str) -> Result<Range, Box<dyn Error + Send + Sync>> {
    let meta: Value = serde_json::from_slice(&fs::read(path)?)?;
    let part = |key: &str| meta.pointer(&format!("/filters/{name}/{key}")).ok_or(format!("{}: no {key} of filter {name}", path.display()));
    let number = |key: &str| part(key)?.as_i64().ok_or(format!("{}: {key} of filter {name} is no integer", path.display()));
    let field = part("field")?.as_str().ok_or(format!("{}: field of filter {name} is no text", path.display()))?.to_owned();
    Ok(Range { name: name.to_owned(), field, gte: number("gte")?, lte: number("lte")? })
}

/// The metadata of each row, one JSON object a line.
///
/// # Errors
/// A line that is no object, with its number.
pub(crate) fn read_metadata(path: &Path) -> Result<Vec<serde_json::Map<String, Value>>, Box<dyn Error + Send + Sync>> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let read = |(i, line)| serde_json::from_str(line).map_err(|e| format!("{}: line {}: {e}", path.display(), i + 1).into());
    text.lines().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descriptor: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), body].concat()
    }

    fn directory(name: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("proximadb-load-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a folder");
        for (file, bytes) in files {
            fs::write(directory.join(file), bytes).expect("a file");
        }
        directory
    }

    #[test]
    fn a_set_is_read_with_its_filter() {
        // 3 and 4 as halves: norm 5.
        let queries = npy("<f2", "1, 2", &[0x00, 0x42, 0x00, 0x44]);
        let truth = npy("<i4", "1, 3", &[7, 0, 0, 0, 9, 0, 0, 0, 255, 255, 255, 255]);
        let meta = br#"{"filters": {"f10": {"field": "month", "gte": 1, "lte": 2}}}"#.to_vec();
        let files = [("queries.f16.npy", queries), ("gt_f10.npy", truth), ("meta.json", meta)];
        let directory = directory("set", &files);
        let set = DataSet::open(&directory, Some("f10")).expect("a set");
        assert!(set.queries.components.iter().zip([0.6, 0.8]).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(set.truth, [[7, 9]]);
        assert_eq!(set.filter, Some(Range { name: "f10".into(), field: "month".into(), gte: 1, lte: 2 }));
        assert!(DataSet::open(&directory, None).err().expect("no truth").to_string().contains("gt_none.npy"));
        fs::remove_dir_all(directory).expect("the folder");
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let check = |bytes: Vec<u8>, words: &str| {
            let directory = directory("other", &[("queries.f16.npy", bytes)]);
            let error = DataSet::open(&directory, None).err().expect("refused").to_string();
            assert!(error.contains("queries.f16.npy") && error.contains(words), "{error}");
        };
        check(b"x".to_vec(), "is no npy file");
        check(npy("<f4", "1, 1", &[0; 4]), "has <f4, not <f2");
        check(npy("<f2", "1, 2, 2", &[0; 8]), "has neither one dimension nor two");
        check(npy("<f2", "1, 2", &[0; 4]), "row 0 has no direction");
    }
}
