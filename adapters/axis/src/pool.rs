//! Owns the order of what a walk has met: the nearest so far, and which of them is next. Refuses to know how keys are computed.

/// A node and its key in one number that orders as they do: by key, then by node. The lowest bit says that it was expanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

impl Place {
    #[inline]
    pub(crate) fn new(key: f32, node: u32) -> Self {
        let bits = key.to_bits();
        // The order of f32 as that of u32: negative numbers turned over, all others above them.
        let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        Self(u64::from(ordered) << 32 | u64::from(node) << 1)
    }

    #[inline]
    pub(crate) fn node(self) -> u32 {
        self.0 as u32 >> 1
    }

    pub(crate) fn key(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
    }

    #[inline]
    fn is_expanded(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Places that are moved at a time where all of them are farther.
const BLOCK: usize = 8;

/// The nearest nodes met so far, in order, the best of which that was not expanded is next.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    places: Vec<Place>,
    arriving: Vec<Place>,
    room: usize,
    next: usize,
}

impl Pool {
    pub(crate) fn start(&mut self, room: usize) {
        self.places.clear();
        self.room = room.max(1);
        self.next = 0;
    }

    /// Those found, nearest first.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// How many nodes it keeps.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// The key that a node must be below to get in, once there is no room left.
    #[inline]
    pub(crate) fn bound(&self) -> Option<f32> {
        if self.places.len() < self.room { None } else { self.places.last().map(|last| last.key()) }
    }

    /// Drops those that do not count.
    pub(crate) fn retain(&mut self, counts: impl Fn(u32) -> bool) {
        self.places.retain(|place| counts(place.node()));
    }

    /// Takes in what has been met and is not beyond `limit`.
    ///
    /// It is put into order first, so that what is farther moves only once for all of it.
    #[inline]
    pub(crate) fn admit(&mut self, met: impl ExactSizeIterator<Item = Place>, limit: f32) {
        let limit = self.bound().unwrap_or(f32::INFINITY).min(limit);
        self.arriving.resize(met.len(), Place::default());
        // Which ones are beyond it nobody can foresee, so no branch is taken on it.
        let mut kept = 0;
        for place in met {
            self.arriving[kept] = place;
            kept += usize::from(place.key() <= limit);
        }
        self.arriving.truncate(kept);
        self.arriving.sort_unstable();
        let mut from = self.places.len();
        let mut to = from + kept;
        self.places.resize(to, Place::default());
        for &place in self.arriving.iter().rev() {
            while from >= BLOCK && self.places[from - BLOCK] > place {
                (from, to) = (from - BLOCK, to - BLOCK);
                self.places.copy_within(from..from + BLOCK, to);
            }
            while from > 0 && self.places[from - 1] > place {
                from -= 1;
                to -= 1;
                self.places[to] = self.places[from];
            }
            to -= 1;
            self.places[to] = place;
        }
        self.next = self.next.min(to);
        self.places.truncate(self.room);
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Option<Place> {
        while let Some(place) = self.places.get_mut(self.next) {
            self.next += 1;
            if !place.is_expanded() {
                place.0 |= 1;
                return Some(*place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_order_as_keys_do() {
        let keys = [f32::NEG_INFINITY, -3.5, -0.0, 0.0, 1e-30, 2.0, f32::INFINITY];
        for (i, &a) in keys.iter().enumerate() {
            assert_eq!(Place::new(a, 7).key().to_bits(), a.to_bits());
            assert_eq!(Place::new(a, (1 << 30) - 1).node(), (1 << 30) - 1);
            for &b in &keys[i + 1..] {
                assert!(Place::new(a, 9) < Place::new(b, 3), "{a} before {b}");
            }
        }
    }

    #[test]
    fn the_pool_keeps_the_nearest_and_gives_each_once() {
        let mut pool = Pool::default();
        pool.start(3);
        let met = [(5.0, 1), (2.0, 2), (9.0, 3), (1.0, 4), (7.0, 5)].map(|(key, node)| Place::new(key, node));
        pool.admit(met[..2].iter().copied(), f32::INFINITY);
        pool.admit(met[2..].iter().copied(), f32::INFINITY);
        let nodes = |pool: &mut Pool| std::iter::from_fn(|| pool.take().map(Place::node)).collect::<Vec<_>>();
        assert_eq!(nodes(&mut pool), [4, 2, 1]);
        let met = [(3.0, 7), (0.5, 6), (1.5, 8)].map(|(key, node)| Place::new(key, node));
        pool.admit(met.into_iter(), 1.0);
        assert_eq!(nodes(&mut pool), [6], "the others are farther than the limit");
        assert_eq!(pool.places().iter().map(|place| place.node()).collect::<Vec<_>>(), [6, 4, 2]);
        assert_eq!(pool.bound(), Some(2.0));
    }
}
