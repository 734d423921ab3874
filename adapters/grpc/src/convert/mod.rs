//! Between messages and the words of the port, through the model's constructors. `read_*` comes in, the rest goes out.

mod admin;
mod collection;
mod filter;
mod record;
mod search;
mod status;
mod value;
mod write;

pub(crate) use admin::{loss, plugin, read_site, task};
pub(crate) use collection::{collection, read_collection_patch, read_collection_spec};
pub(crate) use filter::read_filter;
pub(crate) use record::{read_ids, read_scan, stored_record};
pub(crate) use search::{read_search, search_response};
pub(crate) use status::{assignment, index_status, server_status, site};
pub(crate) use write::{read_write, write_response};

use proximadb_model::{CollectionRef, Invalid};

/// The collection that a request names.
pub(crate) fn read_collection_ref(text: &str) -> Result<CollectionRef, Invalid> {
    CollectionRef::parse(text)
}

/// A count that this machine cannot even address is beyond every limit, and refused with them.
fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Converts each element and blames `name[i]` for one that fails.
fn each<T, U>(name: &str, list: Vec<T>, convert: impl Fn(T) -> Result<U, Invalid>) -> Result<Vec<U>, Invalid> {
    let place = |i: usize, e: Invalid| e.within(&format!("{name}[{i}]"));
    list.into_iter().enumerate().map(|(i, item)| convert(item).map_err(|e| place(i, e))).collect()
}

#[cfg(test)]
mod tests;
