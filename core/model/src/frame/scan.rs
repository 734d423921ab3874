//! Walking the bytes of one log file: which frames are whole, where damage is, and whether it was ever acknowledged.

use std::ops::Range;

use super::{BadFrame, BadHeader, Frame, HEADER_BYTES, Header, Kind, LogId, MAGIC, Place};
use crate::ids::{Sequence, ShardId};

/// What a scanner came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// Bytes that are no frame.
    Damage(Damage),
}

/// Bytes of a log file that are not what was written, if anything ever was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where they are.
    pub bytes: Range<u64>,
    /// The shard and sequences of the batch that was there; `None` when not even that is known.
    pub batch: Option<(ShardId, Sequence, Sequence)>,
}

/// Walks a log file from its first frame on. After damage it goes on at the next place where a header of this very log file
/// stands where it says it stands; a header whose checksum holds is believed about its frame's length.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    file: u32,
    log: Option<LogId>,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner of the bytes of file number `file`.
    pub fn new(bytes: &'a [u8], file: u32) -> Self {
        let start = Header::decode(bytes).ok().filter(|h| h.kind == Kind::Start);
        Self { bytes, file, log: start.map(|h| h.log), at: 0 }
    }

    /// The file's random number; `None` when its first frame is damaged, and then frames of any number are found.
    pub fn log(&self) -> Option<LogId> {
        self.log
    }

    fn decode_at(&self, at: usize) -> Result<Frame<'a>, BadFrame> {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let belongs = |h: &Header| h.place.file == self.file && h.place.offset as usize == at && self.log.is_none_or(|log| log == h.log);
        match Frame::decode(bytes) {
            Ok(frame) if belongs(&frame.header) => Ok(frame),
            Err(BadFrame::Body(header)) if belongs(&header) => Err(BadFrame::Body(header)),
            Err(BadFrame::Header(bad)) => Err(BadFrame::Header(bad)),
            Ok(_) | Err(BadFrame::Body(_)) => Err(BadFrame::Header(BadHeader::Meaning)),
        }
    }

    /// The next place at or after `from` where a header of this file stands, or the end.
    fn resync(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(rest) = self.bytes.get(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
            let Some(step) = rest.iter().position(|b| *b == MAGIC[0]) else { break };
            at += step;
            if self.bytes[at..].starts_with(&MAGIC) && !matches!(self.decode_at(at), Err(BadFrame::Header(_))) {
                return at;
            }
            at += 1;
        }
        self.bytes.len()
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let from = self.at;
        let (found, end) = match self.decode_at(from) {
            Ok(frame) => (Found::Frame(frame), from + frame.header.frame_bytes()),
            Err(bad) => {
                let (batch, end) = match bad {
                    BadFrame::Body(h) => {
                        let batch = h.kind.is_batch().then_some((h.shard, h.first, h.last()));
                        (batch, (from + h.frame_bytes()).min(self.bytes.len()))
                    }
                    BadFrame::Header(_) => (None, self.resync(from + 1)),
                };
                (Found::Damage(Damage { bytes: from as u64..end as u64, batch }), end)
            }
        };
        self.at = end;
        Some(found)
    }
}

/// What is to be made of a log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The batches to replay, in order. Those after a torn place are not among them: they were never acknowledged, and
    /// whatever they were to follow is gone.
    pub batches: Vec<Header>,
    /// Damage among bytes that were durable, and so may have been acknowledged.
    pub damage: Vec<Damage>,
    /// Where the torn tail begins; the file's length where there is none.
    pub torn_at: u64,
    /// Everything before here is known to have been durable.
    pub proven: u64,
    /// Places up to which this file's frames prove files durable: its own, and the one before it.
    pub proofs: Vec<Place>,
}

/// Reads a log file and tells damage from a torn tail. `proof` is how far later files prove this one durable, 0 when they say
/// nothing; a file that may not be torn at all has its full length as proof.
///
/// A bad frame was acknowledged, or may have been, exactly when a whole frame written later says that the log was durable
/// beyond the bad frame's beginning. Frames of one group are written and made durable together, so no frame says so about its
/// own group.
pub fn scan(bytes: &[u8], file: u32, proof: u64) -> Scan {
    let scanner = Scanner::new(bytes, file);
    let start_lost = scanner.log().is_none();
    let mut durable = proof;
    let mut proofs: Vec<Place> = Vec::new();
    let mut found = Vec::new();
    for item in scanner {
        match item {
            Found::Frame(frame) => {
                let said = frame.header.durable;
                if said.file == file {
                    durable = durable.max(u64::from(said.offset));
                }
                if !start_lost && proofs.last() != Some(&said) {
                    proofs.push(said);
                }
                if frame.header.kind.is_batch() {
                    found.push(Ok(frame.header));
                }
            }
            Found::Damage(damage) => found.push(Err(damage)),
        }
    }
    let length = bytes.len() as u64;
    if durable > length {
        found.push(Err(Damage { bytes: length..durable, batch: None }));
    }
    let mut result = Scan { torn_at: length, proven: durable, proofs, ..Scan::default() };
    if start_lost && length > 0 {
        // Without the number no frame can be told from a smuggled one; together they prove that there was something.
        if durable > 0 {
            result.damage.push(Damage { bytes: 0..length.max(durable), batch: None });
        } else {
            result.torn_at = 0;
        }
        return result;
    }
    for item in found {
        match item {
            Ok(header) => result.batches.push(header),
            Err(damage) if damage.bytes.start < durable => result.damage.push(damage),
            Err(damage) => {
                result.torn_at = damage.bytes.start;
                break;
            }
        }
    }
    result
}
