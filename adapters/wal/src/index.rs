//! Which batch lies where, what is damaged, and which files nobody needs. Reads and writes nothing itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proximadb_model::frame::{Damage, Header, Kind, Place, Scan};
use proximadb_model::{Epoch, Sequence, ShardId};
use proximadb_ports::{Fault, PortError, Result};

/// A batch in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// Where the batch first stood, in whose order sequences ascend; the beginning of the log when only a copy is left.
    written: Place,
    pub(crate) bytes: u32,
    pub(crate) epoch: Epoch,
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
}

impl Entry {
    fn of(header: &Header) -> Self {
        let bytes = u32::try_from(header.frame_bytes()).unwrap_or(u32::MAX);
        Self { place: header.place, written: header.place, bytes, epoch: header.epoch, first: header.first, last: header.last() }
    }

    pub(crate) fn end(&self) -> u64 {
        u64::from(self.place.offset) + u64::from(self.bytes)
    }
}

/// Something wrong in a log file that replay must not pass over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wound {
    place: Place,
    batch: Option<(ShardId, Sequence, Sequence)>,
    fault: Fault,
}

/// A copy was in force when it was made, so it goes before whatever it overlaps. What has later sequences and an earlier epoch was
/// replaced when the batch was first written. Nothing else changes.
fn add_copy(entries: &mut VecDeque<Entry>, copy: Entry) {
    let at = entries.partition_point(|e| e.last < copy.first);
    let overlapping = entries.iter().skip(at).take_while(|e| e.first <= copy.last).count();
    let same = |e: &&Entry| (e.epoch, e.first, e.last) == (copy.epoch, copy.first, copy.last);
    let written = entries.get(at).filter(same).map_or(Place::default(), |e| e.written);
    entries.drain(at..at + overlapping);
    entries.insert(at, Entry { written, ..copy });
    let mut after = entries.split_off(at + 1);
    after.retain(|e| e.epoch >= copy.epoch);
    entries.append(&mut after);
}

fn in_force(entries: &mut VecDeque<Entry>, first: Sequence) -> Option<&mut Entry> {
    let at = entries.partition_point(|e| e.last < first);
    entries.get_mut(at).filter(|e| e.first == first)
}

/// The index of a log. The entries of a shard ascend in sequence, and so do the places where they were first written.
#[derive(Debug, Default)]
pub(crate) struct Index {
    shards: BTreeMap<ShardId, VecDeque<Entry>>,
    files: BTreeMap<u32, u64>,
    wounds: Vec<Wound>,
    /// Per file, where what is proven durable ends; only of files whose end is in doubt.
    proven: BTreeMap<u32, u64>,
    /// Places of batches that are in one copy although there should be two, with whose they are and their first sequence; some of
    /// them may no longer be in force.
    once: BTreeMap<Place, (ShardId, Sequence)>,
    /// Places of batches that were found whole in no copy when they were to be written once more.
    lost: BTreeSet<Place>,
    /// Files of which one copy alone would look damaged.
    hurt: BTreeSet<u32>,
    /// Per shard, the furthest place at which a batch that it no longer needs was first written, and that batch's last sequence.
    passed: BTreeMap<ShardId, (Place, Sequence)>,
    /// Shards that were refused a replay because of damage of which nobody knows whose it is.
    refused: BTreeSet<ShardId>,
    /// Shards whose loss by such damage has been accepted.
    accepted: BTreeSet<ShardId>,
}

impl Index {
    /// Takes what was found in a file; files come in the order of their numbers.
    pub(crate) fn add_file(&mut self, file: u32, bytes: u64, scan: &Scan) {
        self.files.insert(file, bytes);
        if scan.hurt {
            self.hurt.insert(file);
        }
        if scan.proven < bytes {
            self.proven.insert(file, scan.proven);
        }
        for header in &scan.batches {
            self.add_batch(header);
        }
        let once: BTreeSet<Place> = scan.once.iter().copied().collect();
        let whose = scan.batches.iter().filter(|h| once.contains(&h.place)).map(|h| (h.place, (h.shard, h.first)));
        self.once.extend(whose);
        self.wounds.extend(scan.damage.iter().map(|damage: &Damage| Wound {
            place: Place { file, offset: u32::try_from(damage.bytes.start).unwrap_or(u32::MAX) },
            batch: damage.batch,
            fault: Fault::Corrupt,
        }));
    }

