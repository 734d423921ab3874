//! Owns the approximate index: a layered graph walked on compact codes, its finds compared again on the originals. Refuses to
//! know how the graph is built and how it is written.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::{Candidate, RowSet};
use proximadb_ports::{
    Budget, Fault, IndexFactory, IndexSpec, Metric, MetricDescriptor, Originals, PortError, Result, SearchCounters, SearchParams,
    VectorIndex, Vectors,
};

use crate::beam::{self, Beam, Reach};
use crate::builder::{Builder, Shape, shuffled};
use crate::builtin::Measure;
use crate::codes::{Codes, GENEROSITY, Probe, SignError, Slack};
use crate::extend::Kept;
use crate::layers::{Layer, Links};
use crate::pool::Place;
use crate::recall::{self, HeldOut, Recalls};
use crate::scan::{Scan, check_query};
use crate::scratch::{Scratch, ScratchPool, Trail};
use crate::sidecar::{Read, Sidecar};

pub(crate) const KIND: &str = "graph";
/// Neighbours that a node can be given; the model's settings allow no others.
pub(crate) const M_RANGE: std::ops::RangeInclusive<usize> = 4..=128;
/// Rows that a scan of codes compares in the time of one place of a walk's breadth, and one more for so many components: a place costs
/// a node's expansion, some dozens of scattered neighbours and the codes of some of them, a scanned row its signs and mostly not more.
const SCANNED_A_PLACE: usize = 40;
const SCANNED_A_PLACE_COMPONENTS: usize = 16;
/// Longer rows were not measured.
const SCANNED_A_PLACE_MAX: usize = 96;
/// Rows of a segment that are scanned at a time at most, so that no scan takes more memory than some numbers a row of these.
const PART_ROWS: usize = 1 << 17;
/// The breadth at which graphs are tried out.
const TRIED_BREADTH: usize = 64;
/// The slacks of estimates by signs that are tried, in standard deviations, and the recall that one may cost.
const SLACKS: [f32; 4] = [0.0, 0.5, GENEROSITY, 2.0];
const SLACK_COST: f32 = 0.005;
/// Standard deviations that estimates by signs are given for free in scans.
const SCAN_DEVIATIONS: f32 = 2.5;
/// A graph that would grow by more than this factor is built anew: its upper layers would be too small.
const GROWTH_MAX: usize = 3;
/// The share of its rows that a graph must keep to be worth extending: three of four.
const KEPT_MIN: (usize, usize) = (3, 4);
/// The recall that an extended graph may have less than it had before; one with less is built anew.
const RECALL_LOST_MAX: f32 = 0.03;
/// Among the nodes a walk meets, those that count are as many as their share, give or take this many times the root of their number.
const SPREAD: f32 = 3.0;
/// A walk that finds less than one in so many of the rows it should is done again, wider or as a scan, whichever costs less.
const FOUND_SHARE: usize = 4;
/// Nodes of a layer at most that is scanned and not walked.
const SHORT_LAYER_NODES: usize = 256;
/// Places in the pool of a walk that ends by its margin, for each of its breadth.
const ROOM: usize = 4;

/// Makes graphs for cosine, euclidean and dot product.
///
/// Graphs are navigable small worlds in layers (HNSW). Manhattan and hamming have no compact code here yet, so they are not
/// supported.
#[derive(Clone, Copy, Debug, Default)]
pub struct GraphFactory;

impl GraphFactory {
    fn measure(&self, spec: &IndexSpec, op: &'static str) -> Result<Measure> {
        let kind = &spec.metric.descriptor().kind;
        Measure::of(kind)
            .filter(|&measure| Codes::supports(measure))
            .ok_or_else(|| PortError::new(Fault::Invalid, op, KIND, format!("cannot order by {kind}")).with_field("metric"))
    }
}

impl IndexFactory for GraphFactory {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn supports(&self, metric: &MetricDescriptor) -> bool {
        metric.symmetric && Measure::of(&metric.kind).is_some_and(Codes::supports)
    }

    fn build(&self, spec: &IndexSpec, vectors: Vectors, budget: &Budget) -> Result<Arc<dyn VectorIndex>> {
        let measure = self.measure(spec, "index.build")?;
        budget.check()?;
        let order = shuffled(vectors.rows(), spec.seed);
        let codes = Codes::encode(&vectors, measure, &order);
        let made = Made { spec, measure, vectors, budget, before: Measured::default() };
        Ok(Arc::new(made.finish(codes, order, |codes, shape, budget| Builder::new(codes, shape, budget))?))
    }

