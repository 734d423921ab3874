//! Owns the bytes of a graph's sidecar (docs/formats/index.adoc). Refuses to know searches, and to trust a byte it has not
//! checked.

use std::thread;

use bytes::{Buf, BufMut, Bytes};

use crate::builtin::Measure;
use crate::codes::{Codes, Extent, Slack};
use crate::graph::M_RANGE;
use crate::layers::{LAYERS_MAX, Layer, Links, NONE};
use crate::recall::{Recalls, Tried};

const MAGIC: [u8; 4] = *b"PXGR";
/// The version that is written.
const VERSION: u16 = 4;
/// The version that had no margins.
const VERSION_WITHOUT_MARGINS: u16 = 3;
/// The version that had signs of its own, which the codes say too, and norms, but no recall.
const VERSION_WITH_SIGNS: u16 = 2;
/// The version that had no codes, which were made again from the rows.
const VERSION_WITHOUT_CODES: u16 = 1;
const HEADER_BYTES: usize = 28;
const LAYER_HEADER_BYTES: usize = 6;
const CRC_BYTES: usize = 4;
const SLACK_BYTES: usize = 4;
const TRIED_BYTES: usize = 12;
pub(crate) const TRIED_WITHOUT_MARGIN_BYTES: usize = 8;

/// What a sidecar says of the segment it was made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sidecar {
    pub(crate) measure: Measure,
    pub(crate) dimension: usize,
    pub(crate) rows: usize,
    pub(crate) segment_checksum: u32,
}

/// A graph that was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The row of each node.
    pub(crate) order: Vec<u32>,
    /// Lowest first.
    pub(crate) layers: Vec<Layer>,
    /// What walks compare; none in version 1.
    pub(crate) codes: Option<Codes>,
    /// What estimates by signs are given for free, as it was chosen at the build; none before version 3, when nobody tried.
    pub(crate) slack: Slack,
    /// What was measured at the build; nothing before version 3.
    pub(crate) recalls: Recalls,
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
    #[error("its codes hold numbers that no row gives")]
    Codes,
    #[error("its recall is none that can be measured")]
    Recall,
}

/// What a header says beside what it must say.
struct Header {
    version: u16,
    layers: usize,
    /// Entries of the table of recall; before version 3, of a table for signs.
    entries: usize,
}

impl Sidecar {
    /// Writes a graph.
    pub(crate) fn encode(&self, order: &[u32], layers: &[Layer], codes: &Codes, slack: Slack, recalls: &Recalls) -> Bytes {
        let lists = layers_bytes(layers);
        let extent = codes.extent();
        let mut out = Vec::with_capacity(
            HEADER_BYTES
                + extent.bytes().unwrap_or_default()
                + 4 * order.len()
                + TRIED_BYTES * recalls.tried().len()
                + SLACK_BYTES
                + lists
                + CRC_BYTES,
        );
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u8(metric_code(self.measure));
        out.put_u8(layers.len() as u8);
        out.put_u32_le(self.segment_checksum);
        out.put_u32_le(self.dimension as u32);
        out.put_u32_le(self.rows as u32);
        out.put_u32_le(recalls.tried().len() as u32);
        out.put_u32_le(crc32c::crc32c(&out));
        debug_assert_eq!(out.len(), HEADER_BYTES);
        order.iter().for_each(|&row| out.put_u32_le(row));
        for &Tried { breadth, recall, margin } in recalls.tried() {
            out.put_u32_le(breadth);
            out.put_f32_le(recall);
            out.put_f32_le(margin.unwrap_or(f32::INFINITY));
        }
        out.put_f32_le(slack.unwrap_or(f32::INFINITY));
        codes.put(&mut out);
        put_layers(layers, &mut out);
        out.put_u32_le(crc32c::crc32c(&out));
        out.into()
    }