    /// Takes a file that is there and cannot be read: any shard may have a batch in it.
    pub(crate) fn add_unreadable(&mut self, file: u32, bytes: u64, fault: Fault) {
        self.files.insert(file, bytes);
        self.wounds.push(Wound { place: Place { file, offset: 0 }, batch: None, fault });
    }

    /// Takes what was appended to a file that now has this many bytes; `once` where it is in fewer copies than it should be.
    pub(crate) fn add_group(&mut self, file: u32, bytes: u64, headers: &[Header], once: bool) {
        self.files.insert(file, bytes);
        for header in headers.iter().filter(|h| h.kind.is_batch()) {
            match header.kind {
                Kind::Copy => self.relocate(header),
                _ => self.add_batch(header),
            }
            if once {
                self.once.insert(header.place, (header.shard, header.first));
            }
        }
    }

    /// Takes a new length of a file to which nothing but a mark was appended.
    pub(crate) fn set_bytes(&mut self, file: u32, bytes: u64) {
        self.files.insert(file, bytes);
    }

    /// A batch that is still in force stands further on from now on; one that was freed meanwhile stays forgotten.
    fn relocate(&mut self, copy: &Header) {
        if let Some(entry) = self.shards.get_mut(&copy.shard).and_then(|entries| in_force(entries, copy.first))
            && (entry.epoch, entry.last) == (copy.epoch, copy.last())
        {
            self.once.remove(&entry.place);
            entry.place = copy.place;
        }
    }

    /// The first batches that are to be written once more, up to this many bytes but at least one: those in one copy although there
    /// should be two, and those that keep a file from being freed of which one copy alone would look damaged.
    pub(crate) fn wants_copies(&mut self, bytes_max: u64) -> Vec<(ShardId, Entry)> {
        let mut found = self.once(bytes_max);
        if let Some(last) = self.hurt.last().copied() {
            let all = self.shards.iter().flat_map(|(shard, entries)| entries.iter().map(|entry| (*shard, *entry)));
            let older = all.filter(|(_, entry)| entry.place.file <= last && !self.once.contains_key(&entry.place));
            found.extend(older.filter(|(_, entry)| !self.lost.contains(&entry.place)));
            found.sort_unstable_by_key(|(_, entry)| entry.place);
        }
        let mut bytes = 0;
        let fits = found.iter().take_while(|(_, entry)| {
            bytes += u64::from(entry.bytes);
            bytes <= bytes_max
        });
        let count = fits.count().max(1);
        found.truncate(count);
        found
    }

    /// The first batches that are in one copy although there should be two, up to this many bytes but at least one.
    fn once(&mut self, bytes_max: u64) -> Vec<(ShardId, Entry)> {
        let mut found = Vec::new();
        let mut stale = Vec::new();
        let mut bytes = 0;
        for (place, (shard, first)) in &self.once {
            let entry = self.shards.get_mut(shard).and_then(|entries| in_force(entries, *first));
            let Some(entry) = entry.filter(|entry| entry.place == *place) else {
                stale.push(*place);
                continue;
            };
            bytes += u64::from(entry.bytes);
            found.push((*shard, *entry));
            if bytes > bytes_max {
                break;
            }
        }
        for place in stale {
            self.once.remove(&place);
        }
        found
    }

    /// Whether the loss of one copy would lose something, or look as if it did.
    pub(crate) fn lacks_copies(&mut self) -> bool {
        !self.hurt.is_empty() || !self.once(0).is_empty()
    }

    /// Whether a file of which one copy alone would look damaged can be freed.
    pub(crate) fn frees_hurt(&self, active: Option<u32>) -> bool {
        !self.hurt.is_empty() && self.unneeded(active).iter().any(|file| self.hurt.contains(file))
    }

    /// Takes a file whose own copy was lost, so that a damaged one stands in its place.
    pub(crate) fn set_hurt(&mut self, file: u32) {
        self.hurt.insert(file);
    }

