//! The frame around everything in a log: who wrote it, where it belongs and whether its bytes are whole.
//! Knows nothing of what a payload says; codecs do. The byte table is in `docs/formats/wal.adoc`.

use bytes::Bytes;
use thiserror::Error;

use crate::batch::{CodecId, IdempotencyTag};
use crate::ids::{CollectionId, Epoch, Lsn, Sequence, ShardId, Uid};
use crate::limits::{FRAME_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX};

mod scan;

pub use scan::{Copy, Damage, Found, Scan, Scanner, scan, scan_copies};

/// The first bytes of every frame. `F5` and `FE` never occur in UTF-8, so no text of a user looks like them.
pub const MAGIC: [u8; 8] = [0xf5, b'P', b'X', b'W', b'A', b'L', 0xfe, b'\n'];
/// The version of the layout.
pub const VERSION: u8 = 1;
/// Bytes before the key.
pub const HEADER_BYTES: usize = 96;
/// Bytes after the payload.
pub const TRAILER_BYTES: usize = 4;

const HEADER_CRC_AT: usize = 92;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Operations of one shard.
    Batch,
    /// Only says how far the log is durable; written when a log goes idle.
    Watermark,
    /// The first frame of a log file.
    Start,
    /// A batch written once more, because nothing proved that it was durable where it stood. It is what it was: it takes the
    /// place of what shares a sequence with it, and of nothing that comes after it.
    Copy,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Watermark => 2,
            Self::Start => 3,
            Self::Copy => 4,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Batch, Self::Watermark, Self::Start, Self::Copy].into_iter().find(|k| k.code() == code)
    }

    /// Whether it carries the operations of a shard.
    pub fn is_batch(self) -> bool {
        matches!(self, Self::Batch | Self::Copy)
    }
}

/// A place in a log: the number of a file and an offset in it. As an [`Lsn`] the file is the upper half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the file.
    pub file: u32,
    /// The offset in the file.
    pub offset: u32,
}

impl Place {
    /// The place as one number, in the same order.
    pub fn lsn(self) -> Lsn {
        Lsn(u64::from(self.file) << 32 | u64::from(self.offset))
    }
}

impl From<Lsn> for Place {
    fn from(lsn: Lsn) -> Self {
        Self { file: (lsn.0 >> 32) as u32, offset: lsn.0 as u32 }
    }
}

/// A number drawn at random for each log file and repeated in each of its frames, so that the bytes of a frame that somebody
/// smuggled into a payload are never taken for a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogId(pub u64);

/// Everything that a frame says before its key and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// The codec of the payload; 0 where there is none.
    pub codec: CodecId,
    /// Bytes of the idempotency key; 0 for none.
    pub key_bytes: u8,
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// The shard of a batch.
    pub shard: ShardId,
    /// Operations of a batch, at least one.
    pub operations: u32,
    /// The epoch of a batch's writer.
    pub epoch: Epoch,
    /// The sequence of a batch's first operation.
    pub first: Sequence,
    /// The request's digest, where there is a key.
    pub fingerprint: u64,
    /// The log file's random number.
    pub log: LogId,
    /// Where the frame begins.
    pub place: Place,
    /// Everything before this place in its file was durable when the frame was written. Says nothing about other files.
    pub durable: Place,
}

/// Why bytes are not a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadHeader {
    /// The bytes end before it does.
    #[error("the bytes end inside a header")]
    Short,
    /// No frame begins here.
    #[error("no frame begins here")]
    Magic,
    /// The checksum is wrong.
    #[error("the header's checksum is wrong")]
    Checksum,
    /// The checksum is right and a field has no meaning: a later version, or a bug of the writer.
    #[error("the header's version, kind, sizes or counts are none that this version writes")]
    Meaning,
}

impl Header {
    /// A frame that carries no operations.
    pub fn bare(kind: Kind, log: LogId, place: Place, durable: Place) -> Self {
        Self {
            kind,
            codec: CodecId(0),
            key_bytes: 0,
            payload_bytes: 0,
            shard: ShardId { collection: CollectionId(Uid([0; 16])), index: 0 },
            operations: 0,
            epoch: Epoch(0),
            first: Sequence(0),
            fingerprint: 0,
            log,
            place,
            durable,
        }
    }

    /// The sequence of a batch's last operation.
    pub fn last(&self) -> Sequence {
        self.first.plus(u64::from(self.operations).saturating_sub(1))
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + usize::from(self.key_bytes) + self.payload_bytes as usize + TRAILER_BYTES
    }

