//! Owns the bytes of the sidecar of a graph by a plugin's metric (docs/formats/index.adoc). Refuses to trust a byte it has not checked.

use bytes::{Buf, BufMut, Bytes};

use crate::layers::{LAYERS_MAX, Layer};
use crate::recall::{Recalls, Tried};
use crate::sidecar::{Damage, TRIED_WITHOUT_MARGIN_BYTES, layers, layers_bytes, lists, permutation, put_layers, recalls};

const MAGIC: [u8; 4] = *b"PXGM";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 60;
const CRC_BYTES: usize = 4;

/// What a sidecar says of the segment and the metric it was made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnSidecar {
    pub(crate) metric: [u8; 32],
    pub(crate) dimension: usize,
    pub(crate) rows: usize,
    pub(crate) segment_checksum: u32,
}

/// A graph that was read: the row of each node, the layers, lowest first, and what was measured.
pub(crate) struct Read {
    pub(crate) order: Vec<u32>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) recalls: Recalls,
}

impl OwnSidecar {
    /// Writes a graph.
    pub(crate) fn encode(&self, order: &[u32], layers: &[Layer], recalls: &Recalls) -> Bytes {
        let room = HEADER_BYTES + 4 * order.len() + TRIED_WITHOUT_MARGIN_BYTES * recalls.tried().len() + layers_bytes(layers) + CRC_BYTES;
        let mut out = Vec::with_capacity(room);
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u8(0);
        out.put_u8(layers.len() as u8);
        out.put_u32_le(self.segment_checksum);
        out.put_u32_le(self.dimension as u32);
        out.put_u32_le(self.rows as u32);
        out.put_u32_le(recalls.tried().len() as u32);
        out.put_slice(&self.metric);
        out.put_u32_le(crc32c::crc32c(&out));
        debug_assert_eq!(out.len(), HEADER_BYTES);
        order.iter().for_each(|&row| out.put_u32_le(row));
        for &Tried { breadth, recall, .. } in recalls.tried() {
            out.put_u32_le(breadth);
            out.put_f32_le(recall);
        }
        put_layers(layers, &mut out);
        out.put_u32_le(crc32c::crc32c(&out));
        out.into()
    }

    /// Reads a graph. Memory is in proportion to the rows that the caller has, whatever the bytes say.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Read, Damage> {
        let (count, entries) = self.check_envelope(bytes)?;
        let body = &bytes[HEADER_BYTES..bytes.len() - CRC_BYTES];
        let (order, body) = body.split_at_checked(4 * self.rows).ok_or(Damage::Short)?;
        let (table, body) =
            entries.checked_mul(TRIED_WITHOUT_MARGIN_BYTES).and_then(|bytes| body.split_at_checked(bytes)).ok_or(Damage::Short)?;
        Ok(Read {
            order: permutation(self.rows, order)?,
            layers: layers(self.rows, count, body, lists)?,
            recalls: recalls(table, TRIED_WITHOUT_MARGIN_BYTES)?,
        })
    }

    /// Checks all that can be without reading lists; gives the number of layers and of entries of the table of recall.
    fn check_envelope(&self, bytes: &[u8]) -> Result<(usize, usize), Damage> {
        if bytes.len() < HEADER_BYTES + CRC_BYTES {
            return Err(Damage::Short);
        }
        let (content, mut crc) = bytes.split_at(bytes.len() - CRC_BYTES);
        let (mut header, mut header_crc) = content[..HEADER_BYTES].split_at(HEADER_BYTES - CRC_BYTES);
        if crc32c::crc32c(content) != crc.get_u32_le() || crc32c::crc32c(header) != header_crc.get_u32_le() {
            return Err(Damage::Checksum);
        }
        if header.copy_to_bytes(MAGIC.len()) != MAGIC[..] || header.get_u16_le() != VERSION || header.get_u8() != 0 {
            return Err(Damage::Format);
        }
        let layers = usize::from(header.get_u8());
        let segment_checksum = header.get_u32_le();
        let (dimension, rows, entries) = (header.get_u32_le() as usize, header.get_u32_le() as usize, header.get_u32_le() as usize);
        let is_ours = header == self.metric && dimension == self.dimension && rows == self.rows;
        if !is_ours || segment_checksum != self.segment_checksum {
            return Err(Damage::Foreign);
        }
        if (1..=LAYERS_MAX).contains(&layers) { Ok((layers, entries)) } else { Err(Damage::Shape) }
    }
}
