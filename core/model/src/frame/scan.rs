//! Walking the bytes of one log file: which frames are whole, where damage is, and whether it was ever acknowledged.

use std::collections::BTreeMap;
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
        Self::of_log(bytes, file, start.map(|h| h.log))
    }

    /// A scanner of a copy of file number `file`, whose random number is known from another copy.
    fn of_log(bytes: &'a [u8], file: u32, log: Option<LogId>) -> Self {
        Self { bytes, file, log, at: 0 }
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
    /// Where those of them stand that are not whole in every copy, or not proven durable by a copy other than the first.
    pub once: Vec<Place>,
    /// Whether one of several copies would be taken for damaged if it were the only one.
    pub hurt: bool,
    /// Damage among bytes that were durable, and so may have been acknowledged.
    pub damage: Vec<Damage>,
    /// Where the torn tail begins; the file's length where there is none.
    pub torn_at: u64,
    /// Everything before here is known to have been durable.
    pub proven: u64,
    /// Places up to which this file's frames prove files durable: its own, and the one before it.
    pub proofs: Vec<Place>,
    /// Those of them that stand in a copy other than the first.
    pub second_proofs: Vec<Place>,
    /// The file's random number; `None` when its first frame is lost.
    pub log: Option<LogId>,
}

/// Reads a log file and tells damage from a torn tail. `proof` is how far later files prove this one durable, 0 when they say
/// nothing; a file that may not be torn at all has its full length as proof.
///
/// A bad frame was acknowledged, or may have been, exactly when a whole frame written later says that the log was durable
/// beyond the bad frame's beginning. Frames of one group are written and made durable together, so no frame says so about its
/// own group.
pub fn scan(bytes: &[u8], file: u32, proof: u64) -> Scan {
    scan_copies(&[Copy { bytes, proof }], file)
}

/// One copy of a log file.
#[derive(Clone, Copy, Debug)]
pub struct Copy<'a> {
    /// Its bytes; none when it is not there.
    pub bytes: &'a [u8],
    /// How far later files prove it durable: for the first copy those of any copy, for another one its own.
    pub proof: u64,
}

/// Reads the copies of a log file as one: each frame from whichever copy has it whole.
///
/// The copies hold the same bytes at the same places, as far as each goes. Where they are different files, which only their
/// random numbers tell, the first one that has a start counts. A frame is only written to a copy when everything before it is
/// durable there, so what a frame proves holds for the copy in which it stands, and for the first one, which has every frame.
pub fn scan_copies(copies: &[Copy<'_>], file: u32) -> Scan {
    let log = log_of(copies, file);
    let mut result = Scan { log, ..Scan::default() };
    let mut durable = 0;
    let mut said = Vec::with_capacity(copies.len());
    let mut frames: BTreeMap<u64, (Header, Vec<usize>)> = BTreeMap::new();
    let mut bad: BTreeMap<u64, Damage> = BTreeMap::new();
    for (copy, Copy { bytes, proof }) in copies.iter().enumerate() {
        let (mut proven, mut whole_to) = (*proof, bytes.len() as u64);
        for item in Scanner::of_log(bytes, file, log) {
            match item {
                Found::Frame(Frame { header, .. }) => {
                    if header.durable.file == file {
                        proven = proven.max(u64::from(header.durable.offset));
                    }
                    if log.is_some() && result.proofs.last() != Some(&header.durable) {
                        result.proofs.push(header.durable);
                    }
                    if log.is_some() && copy > 0 && result.second_proofs.last() != Some(&header.durable) {
                        result.second_proofs.push(header.durable);
                    }
                    frames.entry(u64::from(header.place.offset)).or_insert((header, Vec::new())).1.push(copy);
                }
                Found::Damage(damage) => {
                    whole_to = whole_to.min(damage.bytes.start);
                    let known = bad.entry(damage.bytes.start).or_insert_with(|| damage.clone());
                    if known.batch.is_none() && damage.batch.is_some() {
                        *known = damage;
                    }
                }
            }
        }
        result.hurt |= copies.len() > 1 && whole_to < proven;
        durable = durable.max(proven);
        said.push(proven);
    }
    let length = copies.iter().map(|copy| copy.bytes.len() as u64).max().unwrap_or(0);
    (result.torn_at, result.proven) = (length, durable);
    if log.is_none() && length > 0 {
        // Without the number no frame can be told from a smuggled one; together they prove that there was something.
        if durable > 0 {
            result.damage.push(Damage { bytes: 0..length.max(durable), batch: None });
        } else {
            result.torn_at = 0;
        }
        return result;
    }
    let end = length.max(durable);
    let mut at = 0;
    for (offset, found) in frames.into_iter().map(|(offset, found)| (offset, Some(found))).chain([(end, None)]) {
        for damage in gap(at..offset, length, &bad) {
            if damage.bytes.start >= durable {
                result.torn_at = damage.bytes.start;
                return result;
            }
            result.damage.push(damage);
        }
        let Some((header, whole)) = found else { break };
        at = at.max(offset + header.frame_bytes() as u64);
        if header.kind.is_batch() {
            result.batches.push(header);
            let twice = |copy: usize| whole.contains(&copy) && (copy == 0 || at <= said[copy]);
            if !(0..copies.len()).all(twice) {
                result.once.push(header.place);
            }
        }
    }
    result
}

/// The random number of the first copy that begins as this file does; else of any that begins as a log file.
fn log_of(copies: &[Copy<'_>], file: u32) -> Option<LogId> {
    let start = |copy: &Copy<'_>| Header::decode(copy.bytes).ok().filter(|h| h.kind == Kind::Start);
    let place = Place { file, offset: 0 };
    let own = copies.iter().filter_map(start).find(|h| h.place == place);
    own.or_else(|| copies.iter().find_map(start)).map(|h| h.log)
}

/// The damage between two frames that are whole in some copy, cut where a copy's damage begins and where the copies end.
fn gap(between: Range<u64>, length: u64, bad: &BTreeMap<u64, Damage>) -> Vec<Damage> {
    let mut damages = Vec::new();
    let mut at = between.start;
    while at < between.end {
        let next = bad.range(at + 1..).next().map_or(between.end, |(start, _)| *start);
        let next = if at < length { next.min(length) } else { next };
        let known = bad.get(&at).filter(|damage| damage.batch.is_some());
        let end = known.map_or(next, |damage| damage.bytes.end).min(between.end);
        damages.push(Damage { bytes: at..end, batch: known.and_then(|damage| damage.batch) });
        at = end;
    }
    damages
}