    /// The header's bytes, checksum included.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Writer { out: [0; HEADER_BYTES], at: 0 };
        out.put(&MAGIC);
        out.put(&[VERSION, self.kind.code(), self.codec.0, self.key_bytes]);
        out.put(&self.payload_bytes.to_le_bytes());
        out.put(self.shard.collection.0.as_bytes());
        out.put(&self.shard.index.to_le_bytes());
        out.put(&self.operations.to_le_bytes());
        out.put(&self.epoch.0.to_le_bytes());
        out.put(&self.first.0.to_le_bytes());
        out.put(&self.fingerprint.to_le_bytes());
        out.put(&self.log.0.to_le_bytes());
        out.put(&self.place.lsn().0.to_le_bytes());
        out.put(&self.durable.lsn().0.to_le_bytes());
        out.put(&[0; 4]);
        debug_assert_eq!(out.at, HEADER_CRC_AT);
        let crc = crc32c::crc32c(&out.out[..HEADER_CRC_AT]);
        out.put(&crc.to_le_bytes());
        out.out
    }

    /// Reads a header from the start of `bytes`.
    ///
    /// # Errors
    /// [`BadHeader`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        if !bytes.starts_with(&MAGIC) {
            return Err(if bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes) { BadHeader::Short } else { BadHeader::Magic });
        }
        let raw: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BadHeader::Short)?;
        let mut read = Reader { raw, at: MAGIC.len() };
        let [version, kind, codec, key_bytes] = read.take();
        let header = Self {
            kind: Kind::of(kind).unwrap_or(Kind::Watermark),
            codec: CodecId(codec),
            key_bytes,
            payload_bytes: u32::from_le_bytes(read.take()),
            shard: ShardId { collection: CollectionId(Uid(read.take())), index: u32::from_le_bytes(read.take()) },
            operations: u32::from_le_bytes(read.take()),
            epoch: Epoch(u64::from_le_bytes(read.take())),
            first: Sequence(u64::from_le_bytes(read.take())),
            fingerprint: u64::from_le_bytes(read.take()),
            log: LogId(u64::from_le_bytes(read.take())),
            place: Lsn(u64::from_le_bytes(read.take())).into(),
            durable: Lsn(u64::from_le_bytes(read.take())).into(),
        };
        let reserved: [u8; 4] = read.take();
        if u32::from_le_bytes(read.take()) != crc32c::crc32c(&raw[..HEADER_CRC_AT]) {
            return Err(BadHeader::Checksum);
        }
        let known = version == VERSION && Kind::of(kind).is_some() && reserved == [0; 4];
        if known && header.makes_sense() { Ok(header) } else { Err(BadHeader::Meaning) }
    }

    fn makes_sense(&self) -> bool {
        let batch = match self.kind {
            Kind::Batch | Kind::Copy => {
                self.operations > 0 && self.first > Sequence(0) && self.first.0.checked_add(u64::from(self.operations)).is_some()
            }
            Kind::Watermark | Kind::Start => self.operations == 0 && self.payload_bytes == 0 && self.key_bytes == 0,
        };
        batch && self.frame_bytes() <= FRAME_BYTES_MAX && (self.key_bytes > 0 || self.fingerprint == 0)
    }

    /// The bytes around a payload: header and key before it, checksum after it.
    pub fn around(&self, key: &str, payload: &[u8]) -> (Bytes, [u8; TRAILER_BYTES]) {
        debug_assert!(key.len() == usize::from(self.key_bytes) && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX);
        debug_assert_eq!(payload.len(), self.payload_bytes as usize);
        let mut head = Vec::with_capacity(HEADER_BYTES + key.len());
        head.extend_from_slice(&self.encode());
        head.extend_from_slice(key.as_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), payload);
        (head.into(), crc.to_le_bytes())
    }
}

/// A whole frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// The idempotency key; empty for none.
    pub key: &'a str,
    /// The payload.
    pub payload: &'a [u8],
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadFrame {
    /// Not even its header can be read.
    #[error(transparent)]
    Header(#[from] BadHeader),
    /// The header is right; key, payload or trailer are not, or the bytes end before them.
    #[error("the frame of shard {} at {} is cut off or its checksum is wrong", .0.shard, .0.place.offset)]
    Body(Header),
}

impl<'a> Frame<'a> {
    /// Reads and checks the frame at the start of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    /// [`BadFrame`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BadFrame> {
        let header = Header::decode(bytes)?;
        let bad = || BadFrame::Body(header);
        let (body, rest) = bytes.split_at_checked(header.frame_bytes() - TRAILER_BYTES).ok_or_else(bad)?;
        let trailer = rest.first_chunk().ok_or_else(bad)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*trailer) {
            return Err(bad());
        }
        let (key, payload) = body[HEADER_BYTES..].split_at(usize::from(header.key_bytes));
        let key = std::str::from_utf8(key).map_err(|_| bad())?;
        Ok(Self { header, key, payload })
    }

    /// The mark of a write that its client may repeat.
    pub fn idempotency(&self) -> Option<IdempotencyTag> {
        (!self.key.is_empty()).then(|| IdempotencyTag { key: self.key.to_owned(), fingerprint: self.header.fingerprint })
    }
}

struct Writer {
    out: [u8; HEADER_BYTES],
    at: usize,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

struct Reader<'a> {
    raw: &'a [u8; HEADER_BYTES],
    at: usize,
}

impl Reader<'_> {
    /// The fields' sizes add up to the header's, so no field is ever short.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.raw[self.at..self.at + N]);
        self.at += N;
        field
    }
}

#[cfg(test)]
mod tests;