    fn extend(
        &self,
        spec: &IndexSpec,
        vectors: Vectors,
        base: &dyn VectorIndex,
        rows: &[Option<u32>],
        budget: &Budget,
    ) -> Result<Option<Arc<dyn VectorIndex>>> {
        let measure = self.measure(spec, "index.extend")?;
        budget.check()?;
        let any: &dyn Any = base;
        let Some(base) = any.downcast_ref::<GraphIndex>() else { return Ok(None) };
        let fits = base.measure == measure
            && base.originals.dimension() == vectors.dimension
            && base.rows() == rows.len()
            && base.layers.first().is_some_and(|lowest| lowest.width() == 2 * m_of(spec));
        let kept = Kept::new(rows.len(), |node| rows[base.order[node as usize] as usize].is_some());
        let is_worth_it = vectors.rows() < GROWTH_MAX * kept.nodes.len() && KEPT_MIN.0 * rows.len() <= KEPT_MIN.1 * kept.nodes.len();
        if !fits || !is_worth_it || kept.nodes.is_empty() {
            return Ok(None);
        }
        let order = kept.order(&base.order, rows, vectors.rows(), spec.seed)?;
        let Some(codes) = base.codes.extended(&kept.nodes, &vectors, &order[kept.nodes.len()..]) else { return Ok(None) };
        let before = Measured { slack: base.slack, recalls: base.recalls.clone() };
        let made = Made { spec, measure, vectors, budget, before };
        let index = made.finish(codes, order, |codes, shape, budget| {
            let layers = kept.layers(&base.layers, codes, codes.count());
            Builder::resume(codes, shape, budget, layers, kept.nodes.len())
        })?;
        let worse =
            index.recall_at(TRIED_BREADTH).zip(base.recall_at(TRIED_BREADTH)).is_some_and(|(now, before)| now < before - RECALL_LOST_MAX);
        Ok(if worse { None } else { Some(Arc::new(index)) })
    }

    fn load(&self, spec: &IndexSpec, originals: Originals, segment_checksum: u32, sidecar: Bytes) -> Result<Arc<dyn VectorIndex>> {
        let measure = self.measure(spec, "index.load")?;
        let expected = Sidecar { measure, dimension: originals.dimension(), rows: originals.rows(), segment_checksum };
        let Read { order, layers, codes, slack, recalls } =
            expected.decode(&sidecar).map_err(|damage| PortError::new(Fault::Corrupt, "index.load", KIND, damage.to_string()))?;
        let codes = match (codes, originals.get()) {
            (Some(codes), _) => codes,
            (None, Some(vectors)) => Codes::encode(&vectors, measure, &order),
            (None, None) => {
                return Err(PortError::new(
                    Fault::Unavailable,
                    "index.load",
                    KIND,
                    "a sidecar of version 1 is read with the originals only",
                ));
            }
        };
        let scan_slack = codes.sign_error().filter(|_| slack.is_some()).map(|error| error.slack(SCAN_DEVIATIONS));
        let (metric, scratch, nodes) = (spec.metric.clone(), ScratchPool::default(), inverse(&order));
        Ok(Arc::new(GraphIndex { metric, measure, originals, codes, order, nodes, layers, slack, scan_slack, recalls, scratch }))
    }
}

/// A graph in the making.
struct Made<'a> {
    spec: &'a IndexSpec,
    measure: Measure,
    vectors: Vectors,
    budget: &'a Budget,
    /// What holds where too few rows are new for anything to be tried.
    before: Measured,
}

/// What was found out by trying. Signs are not used where nobody has tried them.
#[derive(Default)]
struct Measured {
    slack: Slack,
    recalls: Recalls,
}

