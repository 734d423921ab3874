//! What runs amount to: medians, percentiles, recall. Knows no server.

use std::time::Duration;

/// Hits that are asked for and judged.
pub(crate) const K: usize = 10;

/// The end of one search.
pub(crate) struct Answered {
    pub(crate) query: usize,
    pub(crate) took: Duration,
    pub(crate) hits: Vec<i64>,
}

/// All queries once.
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) answered: Vec<Answered>,
}

impl Run {
    /// Searches per second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered.len() as f64 / self.took.as_secs_f64()
    }

    /// The time within which this share of the searches were answered, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut times: Vec<Duration> = self.answered.iter().map(|answered| answered.took).collect();
        times.sort_unstable();
        let place = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
        times.get(place).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }

    /// The share of the true neighbours that were found.
    pub(crate) fn recall(&self, truth: &[Vec<u32>]) -> f64 {
        let (mut found, mut wanted) = (0, 0);
        for answered in &self.answered {
            let nearest = &truth[answered.query][..K.min(truth[answered.query].len())];
            found += nearest.iter().filter(|id| answered.hits.contains(&i64::from(**id))).count();
            wanted += nearest.len();
        }
        found as f64 / (wanted as f64).max(1.0)
    }
}

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 { at(values.len() / 2) } else { f64::midpoint(at((values.len() / 2).wrapping_sub(1)), at(values.len() / 2)) }
}

/// The numbers `0..len` in an order that depends on the seed alone.
pub(crate) fn permuted(len: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut state = seed;
    for i in (1..len).rev() {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        order.swap(i, (bits % (i as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(answers: &[(usize, u64, &[i64])]) -> Run {
        let answered = answers.iter().map(|(query, millis, hits)| Answered {
            query: *query,
            took: Duration::from_millis(*millis),
            hits: hits.to_vec(),
        });
        Run { took: Duration::from_secs(2), answered: answered.collect() }
    }

    #[test]
    fn recall_counts_the_ten_nearest_of_each_query() {
        let truth = vec![(0..50).collect(), vec![7], vec![]];
        let close = |run: Run, recall: f64| assert!((run.recall(&truth) - recall).abs() < 1e-9, "{}", run.recall(&truth));
        close(run(&[(0, 1, &[0, 1, 2, 3, 4, 20, 21, 22, 23, 24])]), 0.5);
        close(run(&[(1, 1, &[7, 8])]), 1.0);
        close(run(&[(0, 1, &[]), (1, 1, &[7])]), 1.0 / 11.0);
        close(run(&[(2, 1, &[5])]), 0.0);
    }

    #[test]
    fn rates_and_percentiles_are_of_all_searches() {
        let run = run(&[(0, 4, &[]), (1, 1, &[]), (2, 3, &[]), (3, 2, &[])]);
        assert!((run.rate() - 2.0).abs() < 1e-9);
        for (share, millis) in [(0.0, 1.0), (0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (1.0, 4.0)] {
            assert!((run.percentile(share) - millis).abs() < 1e-9, "{share}");
        }
    }

    #[test]
    fn medians() {
        for (values, middle) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[4.0, 1.0], 2.5), (&[7.0], 7.0)] {
            assert!((median(values.iter().copied()) - middle).abs() < 1e-9);
        }
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn an_order_has_each_number_once_and_differs_by_seed() {
        let (one, other) = (permuted(100, 1), permuted(100, 2));
        assert_ne!(one, other);
        assert_eq!(one, permuted(100, 1));
        let mut sorted = one;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert!(permuted(0, 1).is_empty());
    }
}
