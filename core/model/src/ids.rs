//! Identities and positions as newtypes, so that no function takes two bare integers.
//! Knows how a uuid is written; does not know how one is drawn (that is the `Entropy` port).

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// A 128-bit identity in the textual form of RFC 9562 (`8-4-4-4-12` hexadecimal digits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub [u8; 16]);

impl Uid {
    /// The identity whose bytes are `bytes`, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("uuid", "must be 8-4-4-4-12 hexadecimal digits");
        let raw = text.as_bytes();
        if raw.len() != 36 {
            return Err(wrong());
        }
        let mut bytes = [0u8; 16];
        let mut digits = 0usize;
        for (i, &c) in raw.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if c != b'-' {
                    return Err(wrong());
                }
                continue;
            }
            let nibble = char::from(c).to_digit(16).ok_or_else(wrong)? as u8;
            bytes[digits / 2] = (bytes[digits / 2] << 4) | nibble;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.parse().map($name)
            }
        }
    };
}

identity!(
    /// The uuid of a collection; stays when the collection is renamed.
    CollectionId
);
identity!(
    /// The uuid written on a site (a disk root or an object-store prefix); not its path.
    SiteId
);
identity!(
    /// The uuid of an immutable file: a segment, its index sidecar or a deletion vector.
    FileId
);

/// One shard of a collection: the unit of placement, of log order and of manifests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The collection it belongs to.
    pub collection: CollectionId,
    /// Its number in the collection, from 0.
    pub index: u32,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.collection, self.index)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ShardId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("shard", "must be a collection's uuid, a dash and a number");
        let (uid, rest) = text.split_at_checked(36).ok_or_else(wrong)?;
        let index = rest.strip_prefix('-').ok_or_else(wrong)?;
        if index.is_empty() || (index.len() > 1 && index.starts_with('0')) || !index.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        Ok(Self { collection: uid.parse()?, index: index.parse().map_err(|_| wrong())? })
    }
}

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The position `count` further on; saturates, since a position is never reused.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

position!(
    /// Grows by one each time a shard is opened for writing; an older epoch is fenced.
    Epoch
);
position!(
    /// The place of one operation in its shard's order; the first operation has 1, so 0 means "none yet".
    Sequence
);
position!(
    /// The number of a manifest of a shard; the newest readable one is the truth.
    ManifestNumber
);
position!(
    /// A position in a log, meaningful only to the writer that gave it.
    Lsn
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_round_trips() {
        let text = "0190f3a2-7c4e-7d11-8a5b-0123456789ab";
        assert_eq!(text.parse::<Uid>().expect("valid").to_string(), text);
        for bad in ["", "0190f3a27c4e7d118a5b0123456789ab", "0190f3a2-7c4e-7d11-8a5b-0123456789ag", "0190f3a2-7c4e-7d11-8a5b_0123456789ab"]
        {
            assert!(bad.parse::<Uid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shard_text_round_trips_and_has_one_form() {
        let text = "0190f3a2-7c4e-7d11-8a5b-0123456789ab-12";
        assert_eq!(text.parse::<ShardId>().expect("valid").to_string(), text);
        for bad in
            ["0190f3a2-7c4e-7d11-8a5b-0123456789ab", "0190f3a2-7c4e-7d11-8a5b-0123456789ab-01", "0190f3a2-7c4e-7d11-8a5b-0123456789ab-+1"]
        {
            assert!(bad.parse::<ShardId>().is_err(), "{bad}");
        }
    }
}