impl Made<'_> {
    /// Inserts what a builder does not hold yet, and measures before the last rows are in what searches find.
    fn finish(
        self,
        codes: Codes,
        order: Vec<u32>,
        builder: impl for<'c> FnOnce(&'c Codes, Shape, &'c Budget) -> Builder<'c>,
    ) -> Result<GraphIndex> {
        let Self { spec, measure, vectors, budget, before } = self;
        let nodes = inverse(&order);
        let error = codes.sign_error();
        let slack = error.map(|error| error.slack(GENEROSITY));
        let builder = builder(&codes, Shape { m: m_of(spec), ef: spec.ef_construction, threads: spec.threads, slack }, budget);
        let Measured { slack, recalls } = match recall::held_out(order.len(), order.len() - builder.begun()) {
            0 => before,
            count => {
                builder.insert_below(order.len() - count)?;
                let held_out = HeldOut::new(&order, count, &vectors, &*spec.metric, spec.threads, budget)?;
                let layers = builder.layers();
                let mut graph = Graph { measure, codes: &codes, order: &order, nodes: &nodes, layers: &layers, slack, scan_slack: None };
                graph.slack = least_slack(&graph, &held_out, error)?;
                Measured { slack: graph.slack, recalls: held_out.recalls(&graph, &mut Scratch::new(order.len()))? }
            }
        };
        builder.insert_below(order.len())?;
        let layers = builder.layers();
        let scan_slack = error.filter(|_| slack.is_some()).map(|error| error.slack(SCAN_DEVIATIONS));
        let (metric, originals, scratch) = (spec.metric.clone(), vectors.into(), ScratchPool::default());
        Ok(GraphIndex { metric, measure, originals, codes, order, nodes, layers, slack, scan_slack, recalls, scratch })
    }
}

fn m_of(spec: &IndexSpec) -> usize {
    spec.m.clamp(*M_RANGE.start(), *M_RANGE.end())
}

/// The least slack that costs held-out rows next to no recall; none where signs cost some whatever they are given.
fn least_slack(graph: &Graph<'_>, held_out: &HeldOut<'_>, error: Option<SignError>) -> Result<Slack> {
    let mut scratch = Scratch::new(graph.order.len());
    let mut recall = |slack| Ok::<_, PortError>(held_out.find(&Graph { slack, ..*graph }, TRIED_BREADTH, None, &mut scratch)?.recall);
    let Some(error) = error else { return Ok(None) };
    let without = recall(None)?;
    for deviations in SLACKS {
        let slack = Some(error.slack(deviations));
        if recall(slack)? >= without - SLACK_COST {
            return Ok(slack);
        }
    }
    Ok(None)
}

/// Where each value of a permutation stands.
fn inverse(order: &[u32]) -> Vec<u32> {
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &value)| places[value as usize] = place as u32);
    places
}

/// The graph of one segment. It shares the originals, which may come after it, and has codes and links of its own.
pub struct GraphIndex {
    metric: Arc<dyn Metric>,
    measure: Measure,
    originals: Originals,
    codes: Codes,
    /// The row of each node.
    order: Vec<u32>,
    /// The node of each row.
    nodes: Vec<u32>,
    /// Lowest first.
    layers: Vec<Layer>,
    slack: Slack,
    scan_slack: Slack,
    recalls: Recalls,
    scratch: ScratchPool,
}

/// What a search wants of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Rows to find.
    pub(crate) k: usize,
    /// Breadth, at least `k`.
    pub(crate) ef: usize,
    /// The margin that finds as much as this breadth does, where it was measured.
    pub(crate) margin: Option<f32>,
}

/// What a walk and the ordering of its finds need.
pub(crate) struct Graph<'a> {
    pub(crate) measure: Measure,
    pub(crate) codes: &'a Codes,
    /// The row of each node.
    pub(crate) order: &'a [u32],
    /// The node of each row.
    pub(crate) nodes: &'a [u32],
    pub(crate) layers: &'a [Layer],
    /// What estimates by signs are given for free.
    pub(crate) slack: Slack,
    /// The same where rows are scanned, and each is met once only; none where walks have none.
    pub(crate) scan_slack: Slack,
}

