//! Where a scan goes on: the collection and the last id, opaque to clients.

use proximadb_model::{CollectionId, Invalid};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The cursor after the record `id`.
pub(crate) fn encode(collection: CollectionId, id: &str) -> String {
    let bytes = [&collection.0.as_bytes()[..8], id.as_bytes()].concat();
    bytes.iter().flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]).map(char::from).collect()
}

/// The id that a cursor stands after.
///
/// # Errors
/// [`Invalid`] on `cursor` for text that is not a cursor of this collection.
pub(crate) fn decode(collection: CollectionId, cursor: &str) -> Result<String, Invalid> {
    let wrong = || Invalid::new("cursor", "is not a cursor that a scan of this collection gave");
    let digits: Option<Vec<u8>> = cursor.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0).ok_or_else(wrong)?;
    let bytes: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
    let id = bytes.strip_prefix(&collection.0.as_bytes()[..8]).ok_or_else(wrong)?;
    String::from_utf8(id.to_vec()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proximadb_model::Uid;

    #[test]
    fn cursors_belong_to_their_collection() {
        let (a, b) = (CollectionId(Uid([1; 16])), CollectionId(Uid([2; 16])));
        let cursor = encode(a, "doc é 1");
        assert_eq!(decode(a, &cursor).expect("own"), "doc é 1");
        for (collection, text) in [(b, cursor.as_str()), (a, ""), (a, "0"), (a, "zz"), (a, "é")] {
            assert_eq!(decode(collection, text).expect_err(text).field, "cursor");
        }
    }
}
