//! Owns what every strategy asks of a site: may it take a shard, how full is it, and it with one shard more. Refuses to choose.

use crate::{Site, Subject};

impl Site {
    /// Whether the subject may go there: the site is healthy, has a share, and the bytes that are expected fit.
    #[must_use]
    pub fn is_open_to(&self, subject: &Subject) -> bool {
        let fits = |capacity: u64| self.used_bytes.saturating_add(subject.expected_bytes) <= capacity;
        self.healthy && self.weight > 0.0 && self.capacity_bytes.is_none_or(fits)
    }

    /// Shards for each unit of weight.
    #[must_use]
    pub fn load(&self) -> f64 {
        f64::from(self.shards) / f64::from(self.weight)
    }

    /// Counts the subject as placed there.
    pub fn take(&mut self, subject: &Subject) {
        self.shards = self.shards.saturating_add(1);
        self.used_bytes = self.used_bytes.saturating_add(subject.expected_bytes);
    }

    /// What follows the prefix in the first tag that begins with it, such as the rack in `rack:a`.
    #[must_use]
    pub fn tag(&self, prefix: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn site() -> Site {
        Site {
            id: "a".to_owned(),
            kind: Kind::Ssd,
            capacity_bytes: Some(100),
            used_bytes: 40,
            shards: 2,
            weight: 4.0,
            healthy: true,
            tags: vec!["room:1".to_owned(), "rack:x".to_owned(), "rack:y".to_owned()],
        }
    }

    fn subject(expected_bytes: u64) -> Subject {
        Subject { collection: "c".to_owned(), shard: 0, expected_bytes, tags: Vec::new() }
    }

    #[test]
    fn a_site_is_open_while_it_is_well_and_has_room() {
        let is_open = |site: Site, bytes| site.is_open_to(&subject(bytes));
        assert!(is_open(site(), 60));
        assert!(!is_open(site(), 61));
        assert!(!is_open(site(), u64::MAX));
        assert!(is_open(Site { capacity_bytes: None, ..site() }, u64::MAX));
        assert!(!is_open(Site { healthy: false, ..site() }, 0));
        assert!(!is_open(Site { weight: 0.0, ..site() }, 0));
        assert!(!is_open(Site { weight: f32::NAN, ..site() }, 0));
    }

    #[test]
    fn what_a_site_takes_counts() {
        let mut site = site();
        assert_eq!(site.load(), 0.5);
        site.take(&subject(50));
        assert_eq!((site.shards, site.used_bytes, site.load()), (3, 90, 0.75));
        site.take(&subject(u64::MAX));
        assert_eq!(site.used_bytes, u64::MAX);
    }

    #[test]
    fn the_first_tag_with_the_prefix_is_meant() {
        assert_eq!(site().tag("rack:"), Some("x"));
        assert_eq!(site().tag("row:"), None);
    }
}