impl Graph<'_> {
    /// Leaves what the walk found in the scratch's pool: with luck `ef` nodes that count, and `k` at least where there are so many. A
    /// margin ends walks sooner where all rows count.
    pub(crate) fn walk(
        &self,
        query: &[f32],
        Want { k, ef, margin }: Want,
        allow: Option<&RowSet>,
        budget: &Budget,
        scratch: &mut Scratch,
        counters: &mut SearchCounters,
    ) -> Result<()> {
        let Scratch { trail, query: code, floats } = scratch;
        self.codes.query(query, self.slack, code, floats);
        let probe = self.codes.probe(code, self.slack);
        let Some(allow) = allow else {
            // With a margin the room is there so that it does not decide.
            let reach = margin.map_or(Reach::breadth(ef), |_| Reach { room: ef.saturating_mul(ROOM), k: k.max(recall::K), margin });
            return self.walk_all(probe, reach, budget, trail, counters);
        };
        let (rows, allowed) = (self.order.len(), allow.count());
        let scan = |trail: &mut Trail, counters: &mut SearchCounters| {
            let probe = self.codes.probe(code, self.scan_slack);
            trail.pool.start(ef);
            for part in allow.parts(PART_ROWS) {
                trail.fresh.clear();
                part.filter_map(|row| self.nodes.get(row)).for_each(|&node| trail.fresh.push(node));
                beam::scan(self.codes, &probe, budget, trail, counters)?;
            }
            Ok(())
        };
        // Among the nearest there are `rows / allowed` rows for each that counts, if those that count lie as the others do.
        let enough = ef.max(k + (SPREAD * (k as f32).sqrt()) as usize);
        let mut breadth = enough.saturating_mul(rows).div_ceil(allowed.max(1)).min(rows);
        let scanned_a_place = (SCANNED_A_PLACE + query.len() / SCANNED_A_PLACE_COMPONENTS).min(SCANNED_A_PLACE_MAX);
        while allowed > breadth.saturating_mul(scanned_a_place) {
            self.walk_all(probe, Reach::breadth(breadth), budget, trail, counters)?;
            trail.pool.retain(|node| allow.contains(self.order[node as usize] as usize));
            let found = trail.pool.places().len();
            if found >= k.max(ef.div_ceil(FOUND_SHARE)) {
                return Ok(());
            }
            // If so few of them count, the query lies farther from those that do, and the share found tells how far.
            breadth = enough.saturating_mul(breadth).div_ceil(found.max(1)).max(2 * breadth);
        }
        scan(trail, counters)
    }

    /// Walks as if every row counted.
    fn walk_all(&self, probe: Probe<'_>, reach: Reach, budget: &Budget, trail: &mut Trail, counters: &mut SearchCounters) -> Result<()> {
        let Some((lowest, upper)) = self.layers.split_first() else { return Ok(()) };
        // All of a short layer are compared by their signs sooner than a way over the layers above it is walked.
        let short = upper.iter().position(|layer| layer.nodes() <= SHORT_LAYER_NODES).unwrap_or(upper.len());
        let nodes = upper.get(short).map_or(0, Layer::nodes) as u32;
        let likeliest = self.codes.likeliest_below(&probe, nodes, &mut trail.fresh, &mut trail.estimates);
        let (mut entry, walked) = likeliest.map_or((0, upper), |likeliest| (likeliest, &upper[..short]));
        for links in walked.iter().rev() {
            entry = Beam { codes: self.codes, links, probe, budget }.descend(entry, trail, counters);
        }
        counters.graph_walks += 1;
        Beam { codes: self.codes, links: lowest, probe, budget }.walk(&[entry], reach, trail, counters)
    }

    /// Orders the likeliest of what a walk left in the scratch by the originals.
    pub(crate) fn rerank(
        &self,
        vectors: &Vectors,
        query: &[f32],
        k: usize,
        scratch: &Scratch,
        counters: &mut SearchCounters,
    ) -> Vec<Candidate> {
        self.exact(vectors, query, k, self.doubtful(k, scratch), counters)
    }

    /// Of what a walk left in the scratch the `k` nearest by their codes, and those that may be as near.
    fn doubtful<'s>(&self, k: usize, scratch: &'s Scratch) -> &'s [Place] {
        let found = scratch.trail.pool.places();
        let Some(last) = found.get(..k).and_then(<[Place]>::last) else { return found };
        let bound = last.key() + self.codes.doubt(&self.codes.probe(&scratch.query, None), last.node());
        let doubtful = found.partition_point(|place| place.key() <= bound);
        &found[..doubtful.max(k)]
    }

    fn exact(&self, vectors: &Vectors, query: &[f32], k: usize, found: &[Place], counters: &mut SearchCounters) -> Vec<Candidate> {
        let rows: Vec<u32> = found.iter().map(|place| self.order[place.node() as usize]).collect();
        let mut keys = vec![0.0; rows.len()];
        self.measure.prepare(query).gather(&vectors.data, &rows, &mut keys);
        counters.distances += rows.len() as u64;
        let mut nearest: Vec<_> = rows.into_iter().zip(keys).map(|(row, key)| Candidate { key, row }).collect();
        nearest.sort_unstable();
        nearest.truncate(k);
        nearest
    }
}

