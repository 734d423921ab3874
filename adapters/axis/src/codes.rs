//! Owns the compact codes that a walk compares: eight bits a component with a scale a row, after the mean of all rows has been
//! taken off (the one-level form of LVQ: Aguerrebere et al., "Similarity search in the blink of an eye with compressed
//! indices", section 3). Refuses to know graphs and which rows are allowed.
//!
//! Whatever the metric, codes are compared by squared Euclidean distance. Rows for cosine are brought to norm one. Rows for the
//! dot product get one more component that brings them all to the longest row's norm, and queries a zero there: then the
//! nearest row is the one of the greatest product (Bachrach et al., "Speeding up the Xbox recommender system", section 3).

use proximadb_kernels::{PlanesQuery, active, normalize};
use proximadb_ports::Vectors;

use crate::aligned::AlignedRows;
use crate::builtin::Measure;
use crate::heads::{Head, Heads, Planes};
use crate::pool::Place;

mod bytes;

pub(crate) use bytes::Extent;

/// Nodes on which estimates by signs are tried out, and how many of them are compared with all the others.
const SAMPLE: usize = 2_048;
const SAMPLE_PROBES: usize = 32;
/// How many count as near, and which of the others are those that signs should tell from them.
const SAMPLE_NEAR: usize = 16;
const SAMPLE_OTHERS: std::ops::Range<usize> = 128..256;
/// The share of rows that are not near which may still pass for near, if signs are to save anything.
const PASSING_SHARE: f32 = 0.5;
/// Standard deviations that the keys of codes are taken to be off.
const DOUBT: f32 = 2.0;
/// Standard deviations that estimates are given for free, where nothing tells that fewer will do.
pub(crate) const GENEROSITY: f32 = 1.0;
/// How much of the way from the likeliest of some nodes to their average nodes may lie to count as likely.
const LIKELIEST_SHARE: f32 = 0.5;
const LEVELS: f32 = 127.0;
/// Components of a row, the largest of those first encoded being one, beyond which codes are made anew.
const OUTLIER: f32 = 8.0;
/// Adding it to a number of less than 2^22 leaves the nearest integer in the lowest bits.
pub(crate) const ROUND: f32 = 12_582_912.0;
/// Components of a query that is farther than this from rows whose components are at most one, cannot matter more.
const FARTHEST: f32 = 1e15;

/// The codes of a segment's rows, in the graph's order of nodes.
#[derive(Debug)]
pub(crate) struct Codes {
    dimension: usize,
    measure: Measure,
    rows: AlignedRows<i8>,
    heads: Heads,
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
    /// Added to a key it gives the squared distance, in the unit of keys.
    apart: f32,
    /// The squared norm of the query's code, in its steps.
    steps: f32,
    /// For estimates by signs; none where they are not to be used.
    estimating: Option<PlanesQuery<'a>>,
}

impl Probe<'_> {
    /// The squared distance that a key stands for, in the unit of keys.
    #[inline]
    pub(crate) fn squared(&self, key: f32) -> f32 {
        (key + self.apart).max(0.0)
    }
}

fn estimating<'a>(probe: Probe<'a>, planes: &'a Planes, slack: Slack) -> Probe<'a> {
    let Some(slack) = slack else { return probe };
    let Probe { constant, norm, product, lift, .. } = probe;
    let gain = product * 2.0 * planes.step;
    let offset = product * (slack * planes.length - planes.step * planes.total);
    Probe { estimating: Some(PlanesQuery { planes: &planes.words, constant, norm, gain, offset, lift }), ..probe }
}

/// What estimates by signs are given for free, a share of the norms; none where signs are not to be used.
pub(crate) type Slack = Option<f32>;

/// How far estimates by signs are off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignError {
    mean: f32,
    deviation: f32,
}

impl SignError {
    /// The slack that so many standard deviations give.
    pub(crate) fn slack(self, deviations: f32) -> f32 {
        self.mean + deviations * self.deviation
    }
}

