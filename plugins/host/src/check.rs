//! What must hold of a plugin before anybody relies on it, tried on drawn questions. The suites of the ports say more, but belong to
//! tests; these are the checks that a server can make for whoever brings a plugin. Knows only the ports, so it runs over any player.

use proximadb_model::{CollectionId, DiskKind, ScoreKind, ShardId, SiteId, SiteMap, SiteView, Subject, Uid};
use proximadb_ports::{Assigner, Fault, Metric, PortError};

/// Rows of a drawn block.
const ROWS: usize = 97;
/// Seed of everything that is drawn, so that a plugin passes or fails always alike.
const SEED: u64 = 0x5eed;

/// One property and how a plugin did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What must hold.
    pub what: &'static str,
    /// What was found where it does not.
    pub failure: Option<String>,
}

/// Tries a metric on vectors of `dimension` components.
pub fn check_metric(metric: &dyn Metric, dimension: usize) -> Vec<Check> {
    let properties: [(&'static str, Property); 5] = [
        ("the same query and vector give the same value, in whatever block they stand", same_in_every_block),
        ("values are finite, also for vectors of zeros and of very large and small components", finite_for_extremes),
        ("scores and distances keep the order of the keys", scores_keep_the_order),
        ("the value of (a, b) is that of (b, a), where the plugin says so", symmetric_as_said),
        ("vectors near a query are nearer than random ones, in the direction that the plugin says", nearer_as_said),
    ];
    properties.into_iter().map(|(what, property)| Check { what, failure: property(metric, dimension).err() }).collect()
}

type Property = fn(&dyn Metric, usize) -> Result<(), String>;

/// Random numbers (SplitMix64, Steele et al.).
struct Draw(u64);

impl Draw {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// Between -1 and 1.
    fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.bits() % end.max(1)
    }

    /// A vector of length one.
    fn direction(&mut self, dimension: usize) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..dimension).map(|_| self.unit()).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }
}

fn said(error: &PortError) -> String {
    error.to_string()
}

fn keys(metric: &dyn Metric, query: &[f32], block: &[f32], rows_at_a_time: usize) -> Result<Vec<f32>, String> {
    let dimension = query.len().max(1);
    let mut keys = vec![0.0; block.len() / dimension];
    let mut scorer = metric.prepare(query).map_err(|e| said(&e))?;
    for (rows, keys) in block.chunks(rows_at_a_time * dimension).zip(keys.chunks_mut(rows_at_a_time)) {
        scorer.keys(rows, keys).map_err(|e| said(&e))?;
    }
    Ok(keys)
}

fn same_in_every_block(metric: &dyn Metric, dimension: usize) -> Result<(), String> {
    let mut draw = Draw(SEED);
    let query = draw.direction(dimension);
    let block: Vec<f32> = (0..ROWS).flat_map(|_| draw.direction(dimension)).collect();
    let together = keys(metric, &query, &block, ROWS)?;
    for rows in [ROWS, 1, 2, 31, 64] {
        let apart = keys(metric, &query, &block, rows)?;
        if let Some(row) = (0..ROWS).find(|row| together[*row].to_bits() != apart[*row].to_bits()) {
            let (first, second) = (together[row], apart[row]);
            return Err(format!("vector {row} has {first} in a block of {ROWS} and {second} in blocks of {rows}"));
        }
    }
    Ok(())
}

fn finite_for_extremes(metric: &dyn Metric, dimension: usize) -> Result<(), String> {
    let mut draw = Draw(SEED + 1);
    let components = [0.0, -0.0, 1.0, f32::MIN_POSITIVE, 1e-45, 1e18, -1e18, f32::MAX];
    let mut vector = || -> Vec<f32> { (0..dimension).map(|_| components[draw.below(components.len() as u64) as usize]).collect() };
    let zeros = vec![0.0; dimension];
    let block: Vec<f32> = [zeros.clone(), vector(), vector(), vector(), vec![f32::MAX; dimension]].concat();
    for query in [zeros, vector(), vec![f32::MAX; dimension]] {
        // A query that the plugin refuses in good order is its right.
        match metric.prepare(&query).and_then(|mut scorer| scorer.keys(&block, &mut [0.0; 5])) {
            Err(error) if error.fault != Fault::Invalid => return Err(said(&error)),
            _ => {}
        }
    }
    Ok(())
}

fn scores_keep_the_order(metric: &dyn Metric, dimension: usize) -> Result<(), String> {
    let mut draw = Draw(SEED + 2);
    let query = draw.direction(dimension);
    let block: Vec<f32> = (0..ROWS).flat_map(|_| draw.direction(dimension)).collect();
    let mut keys = keys(metric, &query, &block, ROWS)?;
    keys.sort_by(f32::total_cmp);
    let kept = |pair: &[f32]| {
        let [near, far] = [pair[0], pair[1]];
        let scores = match metric.descriptor().score_kind {
            ScoreKind::Similarity => metric.score(near) >= metric.score(far),
            ScoreKind::Distance => metric.score(near) <= metric.score(far),
        };
        scores && metric.distance(near) <= metric.distance(far)
    };
    match keys.windows(2).find(|pair| !kept(pair)) {
        Some(pair) => Err(format!("the keys {} and {} do not", pair[0], pair[1])),
        None => Ok(()),
    }
}