impl GraphIndex {
    fn graph(&self) -> Graph<'_> {
        Graph {
            measure: self.measure,
            codes: &self.codes,
            order: &self.order,
            nodes: &self.nodes,
            layers: &self.layers,
            slack: self.slack,
            scan_slack: self.scan_slack,
        }
    }

    /// Walks, and answers with what `take` makes of the finds.
    fn walked<T>(
        &self,
        query: &[f32],
        want: Want,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
        take: impl FnOnce(&Scratch, &mut SearchCounters) -> T,
    ) -> Result<T> {
        // A set of all rows is no filter.
        let allow = allow.filter(|allow| allow.count() < self.rows());
        self.scratch.with(self.order.len(), |scratch| {
            let want = Want { ef: want.ef.min(self.rows()), ..want };
            self.graph().walk(query, want, allow, budget, scratch, counters)?;
            Ok(take(scratch, counters))
        })
    }

    /// What a search is to find by walking; none where it compares every row.
    fn wanted(&self, params: &SearchParams, allow: Option<&RowSet>) -> Option<Want> {
        let k = params.k.min(allow.map_or(self.rows(), RowSet::count));
        let ef = params.ef.max(k);
        (!params.exact).then(|| Want { k, ef, margin: self.recalls.margin(ef, k.max(1)) })
    }

    /// Walks, and answers with the rows that `take` picks of the finds; `None` where that is no way to answer.
    fn listed(
        &self,
        query: &[f32],
        want: Option<Want>,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
        take: impl for<'s> FnOnce(usize, &'s Scratch) -> &'s [Place],
    ) -> Result<Option<Vec<u32>>> {
        check_query(query, self.originals.dimension())?;
        budget.check()?;
        let Some(want) = want else { return Ok(None) };
        let k = want.k;
        if k == 0 {
            return Ok(Some(Vec::new()));
        }
        let rows = self.walked(query, want, allow, budget, counters, |scratch, _| {
            take(k, scratch).iter().map(|place| self.order[place.node() as usize]).collect::<Vec<_>>()
        })?;
        Ok((rows.len() >= k).then_some(rows))
    }
}

impl VectorIndex for GraphIndex {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rows(&self) -> usize {
        self.originals.rows()
    }

    fn resident_bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        size_of::<Self>() + layers + self.codes.bytes() + size_of_val(&*self.order) + size_of_val(&*self.nodes) + self.scratch.bytes()
    }

    fn breadth_for(&self, recall: f32, k: usize) -> Option<usize> {
        self.recalls.breadth_for(recall, k)
    }

    fn recall_at(&self, ef: usize) -> Option<f32> {
        self.recalls.at(ef)
    }

    fn originals(&self) -> Option<&Originals> {
        Some(&self.originals)
    }

    fn walks_without_originals(&self) -> bool {
        true
    }

    fn shortlist(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Option<Vec<u32>>> {
        let want = self.wanted(params, allow);
        self.listed(query, want, allow, budget, counters, |k, scratch| self.graph().doubtful(k, scratch))
    }

    fn met(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Option<Vec<u32>>> {
        // Whoever orders by another metric wants the whole breadth.
        let want = self.wanted(params, allow).map(|want| Want { margin: None, ..want });
        self.listed(query, want, allow, budget, counters, |_, scratch| scratch.trail.pool.places())
    }

    fn search(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Vec<Candidate>> {
        check_query(query, self.originals.dimension())?;
        budget.check()?;
        let vectors = self.originals.get();
        let vectors = vectors.ok_or_else(|| PortError::new(Fault::Unavailable, "index.search", KIND, "its originals are not in memory"))?;
        let scan = Scan { metric: &*self.metric, vectors: &vectors, budget };
        let Some(want) = self.wanted(params, allow).filter(|want| want.k > 0) else {
            return scan.nearest(query, params.k, allow, counters);
        };
        let k = want.k;
        let rerank = |scratch: &Scratch, counters: &mut SearchCounters| self.graph().rerank(&vectors, query, k, scratch, counters);
        let candidates = self.walked(query, want, allow, budget, counters, rerank)?;
        if candidates.len() < k { scan.nearest(query, k, allow, counters) } else { Ok(candidates) }
    }

    fn save(&self, segment_checksum: u32) -> Option<Bytes> {
        let written = Sidecar { measure: self.measure, dimension: self.originals.dimension(), rows: self.rows(), segment_checksum };
        Some(written.encode(&self.order, &self.layers, &self.codes, self.slack, &self.recalls))
    }
}
