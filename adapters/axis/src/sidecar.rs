//! Owns the bytes of a graph's sidecar (docs/formats/index.adoc). Refuses to know searches, and to trust a byte it has not
//! checked.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::builtin::Measure;
use crate::graph::M_RANGE;
use crate::layers::{LAYERS_MAX, Layer, NONE};

const MAGIC: [u8; 4] = *b"PXGR";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 28;
const CRC_BYTES: usize = 4;

/// What a sidecar says of the segment it was made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sidecar {
    pub(crate) measure: Measure,
    pub(crate) dimension: usize,
    pub(crate) rows: usize,
    pub(crate) segment_checksum: u32,
}

/// Why bytes are not the sidecar that was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Damage {
    #[error("it ends too early")]
    Short,
    #[error("bytes are left over")]
    Long,
    #[error("its checksum does not hold")]
    Checksum,
    #[error("it is no graph of this format")]
    Format,
    #[error("it was made for another segment, metric or dimension")]
    Foreign,
    #[error("its order of rows is no permutation")]
    Order,
    #[error("its layers have an impossible shape")]
    Shape,
    #[error("a neighbour does not stand on the layer")]
    Neighbour,
}

impl Sidecar {
    /// Writes a graph.
    pub(crate) fn encode(&self, order: &[u32], layers: &[Layer]) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u8(metric_code(self.measure));
        out.put_u8(layers.len() as u8);
        out.put_u32_le(self.segment_checksum);
        out.put_u32_le(self.dimension as u32);
        out.put_u32_le(self.rows as u32);
        out.put_u32_le(0);
        out.put_u32_le(crc32c::crc32c(&out));
        debug_assert_eq!(out.len(), HEADER_BYTES);
        order.iter().for_each(|&row| out.put_u32_le(row));
        for layer in layers {
            out.put_u32_le(layer.nodes() as u32);
            out.put_u16_le(layer.width() as u16);
            for node in 0..layer.nodes() as u32 {
                let list = layer.list(node);
                out.put_u16_le(list.len() as u16);
                list.iter().for_each(|&neighbour| out.put_u32_le(neighbour));
            }
        }
        out.put_u32_le(crc32c::crc32c(&out));
        out.freeze()
    }

    /// Reads a graph: the row of each node, and the layers, lowest first.
    ///
    /// Memory is in proportion to the rows that the caller has, whatever the bytes say.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<(Vec<u32>, Vec<Layer>), Damage> {
        let layers = self.check_envelope(bytes)?;
        let mut body = &bytes[HEADER_BYTES..bytes.len() - CRC_BYTES];
        let order = self.order(&mut body)?;
        let mut read: Vec<Layer> = Vec::with_capacity(layers);
        for _ in 0..layers {
            let layer = self.layer(read.last(), &mut body)?;
            read.push(layer);
        }
        if body.is_empty() { Ok((order, read)) } else { Err(Damage::Long) }
    }

    /// Checks all that can be without reading lists, and gives the number of layers.
    fn check_envelope(&self, bytes: &[u8]) -> Result<usize, Damage> {
        if bytes.len() < HEADER_BYTES + CRC_BYTES {
            return Err(Damage::Short);
        }
        let (content, mut crc) = bytes.split_at(bytes.len() - CRC_BYTES);
        if crc32c::crc32c(content) != crc.get_u32_le() {
            return Err(Damage::Checksum);
        }
        let mut header = &content[..HEADER_BYTES];
        if crc32c::crc32c(&header[..HEADER_BYTES - CRC_BYTES]) != (&header[HEADER_BYTES - CRC_BYTES..]).get_u32_le() {
            return Err(Damage::Checksum);
        }
        if header.copy_to_bytes(MAGIC.len()) != MAGIC[..] || header.get_u16_le() != VERSION {
            return Err(Damage::Format);
        }
        let metric = header.get_u8();
        let layers = usize::from(header.get_u8());
        let segment_checksum = header.get_u32_le();
        let dimension = header.get_u32_le() as usize;
        let rows = header.get_u32_le() as usize;
        let is_ours = metric == metric_code(self.measure) && dimension == self.dimension && rows == self.rows;
        if !is_ours || segment_checksum != self.segment_checksum {
            return Err(Damage::Foreign);
        }
        if header.get_u32_le() != 0 {
            return Err(Damage::Format);
        }
        if (1..=LAYERS_MAX).contains(&layers) { Ok(layers) } else { Err(Damage::Shape) }
    }

    fn order(&self, body: &mut &[u8]) -> Result<Vec<u32>, Damage> {
        if body.len() / size_of::<u32>() < self.rows {
            return Err(Damage::Short);
        }
        let mut seen = vec![false; self.rows];
        let mut order = Vec::with_capacity(self.rows);
        for _ in 0..self.rows {
            let row = body.get_u32_le();
            match seen.get_mut(row as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(Damage::Order),
            }
            order.push(row);
        }
        Ok(order)
    }

    /// Reads the layer above `below`.
    fn layer(&self, below: Option<&Layer>, body: &mut &[u8]) -> Result<Layer, Damage> {
        let nodes = body.try_get_u32_le().map_err(|_| Damage::Short)? as usize;
        let width = usize::from(body.try_get_u16_le().map_err(|_| Damage::Short)?);
        // Halving keeps what all layers take together below twice the lowest.
        let fits = match below {
            None => nodes == self.rows && width <= 2 * M_RANGE.end(),
            Some(below) => nodes > 0 && nodes <= below.nodes() / 2 && width <= *M_RANGE.end(),
        };
        if !fits || width == 0 {
            return Err(Damage::Shape);
        }
        let mut layer = Layer::empty(nodes, width);
        for node in 0..nodes as u32 {
            let len = usize::from(body.try_get_u16_le().map_err(|_| Damage::Short)?);
            let list = layer.list_mut(node).get_mut(..len).ok_or(Damage::Shape)?;
            for place in list {
                let neighbour = body.try_get_u32_le().map_err(|_| Damage::Short)?;
                if neighbour as usize >= nodes || neighbour == NONE {
                    return Err(Damage::Neighbour);
                }
                *place = neighbour;
            }
        }
        Ok(layer)
    }
}

/// The number that stands for a metric; never changed, never used again.
fn metric_code(measure: Measure) -> u8 {
    match measure {
        Measure::Cosine => 1,
        Measure::Euclidean => 2,
        Measure::Dot => 3,
        Measure::Manhattan => 4,
        Measure::Hamming => 5,
    }
}