fn symmetric_as_said(metric: &dyn Metric, dimension: usize) -> Result<(), String> {
    if !metric.descriptor().symmetric {
        return Ok(());
    }
    let mut draw = Draw(SEED + 3);
    for _ in 0..32 {
        let (a, b) = (draw.direction(dimension), draw.direction(dimension));
        let (there, back) = (keys(metric, &a, &b, 1)?, keys(metric, &b, &a, 1)?);
        let (there, back) = (there[0], back[0]);
        if (there - back).abs() > 1e-4 * there.abs().max(back.abs()).max(1e-3) {
            return Err(format!("one way it is {there}, back {back}"));
        }
    }
    Ok(())
}

/// On average, since what is near by one's own metric need not be so for each pair.
fn nearer_as_said(metric: &dyn Metric, dimension: usize) -> Result<(), String> {
    let mut draw = Draw(SEED + 4);
    let (mut near, mut far) = (0.0, 0.0);
    for _ in 0..64 {
        let query = draw.direction(dimension);
        let step = draw.direction(dimension);
        let beside: Vec<f32> = query.iter().zip(&step).map(|(x, s)| x + 0.05 * s).collect();
        let block = [beside, draw.direction(dimension)].concat();
        let keys = keys(metric, &query, &block, 2)?;
        near += f64::from(keys[0]);
        far += f64::from(keys[1]);
    }
    if near <= far {
        return Ok(());
    }
    let kind = metric.descriptor().score_kind.as_str();
    Err(format!("as a {kind} it puts random vectors nearer than those beside the query; is lower-is-nearer right?"))
}

type PlacementProperty = fn(&dyn Assigner) -> Result<(), String>;

/// Tries a placement strategy.
pub fn check_assigner(assigner: &dyn Assigner) -> Vec<Check> {
    let properties: [(&'static str, PlacementProperty); 2] = [
        ("the same question has the same answer", same_answer),
        ("each shard gets a site that takes shards, wherever there is one with room", places_every_shard),
    ];
    properties.into_iter().map(|(what, property)| Check { what, failure: property(assigner).err() }).collect()
}

fn question(draw: &mut Draw) -> (Vec<Subject>, SiteMap) {
    let kinds = [DiskKind::NvmeSsd { max_iops: 500_000 }, DiskKind::SataSsd, DiskKind::Hdd, DiskKind::ObjectStore];
    let collection = draw.below(2) as u8;
    let subject = |index| Subject {
        shard: ShardId { collection: CollectionId(Uid([collection; 16])), index },
        collection: format!("collection-{collection}"),
        expected_bytes: 0,
        tags: Vec::new(),
    };
    let subjects = (0..1 + draw.below(8) as u32).map(subject).collect();
    let count = 1 + draw.below(6) as u8;
    let sites = (0..count).map(|place| SiteView {
        id: SiteId(Uid([place + 1; 16])),
        instance: u32::from(place) + 1,
        kind: kinds[draw.below(kinds.len() as u64) as usize],
        capacity_bytes: (draw.below(2) == 0).then_some(1 << 40),
        used_bytes: draw.below(1 << 30),
        shards: draw.below(9) as u32,
        weight: 1.0,
        // The first one always takes shards.
        healthy: place == 0 || draw.below(4) > 0,
        append_micros: None,
        tags: vec![format!("rack:{}", draw.below(3))],
    });
    (subjects, SiteMap { sites: sites.collect() })
}

fn same_answer(assigner: &dyn Assigner) -> Result<(), String> {
    let mut draw = Draw(SEED + 5);
    for _ in 0..16 {
        let (subjects, sites) = question(&mut draw);
        let first = assigner.assign(&subjects, &sites).map_err(|e| said(&e))?;
        let (others, other_sites) = question(&mut draw);
        assigner.assign(&others, &other_sites).map_err(|e| said(&e))?;
        if assigner.assign(&subjects, &sites).map_err(|e| said(&e))? != first {
            return Err(format!("{} shards on {} sites were placed otherwise the second time", subjects.len(), sites.sites.len()));
        }
    }
    Ok(())
}

fn places_every_shard(assigner: &dyn Assigner) -> Result<(), String> {
    let mut draw = Draw(SEED + 6);
    for _ in 0..32 {
        let (subjects, map) = question(&mut draw);
        let chosen = assigner.assign(&subjects, &map).map_err(|e| said(&e))?;
        let open = |id: &SiteId| map.sites.iter().any(|site| site.id == *id && site.healthy);
        if chosen.len() != subjects.len() || !chosen.iter().all(open) {
            return Err(format!("{} shards got {} sites, or some that take no shards", subjects.len(), chosen.len()));
        }
    }
    Ok(())
}
