//! Owns the compact codes that a walk compares: eight bits a component with a scale a row, after the mean of all rows has been
//! taken off (the one-level form of LVQ: Aguerrebere et al., "Similarity search in the blink of an eye with compressed
//! indices", section 3). Refuses to know graphs and which rows are allowed.
//!
//! Whatever the metric, codes are compared by squared Euclidean distance. Rows for cosine are brought to norm one. Rows for the
//! dot product get one more component that brings them all to the longest row's norm, and queries a zero there: then the
//! nearest row is the one of the greatest product (Bachrach et al., "Speeding up the Xbox recommender system", section 3).

use proximadb_kernels::{active, normalize, prefetch};
use proximadb_ports::Vectors;

use crate::aligned::AlignedRows;
use crate::builtin::Measure;
use crate::sketch::{Pair, Sketches, sketch};

mod bytes;

pub(crate) use bytes::Extent;

/// Nodes on which sketches are tried out, and how many of them are compared with all the others.
const SAMPLE: usize = 2_048;
const SAMPLE_PROBES: usize = 32;
/// How many count as near, and which of the others are those that sketches should tell from them.
const SAMPLE_NEAR: usize = 16;
const SAMPLE_OTHERS: std::ops::Range<usize> = 128..256;
/// Nodes that are sifted at a time at most: a list of the widest layer.
const SIFTED_MAX: usize = 256;
const LEVELS: f32 = 127.0;
/// Adding it to a number of less than 2^22 leaves the nearest integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// Components of a query that is farther than this from rows whose components are at most one, cannot matter more.
const FARTHEST: f32 = 1e15;

/// What a stored row adds to its product with a query.
#[derive(Clone, Copy, Debug, Default)]
struct Factor {
    /// What one step of the code is worth.
    scale: f32,
    /// The squared norm of what the code stands for, the additional component's square included.
    norm: f32,
    /// The norm of what the code stands for, without that component.
    length: f32,
}

/// The codes of a segment's rows, in the graph's order of nodes.
#[derive(Debug)]
pub(crate) struct Codes {
    dimension: usize,
    measure: Measure,
    rows: AlignedRows<i8>,
    factors: Vec<Factor>,
    sketches: Sketches,
    /// The additional component of rows for the dot product; empty for others.
    lifts: Vec<f32>,
    mean: Vec<f32>,
    /// Brings the largest component of all rows to one.
    shrink: f64,
    /// The norm that queries for the dot product are brought to.
    radius: f32,
}

/// A query, or a row in its place, ready to be compared with codes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe<'a> {
    code: &'a [i8],
    /// The key is `constant + norm * row.norm - product * row.scale * code·code - lift * row.lift`.
    constant: f32,
    norm: f32,
    product: f32,
    lift: f32,
    signs: &'a [u64],
    /// Times the row's length and the cosine between them it is what the product takes off.
    reach: f32,
}

/// A query's own code.
#[derive(Debug)]
pub(crate) struct QueryCode {
    code: AlignedRows<i8>,
    norm: f32,
    signs: Vec<u64>,
    length: f32,
}

impl Codes {
    /// Whether rows can be walked by codes under this measure.
    pub(crate) fn supports(measure: Measure) -> bool {
        matches!(measure, Measure::Cosine | Measure::Euclidean | Measure::Dot)
    }

    /// Encodes the rows of `vectors` in the order of `order`; the same rows give the same codes on every machine.
    pub(crate) fn encode(vectors: &Vectors, measure: Measure, order: &[u32]) -> Self {
        let dimension = vectors.dimension;
        let mut codes = Self {
            dimension,
            measure,
            rows: AlignedRows::filled(order.len(), AlignedRows::<i8>::stride_for(dimension), 0),
            factors: vec![Factor::default(); order.len()],
            sketches: Sketches::new(dimension, order.len()),
            lifts: Vec::new(),
            mean: vec![0.0; dimension],
            shrink: 1.0,
            radius: 0.0,
        };
        if measure != Measure::Cosine {
            let largest = vectors.data.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
            codes.shrink = if largest > 0.0 { 1.0 / f64::from(largest) } else { 1.0 };
        }
        let mut row = vec![0.0; dimension];
        codes.mean = codes.mean_of(vectors, &mut row);
        for (node, &id) in order.iter().enumerate() {
            codes.place(original(vectors, id), &mut row);
            let code = &mut codes.rows.row_mut(node)[..dimension];
            let scale = quantize(&row, code);
            let length = scale * steps_length(code);
            codes.factors[node] = Factor { scale, norm: length * length, length };
            codes.sketches.set(node, &row);
        }
        let (near, others) = codes.pairs();
        codes.sketches.calibrate(&near, &others);
        if measure == Measure::Dot {
            codes.lift();
        }
        codes
    }

