//! Owns the codes' part of a sidecar (docs/formats/index.adoc): everything that a walk compares, as it lies in memory. Refuses to
//! know where in the file it stands.

use bytes::{Buf, BufMut};

use super::{Codes, Factor};
use crate::aligned::AlignedRows;
use crate::builtin::Measure;
use crate::sidecar::Damage;
use crate::sketch::Sketches;

/// Bytes of what stands before the mean: how rows and queries are brought to scale.
const SCALES_BYTES: usize = 12;
const FACTOR_BYTES: usize = 12;

/// What decides how long the part is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) measure: Measure,
    pub(crate) dimension: usize,
    pub(crate) rows: usize,
    /// Entries of the sketches' table, none where sketches are of no use.
    pub(crate) cosines: usize,
}

impl Extent {
    /// Bytes of the part; `None` where they are more than can be counted.
    pub(crate) fn bytes(&self) -> Option<usize> {
        let lift = if self.measure == Measure::Dot { 4 } else { 0 };
        let row = FACTOR_BYTES + lift + self.dimension + 8 * self.words();
        row.checked_mul(self.rows)?.checked_add(SCALES_BYTES + 4 * self.dimension + 4 * self.cosines)
    }

    fn words(&self) -> usize {
        if self.cosines == 0 { 0 } else { Sketches::words_for(self.dimension) }
    }
}

impl Codes {
    /// How long their part is.
    pub(crate) fn extent(&self) -> Extent {
        let (measure, rows) = (self.measure, self.factors.len());
        Extent { measure, dimension: self.dimension, rows, cosines: self.sketches.cosines().len() }
    }

    /// Writes them.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let floats = |out: &mut Vec<u8>, floats: &[f32]| floats.iter().for_each(|&x| out.put_f32_le(x));
        out.put_f64_le(self.shrink);
        out.put_f32_le(self.radius);
        floats(out, &self.mean);
        floats(out, self.sketches.cosines());
        self.factors.iter().for_each(|factor| floats(out, &[factor.scale, factor.norm, factor.length]));
        floats(out, &self.lifts);
        for node in 0..self.factors.len() as u32 {
            out.extend(self.code(node).iter().map(|&step| step as u8));
        }
        if self.sketches.is_useful() {
            for node in 0..self.factors.len() as u32 {
                self.sketches.of(node).iter().for_each(|&word| out.put_u64_le(word));
            }
        }
    }

    /// Reads them from a part of exactly the extent's length.
    ///
    /// # Errors
    /// [`Damage`] for a length that is not the extent's, and for numbers that no row gives.
    pub(crate) fn take(extent: Extent, mut part: &[u8]) -> Result<Self, Damage> {
        let Extent { measure, dimension, rows, cosines } = extent;
        if extent.bytes() != Some(part.len()) {
            return Err(Damage::Short);
        }
        let shrink = part.get_f64_le();
        let radius = part.get_f32_le();
        let mean = floats(&mut part, dimension);
        let cosines = floats(&mut part, cosines);
        let factors = floats(&mut part, 3 * rows);
        let lifts = floats(&mut part, if measure == Measure::Dot { rows } else { 0 });
        let (codes, signs) = part.split_at(rows * dimension);
        let finite = |floats: &[f32]| floats.iter().fold(true, |all, x| all & x.is_finite());
        if !(shrink.is_finite() && shrink > 0.0 && radius.is_finite() && [&mean, &cosines, &factors, &lifts].into_iter().all(|f| finite(f)))
        {
            return Err(Damage::Codes);
        }
        Ok(Self {
            dimension,
            measure,
            rows: AlignedRows::read(codes, rows, dimension, 0, |[step]: &[u8; 1]| *step as i8),
            factors: factors.as_chunks().0.iter().map(|&[scale, norm, length]| Factor { scale, norm, length }).collect(),
            sketches: Sketches::take(dimension, rows, cosines, signs)?,
            lifts,
            mean,
            shrink,
            radius,
        })
    }
}

/// Cuts off so many numbers, which the length was checked to have.
fn floats(part: &mut &[u8], count: usize) -> Vec<f32> {
    let (now, later) = part.split_at(4 * count);
    *part = later;
    now.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