    /// Reads a graph.
    ///
    /// Memory is in proportion to the rows that the caller has, whatever the bytes say.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Read, Damage> {
        let header = self.check_envelope(bytes)?;
        let body = &bytes[HEADER_BYTES..bytes.len() - CRC_BYTES];
        let (order, body) = body.split_at_checked(4 * self.rows).ok_or(Damage::Short)?;
        if header.version == VERSION_WITHOUT_CODES {
            let layers = layers(self.rows, header.layers, body, lists_by_length)?;
            return Ok(Read { order: permutation(self.rows, order)?, layers, codes: None, slack: None, recalls: Recalls::default() });
        }
        let is_older = header.version == VERSION_WITH_SIGNS;
        let entry = if header.version == VERSION { TRIED_BYTES } else { TRIED_WITHOUT_MARGIN_BYTES };
        let table = if is_older { 0 } else { entry * header.entries };
        let (table, body) = body.split_at_checked(table).ok_or(Damage::Short)?;
        let recalls = recalls(table, entry)?;
        let (mut slack, body) = body.split_at_checked(if is_older { 0 } else { SLACK_BYTES }).ok_or(Damage::Short)?;
        let slack = slack.try_get_f32_le().ok().filter(|&slack| slack != f32::INFINITY);
        if slack.is_some_and(|slack| !slack.is_finite()) {
            return Err(Damage::Recall);
        }
        let signs = is_older.then_some(header.entries);
        let extent = Extent { measure: self.measure, dimension: self.dimension, rows: self.rows, signs };
        let (codes, body) = extent.bytes().and_then(|bytes| body.split_at_checked(bytes)).ok_or(Damage::Short)?;
        // Codes are most of the file; the rest is read and checked meanwhile.
        let (take, rest) =
            (|| Codes::take(extent, codes), || Ok((permutation(self.rows, order)?, layers(self.rows, header.layers, body, lists)?)));
        let (codes, rest) = thread::scope(|scope| {
            match thread::Builder::new().name("axis-load".to_owned()).spawn_scoped(scope, take) {
                Ok(taking) => {
                    let rest = rest();
                    (taking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), rest)
                }
                // A thread that the system does not give is done without.
                Err(_) => (take(), rest()),
            }
        });
        let (order, layers) = rest?;
        Ok(Read { order, layers, codes: Some(codes?), slack, recalls })
    }

    /// Checks all that can be without reading lists.
    fn check_envelope(&self, bytes: &[u8]) -> Result<Header, Damage> {
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
        if header.copy_to_bytes(MAGIC.len()) != MAGIC[..] {
            return Err(Damage::Format);
        }
        let version = header.get_u16_le();
        let metric = header.get_u8();
        let layers = usize::from(header.get_u8());
        let segment_checksum = header.get_u32_le();
        let dimension = header.get_u32_le() as usize;
        let rows = header.get_u32_le() as usize;
        let entries = header.get_u32_le() as usize;
        match version {
            VERSION | VERSION_WITHOUT_MARGINS => {}
            VERSION_WITH_SIGNS if entries == 0 || (entries == self.dimension + 1 && self.dimension >= 64) => {}
            VERSION_WITHOUT_CODES if entries == 0 => {}
            _ => return Err(Damage::Format),
        }
        let is_ours = metric == metric_code(self.measure) && dimension == self.dimension && rows == self.rows;
        if !is_ours || segment_checksum != self.segment_checksum {
            return Err(Damage::Foreign);
        }
        if (1..=LAYERS_MAX).contains(&layers) { Ok(Header { version, layers, entries }) } else { Err(Damage::Shape) }
    }
}

/// Bytes that layers take.
pub(crate) fn layers_bytes(layers: &[Layer]) -> usize {
    layers.iter().map(|layer| LAYER_HEADER_BYTES + 4 * layer.nodes() * layer.width()).sum()
}

/// Writes layers as they lie in memory, lowest first.
pub(crate) fn put_layers(layers: &[Layer], out: &mut Vec<u8>) {
    for layer in layers {
        out.put_u32_le(layer.nodes() as u32);
        out.put_u16_le(layer.width() as u16);
        (0..layer.nodes() as u32).for_each(|node| layer.slots(node).iter().for_each(|&neighbour| out.put_u32_le(neighbour)));
    }
}

/// Reads a table of recall of so many bytes an entry, with or without margins.
pub(crate) fn recalls(table: &[u8], entry: usize) -> Result<Recalls, Damage> {
    Recalls::new(table.chunks_exact(entry).filter_map(tried).collect()).ok_or(Damage::Recall)
}

/// Reads the row of each node.
pub(crate) fn permutation(rows: usize, bytes: &[u8]) -> Result<Vec<u32>, Damage> {
    let order: Vec<u32> = bytes.as_chunks().0.iter().map(|row| u32::from_le_bytes(*row)).collect();
    let mut seen = vec![false; rows];
    for &row in &order {
        match seen.get_mut(row as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(Damage::Order),
        }
    }
    Ok(order)
}

/// Reads so many layers, lowest first, of which `lists` reads the lists: nodes, width, and the bytes from there on.
pub(crate) fn layers(
    rows: usize,
    count: usize,
    mut body: &[u8],
    lists: impl Fn(usize, usize, &mut &[u8]) -> Result<Layer, Damage>,
) -> Result<Vec<Layer>, Damage> {
    let mut read: Vec<Layer> = Vec::with_capacity(count);
    for _ in 0..count {
        let nodes = body.try_get_u32_le().map_err(|_| Damage::Short)? as usize;
        let width = usize::from(body.try_get_u16_le().map_err(|_| Damage::Short)?);
        // Halving keeps what all layers take together below twice the lowest.
        let fits = match read.last() {
            None => nodes == rows && width <= 2 * M_RANGE.end(),
            Some(below) => nodes > 0 && nodes <= below.nodes() / 2 && width <= *M_RANGE.end(),
        };
        if !fits || width == 0 {
            return Err(Damage::Shape);
        }
        read.push(lists(nodes, width, &mut body)?);
    }
    if body.is_empty() { Ok(read) } else { Err(Damage::Long) }
}

/// Lists as they lie in memory.
pub(crate) fn lists(nodes: usize, width: usize, body: &mut &[u8]) -> Result<Layer, Damage> {
    let (lists, later) = body.split_at_checked(4 * nodes * width).ok_or(Damage::Short)?;
    *body = later;
    Layer::read(nodes, width, lists).ok_or(Damage::Neighbour)
}

/// Lists of version 1, each after its length.
fn lists_by_length(nodes: usize, width: usize, body: &mut &[u8]) -> Result<Layer, Damage> {
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

/// Reads an entry of the table of recall, with or without a margin.
fn tried(mut entry: &[u8]) -> Option<Tried> {
    let (breadth, recall) = (entry.try_get_u32_le().ok()?, entry.try_get_f32_le().ok()?);
    let margin = entry.try_get_f32_le().ok().filter(|&margin| margin != f32::INFINITY);
    Some(Tried { breadth, recall, margin })
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