    /// Bytes that they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.sketches.bytes() + size_of_val(&*self.factors) + size_of_val(&*self.lifts) + size_of_val(&*self.mean)
    }

    /// Encodes a query of the rows' dimension.
    pub(crate) fn query(&self, query: &[f32], into: &mut QueryCode, buffer: &mut Vec<f32>) {
        buffer.resize(self.dimension, 0.0);
        self.place_query(query, buffer);
        if into.code.stride() != self.rows.stride() {
            *into = QueryCode::of_stride(self.rows.stride());
        }
        let scale = quantize(buffer, &mut into.code.row_mut(0)[..self.dimension]);
        into.length = steps_length(&into.code.row(0)[..self.dimension]);
        into.signs.resize(self.sketches.words(), 0);
        sketch(buffer, &mut into.signs);
        // Keys of one query are compared with each other only: all are divided by twice the query's scale.
        into.norm = if scale > 0.0 { (0.5 / scale).min(FARTHEST) } else { 1.0 };
    }

    /// What compares a query.
    pub(crate) fn probe<'a>(&self, query: &'a QueryCode) -> Probe<'a> {
        let code = &query.code.row(0)[..self.dimension];
        Probe { code, constant: 0.0, norm: query.norm, product: 1.0, lift: 0.0, signs: &query.signs, reach: query.length }
    }

    /// What compares a row with others; its keys are squared distances.
    pub(crate) fn probe_node(&self, node: u32) -> Probe<'_> {
        let Factor { scale, norm, length } = self.factors[node as usize];
        let code = &self.rows.row(node as usize)[..self.dimension];
        let lift = self.lifts.get(node as usize).map_or(0.0, |lift| 2.0 * lift);
        Probe { code, constant: norm, norm: 1.0, product: 2.0 * scale, lift, signs: self.sketches.of(node), reach: 2.0 * length }
    }

    /// Asks for what comparing these nodes needs beside their codes.
    #[inline]
    pub(crate) fn prefetch_factor(&self, node: u32) {
        if let Some(factor) = self.factors.get(node as usize) {
            prefetch(std::slice::from_ref(factor));
        }
    }

    /// The keys of nodes: smaller is nearer. `products` is room for as many.
    #[inline]
    pub(crate) fn keys(&self, probe: &Probe<'_>, nodes: &[u32], products: &mut Vec<i32>, mut each: impl FnMut(u32, f32)) {
        products.clear();
        products.resize(nodes.len(), 0);
        active().dot_i8.gather(probe.code, self.rows.all(), self.rows.stride(), nodes, products);
        if probe.lift == 0.0 {
            for (&node, &product) in nodes.iter().zip(products.iter()) {
                let Factor { scale, norm, .. } = self.factors[node as usize];
                each(node, probe.constant + probe.norm * norm - probe.product * scale * product as f32);
            }
        } else {
            for (&node, &product) in nodes.iter().zip(products.iter()) {
                let Factor { scale, norm, .. } = self.factors[node as usize];
                let lift = probe.lift * self.lifts[node as usize];
                each(node, probe.constant + probe.norm * norm - probe.product * scale * product as f32 - lift);
            }
        }
    }

    /// Drops the nodes whose keys are most likely beyond `bound`; it may drop some that are just within.
    #[inline]
    pub(crate) fn sift(&self, probe: &Probe<'_>, nodes: &mut Vec<u32>, differing: &mut Vec<u32>, bound: f32) {
        if !self.sketches.is_useful() {
            return;
        }
        let mut kept = 0;
        let (read, mut keep) = (&*nodes, [0u32; SIFTED_MAX]);
        if read.len() > SIFTED_MAX {
            return;
        }
        self.sketches.each(probe.signs, read, differing, |at, cosine| {
            let node = read[at];
            let Factor { norm, length, .. } = self.factors[node as usize];
            let lift = if probe.lift == 0.0 { 0.0 } else { probe.lift * self.lifts[node as usize] };
            keep[kept] = node;
            kept += usize::from(probe.constant + probe.norm * norm - probe.reach * length * cosine - lift < bound);
        });
        nodes.clear();
        nodes.extend_from_slice(&keep[..kept]);
    }

    /// The key of one node.
    #[inline]
    pub(crate) fn key(&self, probe: &Probe<'_>, node: u32) -> f32 {
        let Factor { scale, norm, .. } = self.factors[node as usize];
        let product = active().dot_i8.row(probe.code, &self.rows.row(node as usize)[..self.dimension]) as f32;
        let lift = if probe.lift == 0.0 { 0.0 } else { probe.lift * self.lifts[node as usize] };
        probe.constant + probe.norm * norm - probe.product * scale * product - lift
    }

    /// Where a row lies in the space that codes divide.
    fn place(&self, row: &[f32], into: &mut [f32]) {
        if self.measure == Measure::Cosine {
            into.copy_from_slice(row);
            normalize(into);
            into.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x -= mean);
        } else {
            let shrink = self.shrink;
            for ((x, &component), mean) in into.iter_mut().zip(row).zip(&self.mean) {
                *x = (f64::from(component) * shrink) as f32 - mean;
            }
        }
    }

    fn place_query(&self, query: &[f32], into: &mut [f32]) {
        if self.measure == Measure::Dot {
            into.copy_from_slice(query);
            normalize(into);
            into.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x = *x * self.radius - mean);
        } else {
            self.place(query, into);
            into.iter_mut().for_each(|x| *x = x.clamp(-FARTHEST, FARTHEST));
        }
    }

    fn mean_of(&self, vectors: &Vectors, row: &mut [f32]) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.dimension];
        for id in 0..vectors.rows() {
            self.place(original(vectors, id as u32), row);
            sums.iter_mut().zip(row.iter()).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let rows = vectors.rows().max(1) as f64;
        sums.into_iter().map(|sum| (sum / rows) as f32).collect()
    }

    /// For a few nodes their nearest of a sample, and others of the sample that are not far either; none of few rows.
    fn pairs(&self) -> (Vec<Pair>, Vec<Pair>) {
        let (mut near, mut others) = (Vec::new(), Vec::new());
        if self.factors.len() < SAMPLE {
            return (near, others);
        }
        let sample: Vec<u32> = (0..SAMPLE as u32).collect();
        let mut products = Vec::new();
        for one in (0..SAMPLE as u32).step_by(SAMPLE / SAMPLE_PROBES) {
            let mut keys = Vec::with_capacity(SAMPLE);
            self.keys(&self.probe_node(one), &sample, &mut products, |other, key| keys.push((key, other)));
            keys.retain(|&(_, other)| other != one);
            keys.sort_by(|a, b| a.0.total_cmp(&b.0));
            let bound = self.cosine(one, keys[SAMPLE_NEAR - 1].1);
            let pair = |&(_, other): &(f32, u32)| Pair { one, other, cosine: self.cosine(one, other), bound };
            near.extend(keys[..SAMPLE_NEAR].iter().map(pair));
            others.extend(keys[SAMPLE_OTHERS].iter().map(pair));
        }
        near.retain(|pair: &Pair| pair.cosine.is_finite());
        (near, others)
    }

    /// The cosine between two rows once the mean is taken off; not a number where one of them is the mean.
    fn cosine(&self, one: u32, other: u32) -> f32 {
        let (a, b) = (&self.factors[one as usize], &self.factors[other as usize]);
        let product = a.scale * b.scale * active().dot_i8.row(self.code(one), self.code(other)) as f32;
        product / (a.length * b.length)
    }

    fn code(&self, node: u32) -> &[i8] {
        &self.rows.row(node as usize)[..self.dimension]
    }

    /// Brings all rows to the longest one's norm by one more component.
    fn lift(&mut self) {
        let squared = |node: usize| {
            let scale = self.factors[node].scale;
            let code = &self.rows.row(node)[..self.dimension];
            code.iter().zip(&self.mean).map(|(&step, mean)| (scale * f32::from(step) + mean).powi(2)).sum::<f32>()
        };
        let norms: Vec<f32> = (0..self.factors.len()).map(squared).collect();
        let longest = norms.iter().copied().fold(0.0, f32::max);
        self.radius = longest.sqrt();
        self.lifts = norms.iter().map(|norm| (longest - norm).max(0.0).sqrt()).collect();
        for (factor, lift) in self.factors.iter_mut().zip(&self.lifts) {
            factor.norm += lift * lift;
        }
    }
}