    /// Takes note that files are gone in both copies.
    pub(crate) fn forget_hurt(&mut self, files: &[u32]) {
        self.hurt.retain(|file| self.files.contains_key(file) || !files.contains(file));
    }

    /// Where a batch stands now, if it has been written once more.
    pub(crate) fn moved(&self, shard: ShardId, entry: &Entry) -> Option<Entry> {
        let entries = self.shards.get(&shard)?;
        let now = entries.get(entries.partition_point(|e| e.last < entry.first))?;
        let same = (now.epoch, now.first, now.last) == (entry.epoch, entry.first, entry.last);
        (same && now.place != entry.place).then_some(*now)
    }

    /// No longer tries to copy a batch that is whole nowhere.
    pub(crate) fn give_up(&mut self, place: Place) {
        self.once.remove(&place);
        self.lost.insert(place);
    }

    /// Of two batches with a sequence in common the one of the later epoch stays, and within an epoch the one further on in the
    /// log: the other was never acknowledged, or its sequence would not have been given again.
    fn add_batch(&mut self, header: &Header) {
        let entry = Entry::of(header);
        let entries = self.shards.entry(header.shard).or_default();
        if header.kind == Kind::Copy {
            return add_copy(entries, entry);
        }
        if entries.back().is_some_and(|last| last.epoch > entry.epoch) {
            return;
        }
        while let Some(last) = entries.back().filter(|last| last.last >= entry.first) {
            if last.first < entry.first {
                // No writer gives a sequence out of the middle of a batch again; neither side can be believed.
                self.wounds.push(Wound { place: entry.place, batch: Some((header.shard, entry.first, entry.last)), fault: Fault::Corrupt });
                return;
            }
            entries.pop_back();
        }
        entries.push_back(entry);
    }

