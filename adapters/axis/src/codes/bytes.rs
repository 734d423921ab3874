//! Owns the codes' part of a sidecar (docs/formats/index.adoc): everything that a walk compares, as it lies in memory. Refuses to
//! know where in the file it stands.

use bytes::{Buf, BufMut};

use super::Codes;
use crate::aligned::AlignedRows;
use crate::builtin::Measure;
use crate::heads::Heads;
use crate::sidecar::Damage;

/// Bytes of what stands before the mean: how rows and queries are brought to scale.
const SCALES_BYTES: usize = 12;

/// What decides how long the part is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) measure: Measure,
    pub(crate) dimension: usize,
    pub(crate) rows: usize,
    /// For version 2, the entries of its table for signs: none, or all rows' signs stand behind the codes.
    pub(crate) signs: Option<usize>,
}

impl Extent {
    /// Bytes of the part; `None` where they are more than can be counted.
    pub(crate) fn bytes(&self) -> Option<usize> {
        let lift = if self.measure == Measure::Dot { 4 } else { 0 };
        let signs = if self.table() == 0 { 0 } else { 8 * self.dimension.div_ceil(64) };
        let row = 4 * self.factors() + lift + self.dimension + signs;
        row.checked_mul(self.rows)?.checked_add(SCALES_BYTES + 4 * self.dimension + 4 * self.table())
    }

    fn table(&self) -> usize {
        self.signs.unwrap_or_default()
    }

    /// Numbers of a row: version 2 had its norm twice.
    fn factors(&self) -> usize {
        if self.signs.is_some() { 3 } else { 2 }
    }
}

impl Codes {
    /// How long their part is.
    pub(crate) fn extent(&self) -> Extent {
        Extent { measure: self.measure, dimension: self.dimension, rows: self.heads.count(), signs: None }
    }

    /// Writes them.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let floats = |out: &mut Vec<u8>, floats: &[f32]| floats.iter().for_each(|&x| out.put_f32_le(x));
        out.put_f64_le(self.shrink);
        out.put_f32_le(self.radius);
        floats(out, &self.mean);
        let nodes = 0..self.heads.count() as u32;
        for node in nodes.clone() {
            let head = self.heads.of(node);
            floats(out, &[head.scale, head.norm]);
        }
        if self.measure == Measure::Dot {
            nodes.clone().for_each(|node| out.put_f32_le(self.heads.of(node).lift));
        }
        nodes.for_each(|node| out.extend(self.code(node).iter().map(|&step| step as u8)));
    }

    /// Reads them from a part of exactly the extent's length.
    ///
    /// # Errors
    /// [`Damage`] for a length that is not the extent's, and for numbers that no row gives.
    pub(crate) fn take(extent: Extent, mut part: &[u8]) -> Result<Self, Damage> {
        let Extent { measure, dimension, rows, .. } = extent;
        if extent.bytes() != Some(part.len()) {
            return Err(Damage::Short);
        }
        let shrink = part.get_f64_le();
        let radius = part.get_f32_le();
        let mean = floats(&mut part, dimension);
        part.advance(4 * extent.table());
        let factors = floats(&mut part, extent.factors() * rows);
        let lifts = floats(&mut part, if measure == Measure::Dot { rows } else { 0 });
        let finite = |floats: &[f32]| floats.iter().fold(true, |all, x| all & x.is_finite());
        if !(shrink.is_finite() && shrink > 0.0 && radius.is_finite() && [&mean, &factors, &lifts].into_iter().all(|f| finite(f))) {
            return Err(Damage::Codes);
        }
        let read = AlignedRows::read(&part[..rows * dimension], rows, dimension, 0, |[step]: &[u8; 1]| *step as i8);
        let mut codes = Self { dimension, measure, rows: read, heads: Heads::new(dimension, rows), mean, shrink, radius };
        for (node, factors) in factors.chunks(extent.factors()).enumerate() {
            let lift = lifts.get(node).copied().unwrap_or_default();
            codes.heads.set(node, &codes.rows.row(node)[..dimension], factors[0], factors[1], lift);
        }
        Ok(codes)
    }
}

/// Cuts off so many numbers, which the length was checked to have.
fn floats(part: &mut &[u8], count: usize) -> Vec<f32> {
    let (now, later) = part.split_at(4 * count);
    *part = later;
    now.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