impl QueryCode {
    /// Room for a query; grows to an index's stride when first used with it.
    pub(crate) fn empty() -> Self {
        Self::of_stride(0)
    }

    fn of_stride(stride: usize) -> Self {
        Self { code: AlignedRows::filled(1, stride, 0), norm: 1.0, signs: Vec::new(), length: 0.0 }
    }
}

/// The norm of a code, in steps.
fn steps_length(code: &[i8]) -> f32 {
    (active().dot_i8.row(code, code) as f32).sqrt()
}

fn original(vectors: &Vectors, id: u32) -> &[f32] {
    &vectors.data[id as usize * vectors.dimension..][..vectors.dimension]
}

/// Writes the code of `row` and gives what one step of it is worth.
fn quantize(row: &[f32], code: &mut [i8]) -> f32 {
    let largest = row.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let scale = largest / LEVELS;
    let steps = 1.0 / scale;
    if scale == 0.0 || !steps.is_finite() {
        code.fill(0);
        return 0.0;
    }
    for (step, x) in code.iter_mut().zip(row) {
        // Rounds without a call; the lowest byte of the sum's bits is the step in two's complement.
        *step = (x * steps + ROUND).to_bits() as i8;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn steps_are_the_nearest_ones() {
        let row = [1.0, -1.0, 0.5, -0.004, 0.0, 0.999];
        let mut code = [0; 6];
        let scale = quantize(&row, &mut code);
        assert_eq!(code, [127, -127, 64, -1, 0, 127]);
        assert!((scale - 1.0 / 127.0).abs() < 1e-9);
    }

    #[test]
    fn keys_keep_the_order_of_the_metric_whatever_the_scale() {
        for measure in [Measure::Cosine, Measure::Euclidean, Measure::Dot] {
            for magnitude in [1e-15f32, 1.0, 1e15] {
                let rows: Vec<f32> = [[1.0, 0.0], [0.7, 0.7], [0.0, 2.0], [-1.0, 0.1]].concat().iter().map(|x| x * magnitude).collect();
                let vectors = Vectors { dimension: 2, data: Arc::new(rows) };
                let codes = Codes::encode(&vectors, measure, &[0, 1, 2, 3]);
                let query: Vec<f32> = [0.9f32, 0.2].iter().map(|x| x * magnitude).collect();
                let mut exact = vec![0.0; 4];
                measure.prepare(&query).block(&vectors.data, &mut exact);
                let mut code = QueryCode::empty();
                codes.query(&query, &mut code, &mut Vec::new());
                let mut by_codes = vec![0.0; 4];
                codes.keys(&codes.probe(&code), &[0, 1, 2, 3], &mut Vec::new(), |node, key| by_codes[node as usize] = key);
                let order = |keys: &[f32]| {
                    let mut order = [0, 1, 2, 3];
                    order.sort_by(|&a: &usize, &b| keys[a].total_cmp(&keys[b]));
                    order
                };
                assert_eq!(order(&by_codes), order(&exact), "{measure:?} at {magnitude}");
            }
        }
    }
}