    /// The batches that can be read, but of which nothing proves that the next power cut leaves them, in the order of the log.
    pub(crate) fn doubtful(&self) -> Vec<(ShardId, Entry)> {
        let in_doubt = |entry: &Entry| self.proven.get(&entry.place.file).is_some_and(|proven| entry.end() > *proven);
        let all = self.shards.iter().flat_map(|(shard, entries)| entries.iter().map(|entry| (*shard, *entry)));
        let mut entries: Vec<_> = all.filter(|(_, entry)| in_doubt(entry)).collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.place);
        entries
    }

    /// The latest epoch that wrote to a shard.
    pub(crate) fn epoch(&self, shard: ShardId) -> Option<Epoch> {
        self.shards.get(&shard)?.back().map(|e| e.epoch)
    }

    /// The batches with an operation after `after`, in order.
    ///
    /// Fails where damage may have taken one of them. A damaged place is none of the shard's when its sequences go on without a
    /// gap from `after` to a batch that was written later: nothing is missing then.
    pub(crate) fn replay(&mut self, shard: ShardId, after: Sequence) -> Result<Vec<Entry>> {
        let entries: Vec<_> = self.shards.get(&shard).into_iter().flatten().filter(|e| e.last > after).copied().collect();
        let unbroken_to = self.unbroken_to(shard, after, &entries);
        let Some(wound) = self.wounds.iter().find(|w| self.touches(shard, after, &entries, unbroken_to, w)) else { return Ok(entries) };
        if wound.batch.is_none() {
            self.refused.insert(shard);
        }
        let message =
            format!("log file {} is damaged at {}, where a batch of it was or may have been", wound.place.file, wound.place.offset);
        Err(PortError::new(wound.fault, "wal.replay", shard, message))
    }

    /// The place before which no batch of the shard after `after` can be missing, when these are left.
    fn unbroken_to(&self, shard: ShardId, after: Sequence, entries: &[Entry]) -> Option<Place> {
        let mut place = self.passed.get(&shard).filter(|(_, last)| *last <= after).map(|(place, _)| *place);
        let mut reached = after;
        for entry in entries {
            if entry.first > reached.plus(1) {
                break;
            }
            reached = entry.last;
            place = place.max(Some(entry.written));
        }
        place
    }

    fn touches(&self, shard: ShardId, after: Sequence, entries: &[Entry], unbroken_to: Option<Place>, wound: &Wound) -> bool {
        let concerns = match wound.batch {
            Some((whose, _, last)) => whose == shard && last > after,
            None => !self.accepted.contains(&shard),
        };
        // A copy further on, or what took the batch's place, makes the wound harmless.
        let replaced = |first, last| entries.iter().any(|e| (e.first, e.last) == (first, last) && e.place > wound.place);
        let healed = wound.batch.is_some_and(|(_, first, last)| replaced(first, last));
        concerns && !healed && unbroken_to.is_none_or(|place| place < wound.place)
    }

    /// Passes over what damage has taken of a shard, and forgets the damage that touches no shard any more.
    pub(crate) fn accept_damage(&mut self, shard: ShardId) {
        self.wounds.retain(|w| w.batch.is_none_or(|(whose, ..)| whose != shard));
        self.accepted.insert(shard);
        let known: BTreeSet<ShardId> = self.shards.keys().chain(&self.refused).copied().collect();
        let objects = |shard: &ShardId, wound: &Wound| {
            let after = self.passed.get(shard).map_or(Sequence(0), |(_, last)| *last);
            let entries: Vec<_> = self.shards.get(shard).into_iter().flatten().copied().collect();
            self.touches(*shard, after, &entries, self.unbroken_to(*shard, after, &entries), wound)
        };
        let kept = self.wounds.iter().filter(|w| w.batch.is_some() || known.iter().any(|shard| objects(shard, w)));
        self.wounds = kept.cloned().collect();
    }

    /// Forgets a shard's batches up to `through`.
    pub(crate) fn truncate(&mut self, shard: ShardId, through: Sequence) {
        if let Some(entries) = self.shards.get_mut(&shard) {
            while let Some(entry) = entries.pop_front_if(|e| e.last <= through) {
                let passed = self.passed.entry(shard).or_default();
                *passed = (entry.written.max(passed.0), entry.last.max(passed.1));
            }
            if entries.is_empty() {
                self.shards.remove(&shard);
            }
        }
        self.wounds.retain(|w| w.batch.is_none_or(|(whose, _, last)| whose != shard || last > through));
    }

    /// The files that nobody needs, oldest first; only files older than every one that is needed are among them, so that what a
    /// later batch replaced never outlives it. A file with damage of which nobody knows whose it was is needed until the damage is
    /// accepted.
    pub(crate) fn unneeded(&self, active: Option<u32>) -> Vec<u32> {
        let of_shards = self.shards.values().flatten().map(|e| e.place.file);
        let needed = of_shards.chain(self.wounds.iter().map(|w| w.place.file)).chain(active).min().unwrap_or(u32::MAX);
        self.files.range(..needed).map(|(file, _)| *file).collect()
    }

    pub(crate) fn forget_file(&mut self, file: u32) {
        self.files.remove(&file);
    }

    /// The shards that need the oldest file, with the file's bytes.
    pub(crate) fn oldest_holders(&self) -> Option<(u64, Vec<ShardId>)> {
        let (oldest, bytes) = self.files.first_key_value()?;
        let holders = self.shards.iter().filter(|(_, entries)| entries.iter().any(|e| e.place.file == *oldest));
        Some((*bytes, holders.map(|(shard, _)| *shard).collect()))
    }

    pub(crate) fn oldest_file(&self) -> Option<u32> {
        self.files.keys().next().copied()
    }

    pub(crate) fn last_file(&self) -> Option<u32> {
        self.files.keys().next_back().copied()
    }

    /// Shards with the last sequence that the log holds, or held before it was damaged.
    pub(crate) fn shards(&self) -> Vec<(ShardId, Sequence)> {
        let mut last: BTreeMap<ShardId, Sequence> = BTreeMap::new();
        let whole = self.shards.iter().filter_map(|(shard, entries)| entries.back().map(|e| (*shard, e.last)));
        for (shard, sequence) in whole.chain(self.wounds.iter().filter_map(|w| w.batch.map(|(shard, _, last)| (shard, last)))) {
            let known = last.entry(shard).or_default();
            *known = sequence.max(*known);
        }
        last.into_iter().collect()
    }

    /// Number of files and their bytes.
    pub(crate) fn size(&self) -> (u32, u64) {
        (u32::try_from(self.files.len()).unwrap_or(u32::MAX), self.files.values().sum())
    }
}