/// A query's own code.
#[derive(Debug)]
pub(crate) struct QueryCode {
    code: AlignedRows<i8>,
    norm: f32,
    length: f32,
    planes: Planes,
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
            heads: Heads::new(dimension, order.len()),
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
        let norms: Vec<(f32, f32)> =
            order.iter().enumerate().map(|(node, &id)| codes.put_row(node, original(vectors, id), &mut row)).collect();
        if measure == Measure::Dot {
            codes.radius = codes.longest(&norms);
        }
        for (node, factors) in norms.into_iter().enumerate() {
            codes.put_head(node, factors);
        }
        codes
    }

    /// The codes of some of these nodes, in this order, and behind them those of more rows; `None` where a row does not fit into the
    /// space that was divided.
    pub(crate) fn extended(&self, nodes: &[u32], vectors: &Vectors, more: &[u32]) -> Option<Self> {
        let (dimension, count) = (self.dimension, nodes.len() + more.len());
        let mut codes = Self {
            rows: AlignedRows::filled(count, self.rows.stride(), 0),
            heads: Heads::new(dimension, count),
            mean: self.mean.clone(),
            ..*self
        };
        for (node, &old) in nodes.iter().enumerate() {
            codes.rows.row_mut(node).copy_from_slice(self.rows.row(old as usize));
            let Head { scale, norm, lift, .. } = self.heads.of(old);
            codes.heads.set(node, &codes.rows.row(node)[..dimension], scale, norm, lift);
        }
        let mut row = vec![0.0; dimension];
        for (node, &id) in (nodes.len()..).zip(more) {
            let factors = codes.put_row(node, original(vectors, id), &mut row);
            let beyond = self.measure == Measure::Dot && codes.squared(node, factors.0) > self.radius * self.radius;
            // Rows far beyond all others would be told apart by few steps.
            if beyond || row.iter().any(|x| x.abs() > OUTLIER) {
                return None;
            }
            codes.put_head(node, factors);
        }
        Some(codes)
    }

    /// Writes the code of a row; gives its scale and its squared norm.
    fn put_row(&mut self, node: usize, original: &[f32], row: &mut [f32]) -> (f32, f32) {
        self.place(original, row);
        let code = &mut self.rows.row_mut(node)[..self.dimension];
        let scale = quantize(row, code);
        (scale, (scale * steps_length(code)).powi(2))
    }

    /// Writes the head of a row whose code is there. Rows for the dot product are brought to the longest one's norm.
    fn put_head(&mut self, node: usize, (scale, norm): (f32, f32)) {
        let lift = if self.measure == Measure::Dot { (self.radius * self.radius - self.squared(node, scale)).max(0.0).sqrt() } else { 0.0 };
        self.heads.set(node, &self.rows.row(node)[..self.dimension], scale, norm + lift * lift, lift);
    }

    /// The squared norm of what a code stands for, the mean put back.
    fn squared(&self, node: usize, scale: f32) -> f32 {
        let code = &self.rows.row(node)[..self.dimension];
        code.iter().zip(&self.mean).map(|(&step, mean)| (scale * f32::from(step) + mean).powi(2)).sum()
    }

    fn longest(&self, factors: &[(f32, f32)]) -> f32 {
        factors.iter().enumerate().map(|(node, &(scale, _))| self.squared(node, scale)).fold(0.0, f32::max).sqrt()
    }

    /// Rows.
    pub(crate) fn count(&self) -> usize {
        self.heads.count()
    }

    /// Bytes that they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.heads.bytes() + size_of_val(&*self.mean)
    }

    /// Encodes a query of the rows' dimension.
    pub(crate) fn query(&self, query: &[f32], slack: Slack, into: &mut QueryCode, buffer: &mut Vec<f32>) {
        buffer.resize(self.dimension, 0.0);
        self.place_query(query, buffer);
        if into.code.stride() != self.rows.stride() {
            *into = QueryCode::of_stride(self.rows.stride());
        }
        let scale = quantize(buffer, &mut into.code.row_mut(0)[..self.dimension]);
        let code = &into.code.row(0)[..self.dimension];
        into.length = steps_length(code);
        if slack.is_some() {
            into.planes.set(code, into.length, self.heads.words());
        }
        // Keys of one query are compared with each other only: all are divided by twice the query's scale.
        into.norm = if scale > 0.0 { (0.5 / scale).min(FARTHEST) } else { 1.0 };
    }

    /// What compares a query.
    pub(crate) fn probe<'a>(&self, query: &'a QueryCode, slack: Slack) -> Probe<'a> {
        let code = &query.code.row(0)[..self.dimension];
        let steps = query.length * query.length;
        let (norm, apart) = (query.norm, steps / (4.0 * query.norm));
        let probe = Probe { code, constant: 0.0, norm, product: 1.0, lift: 0.0, apart, steps, estimating: None };
        estimating(probe, &query.planes, slack)
    }

    /// What compares a row with others; its keys are squared distances.
    pub(crate) fn probe_node(&self, node: u32) -> Probe<'_> {
        let Head { scale, norm, lift, .. } = self.heads.of(node);
        let (code, product, lift) = (self.code(node), 2.0 * scale, 2.0 * lift);
        Probe { code, constant: norm, norm: 1.0, product, lift, apart: 0.0, steps: 0.0, estimating: None }
    }

    /// As [`Self::probe_node`], for a walk: it can sift.
    pub(crate) fn walking_probe_node<'a>(&'a self, node: u32, slack: Slack, planes: &'a mut Planes) -> Probe<'a> {
        if slack.is_some() {
            planes.set(self.code(node), steps_length(self.code(node)), self.heads.words());
        }
        estimating(self.probe_node(node), planes, slack)
    }

    /// Asks for what a walk reads of a node first.
    #[inline]
    pub(crate) fn prefetch_head(&self, node: u32) {
        self.heads.prefetch(node);
    }

    /// Asks for what a node is compared by.
    #[inline]
    pub(crate) fn prefetch(&self, node: u32) {
        self.rows.prefetch(node as usize);
    }

    /// Whether nodes can be estimated by their signs.
    pub(crate) fn can_estimate(&self, probe: &Probe<'_>) -> bool {
        probe.estimating.is_some()
    }

    /// The keys of nodes as their signs tell them; nothing where signs are not to be used.
    #[inline]
    pub(crate) fn estimates(&self, probe: &Probe<'_>, nodes: &[u32], keys: &mut [f32]) {
        if let Some(estimating) = &probe.estimating {
            self.heads.estimates(estimating, nodes, keys);
        }
    }

    /// The places of nodes; their keys are smaller the nearer they are. `products` is room for as many.
    #[inline]
    pub(crate) fn places<'p>(
        &'p self,
        probe: &'p Probe<'_>,
        nodes: &'p [u32],
        products: &'p mut Vec<i32>,
    ) -> impl ExactSizeIterator<Item = Place> + 'p {
        products.clear();
        products.resize(nodes.len(), 0);
        active().dot_i8.gather(probe.code, self.rows.all(), self.rows.stride(), nodes, products);
        nodes.iter().zip(products).map(|(&node, product)| {
            let Head { scale, norm, lift, .. } = self.heads.of(node);
            let key = probe.constant + probe.norm * norm - probe.product * scale * *product as f32 - probe.lift * lift;
            Place::new(key, node)
        })
    }

    /// Drops the nodes whose keys are most likely beyond `bound`, and asks for the codes of the others; it may drop some that are just
    /// within. `keys` is room for as many.
    #[inline]
    pub(crate) fn sift(&self, probe: &Probe<'_>, nodes: &mut Vec<u32>, keys: &mut Vec<f32>, bound: f32) {
        if let Some(estimating) = &probe.estimating {
            keys.resize(nodes.len(), 0.0);
            self.heads.estimates(estimating, nodes, keys);
            self.keep(nodes, keys, bound);
        }
    }

    /// As [`Self::sift`], where nothing is known that nodes could be compared with: leaves those that are most likely the nearest.
    pub(crate) fn sift_likeliest(&self, probe: &Probe<'_>, nodes: &mut Vec<u32>, keys: &mut Vec<f32>) {
        if let Some(estimating) = &probe.estimating {
            keys.resize(nodes.len(), 0.0);
            self.heads.estimates(estimating, nodes, keys);
            let least = keys.iter().fold(f32::INFINITY, |least, &key| if key < least { key } else { least });
            let mean = keys.iter().sum::<f32>() / keys.len().max(1) as f32;
            self.keep(nodes, keys, least + LIKELIEST_SHARE * (mean - least).max(0.0));
        }
    }

    /// The one of the first `count` nodes that is most likely the nearest; none where signs are not to be used.
    pub(crate) fn likeliest_below(&self, probe: &Probe<'_>, count: u32, nodes: &mut Vec<u32>, keys: &mut Vec<f32>) -> Option<u32> {
        let estimating = probe.estimating.as_ref()?;
        nodes.clear();
        nodes.extend(0..count);
        keys.resize(nodes.len(), 0.0);
        self.heads.estimates(estimating, nodes, keys);
        keys.iter().zip(&*nodes).map(|(&key, &node)| Place::new(key, node)).min().map(Place::node)
    }

    /// Keeps the nodes whose keys are within `bound`, and asks for their codes.
    #[inline]
    fn keep(&self, nodes: &mut Vec<u32>, keys: &[f32], bound: f32) {
        // Which ones pass nobody can foresee, so no branch is taken on it.
        let mut kept = 0;
        for (at, &key) in keys.iter().enumerate() {
            nodes[kept] = nodes[at];
            kept += usize::from(key <= bound);
        }
        nodes.truncate(kept);
        nodes.iter().for_each(|&node| self.prefetch(node));
    }

    /// The key of one node.
    #[inline]
    pub(crate) fn key(&self, probe: &Probe<'_>, node: u32) -> f32 {
        let Head { scale, norm, lift, .. } = self.heads.of(node);
        let product = active().dot_i8.row(probe.code, self.code(node)) as f32;
        probe.constant + probe.norm * norm - probe.product * scale * product - probe.lift * lift
    }

    /// What the key of a query may well be off at this node: so many standard deviations of the difference between two keys, for each
    /// component of either code is off by up to half a step, as often by little as by much.
    #[inline]
    pub(crate) fn doubt(&self, probe: &Probe<'_>, node: u32) -> f32 {
        let Head { scale, norm, lift, .. } = self.heads.of(node);
        let by_query = norm - lift * lift;
        let by_row = probe.steps * scale * scale;
        DOUBT * ((by_query + by_row).max(0.0) * 2.0 / 12.0).sqrt()
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

    /// Learns from near nodes of a sample how far estimates by signs can be trusted, and from others that are not far either
    /// whether they tell the two apart: where all rows of a neighbourhood have nearly the same signs they do not.
    pub(crate) fn sign_error(&self) -> Option<SignError> {
        if self.heads.count() < SAMPLE || self.heads.words() == 0 {
            return None;
        }
        let sample: Vec<u32> = (0..SAMPLE as u32).collect();
        let (mut products, mut planes, mut errors, mut misses) = (Vec::new(), Planes::default(), Vec::new(), Vec::new());
        let mut estimate = [0.0];
        for one in (0..SAMPLE as u32).step_by(SAMPLE / SAMPLE_PROBES) {
            let probe = self.probe_node(one);
            planes.set(probe.code, steps_length(probe.code), self.heads.words());
            let mut keys = Vec::with_capacity(SAMPLE);
            keys.extend(self.places(&probe, &sample, &mut products).filter(|place| place.node() != one));
            keys.sort_unstable();
            let bound = keys[SAMPLE_NEAR - 1].key();
            // How much slack it takes to bring the estimate of a key down to a bound.
            let mut slack = |other: u32, bound: f32| {
                let Some(estimating) = &estimating(probe, &planes, Some(0.0)).estimating else { return 0.0 };
                self.heads.estimates(estimating, &[other], &mut estimate);
                (estimate[0] - bound) / (probe.product * self.heads.of(other).spread * planes.length)
            };
            errors.extend(keys[..SAMPLE_NEAR].iter().map(|near| slack(near.node(), near.key())));
            misses.extend(keys[SAMPLE_OTHERS].iter().map(|other| slack(other.node(), bound)));
        }
        errors.retain(|error| error.is_finite());
        let count = errors.len().max(1) as f32;
        let mean = errors.iter().sum::<f32>() / count;
        let deviation = (errors.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count).sqrt();
        let error = SignError { mean, deviation };
        let passing = misses.iter().filter(|&&miss| miss < error.slack(GENEROSITY) || miss.is_nan()).count() as f32;
        (!errors.is_empty() && passing <= PASSING_SHARE * misses.len() as f32).then_some(error)
    }

    fn code(&self, node: u32) -> &[i8] {
        &self.rows.row(node as usize)[..self.dimension]
    }
}

