//! Reading a whole log once, when it is opened. One bad file never keeps the others from being read.

use std::collections::BTreeMap;

use proximadb_model::frame::{Scan, scan};
use proximadb_ports::{Fault, Result, mutants};

use crate::index::Index;
use crate::medium::Medium;

/// Builds the index of everything in the log.
pub(crate) async fn recover(medium: &Medium) -> Result<Index> {
    let files = medium.list().await?;
    let mut proofs: BTreeMap<u32, u64> = BTreeMap::new();
    let mut scans = Vec::with_capacity(files.len());
    // Latest first: only later files say how far an earlier one was durable at its end.
    for (file, listed) in files.into_iter().rev() {
        let proof = proofs.get(&file).copied().unwrap_or(0);
        let result = read_file(medium, file, proof).await;
        if let Ok((_, scan)) = &result {
            for place in &scan.proofs {
                let known = proofs.entry(place.file).or_default();
                *known = u64::from(place.offset).max(*known);
            }
        }
        scans.push((file, listed, result));
    }
    let mut index = Index::default();
    for (file, listed, result) in scans.into_iter().rev() {
        match result {
            Ok((bytes, scan)) => {
                for damage in &scan.damage {
                    tracing::error!(file, from = damage.bytes.start, to = damage.bytes.end, "the log is damaged among durable frames");
                }
                index.add_file(file, bytes, &scan);
            }
            // Freed by another writer between the listing and the read.
            Err(Fault::NotFound) => {}
            Err(fault) => {
                tracing::error!(file, fault = fault.code(), "a log file cannot be read");
                index.add_unreadable(file, listed, fault);
            }
        }
    }
    Ok(index)
}

/// Reads one file; `proof` is how far later files say that it was durable.
pub(crate) async fn read_file(medium: &Medium, file: u32, proof: u64) -> std::result::Result<(u64, Scan), Fault> {
    let bytes = medium.read(file).await.map_err(|e| e.fault)?;
    let length = bytes.len() as u64;
    let proof = if medium.writes_whole() { length.max(1) } else { proof };
    let mut found = scan(&bytes, file, proof);
    if mutants::is_on("bug_stop_at_bad_crc")
        && let Some(damage) = found.damage.first()
    {
        let end = damage.bytes.start;
        found.batches.retain(|header| u64::from(header.place.offset) < end);
        found.damage.clear();
    }
    Ok((length, found))
}