impl QueryCode {
    /// Room for a query; grows to an index's stride when first used with it.
    pub(crate) fn empty() -> Self {
        Self::of_stride(0)
    }

    fn of_stride(stride: usize) -> Self {
        Self { code: AlignedRows::filled(1, stride, 0), norm: 1.0, length: 0.0, planes: Planes::default() }
    }
}

/// The norm of a code, in steps.
fn steps_length(code: &[i8]) -> f32 {
    (active().dot_i8.row(code, code) as f32).sqrt()
}

fn original(vectors: &Vectors, id: u32) -> &[f32] {
    &vectors.data[id as usize * vectors.dimension..][..vectors.dimension]
}

/// The size of the largest component, NaN left out.
fn largest(row: &[f32]) -> f32 {
    // One after the other each would wait for the one before.
    let (lines, rest) = row.as_chunks::<16>();
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [0.0f32; 16];
    for line in lines {
        lanes.iter_mut().zip(line).for_each(|(lane, x)| *lane = larger(*lane, x.abs()));
    }
    lanes.into_iter().chain(rest.iter().map(|x| x.abs())).fold(0.0, larger)
}

/// Writes the code of `row` and gives what one step of it is worth.
fn quantize(row: &[f32], code: &mut [i8]) -> f32 {
    let largest = largest(row);
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
                codes.query(&query, None, &mut code, &mut Vec::new());
                let mut by_codes = vec![0.0; 4];
                for place in codes.places(&codes.probe(&code, None), &[0, 1, 2, 3], &mut Vec::new()) {
                    by_codes[place.node() as usize] = place.key();
                }
                let order = |keys: &[f32]| {
                    let mut order = [0, 1, 2, 3];
                    order.sort_by(|&a: &usize, &b| keys[a].total_cmp(&keys[b]));
                    order
                };
                assert_eq!(order(&by_codes), order(&exact), "{measure:?} at {magnitude}");
            }
        }
    }

    #[test]
    fn the_likeliest_are_kept_and_equals_all_of_them() {
        // Eight rows towards the query, eight away from it.
        let dimension = 64;
        let component = |row: usize, at: usize| if row < 8 { 1.0 } else { -1.0 } + if at == row { 0.5 } else { 0.0 };
        let rows = |of: &dyn Fn(usize, usize) -> f32| Vectors {
            dimension,
            data: Arc::new((0..16 * dimension).map(|i| of(i / dimension, i % dimension)).collect()),
        };
        let order: Vec<u32> = (0..16).collect();
        let kept = |vectors: &Vectors| {
            let codes = Codes::encode(vectors, Measure::Euclidean, &order);
            let (mut code, slack) = (QueryCode::empty(), Some(0.0));
            codes.query(&vec![0.9; dimension], slack, &mut code, &mut Vec::new());
            let (mut nodes, probe) = (order.clone(), codes.probe(&code, slack));
            codes.sift_likeliest(&probe, &mut nodes, &mut Vec::new());
            let likeliest = codes.likeliest_below(&probe, 16, &mut Vec::new(), &mut Vec::new());
            assert!(likeliest.is_some_and(|likeliest| nodes.contains(&likeliest)));
            nodes
        };
        assert_eq!(kept(&rows(&component)), order[..8]);
        assert_eq!(kept(&rows(&|_, at| at as f32)), order);
    }
}
