//! The suite of the log: one property a guarantee, and a model that any course of writes and crashes must keep to.
//!
//! An adapter brings a [`WalHarness`]; its tests run these functions on a runtime of their choice, with time that passes by
//! itself when nothing else can run.

mod codec;
mod course;

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::frame::{HEADER_BYTES, TRAILER_BYTES};
use proximadb_model::{
    CollectionId, Dimension, EncodedOperations, Epoch, IdempotencyTag, Metadata, MetricKind, Operation, Record, RecordId, Sequence,
    ShardId, Uid, Value, Vector, WriteBatch,
};

pub use codec::{Datetimes, codec_answers_any_bytes, codec_gives_back, operations};
pub use course::{Step, keeps_to_the_model, steps};

use crate::error::{Fault, Result};
use crate::wal::{Wal, WalCodec, WalWriter};

/// A log on a medium whose power can be cut. Its files are small (some KiB), so that a test has several of them.
#[async_trait]
pub trait WalHarness: Send {
    /// Opens the log anew on what is there, and forgets failures that have not struck. Tasks of a log from before have ended, as with a process that ended.
    async fn open(&mut self) -> Arc<dyn Wal>;

    /// Cuts the power: what was not made durable may be lost, in part or whole.
    async fn crash(&mut self);

    /// Makes the next write that the log asks of its medium fail, once.
    fn fail_next_write(&mut self);

    /// Makes the next request for durability fail, where that is a step of its own.
    fn fail_next_sync(&mut self);

    /// Does to the medium what a log on it must put up with as if nothing had happened, such as the loss of one of two copies;
    /// `draw` decides what. Most media have nothing of the kind.
    async fn trouble(&mut self, draw: u64) {
        let _ = draw;
    }

    /// Waits for longer than a log takes to go idle.
    async fn idle(&mut self);

    /// The log's files.
    async fn files(&mut self) -> Vec<(String, Vec<u8>)>;

    /// Replaces a file's bytes behind the log's back.
    async fn set_file(&mut self, name: &str, bytes: Vec<u8>);

    /// Removes a file behind the log's back.
    async fn remove_file(&mut self, name: &str);

    /// Whether a log can end in a torn write; false where each write is whole or not there.
    fn can_tear(&self) -> bool;

    /// A codec other than the one the log writes with.
    fn other_codec(&self) -> Arc<dyn WalCodec>;
}

/// The shard with this number.
pub fn shard(index: u32) -> ShardId {
    ShardId { collection: CollectionId(Uid([0xc0; 16])), index }
}

/// A batch of `count` puts and a delete whose content follows from its place, so that a wrong one shows.
pub fn batch(shard: ShardId, epoch: Epoch, first: Sequence, count: u32) -> WriteBatch {
    let put = |i: u32| {
        let seed = first.0 as f32 + i as f32 / 16.0 + shard.index as f32 * 1e3;
        let dimension = Dimension::new(4).expect("4 is a dimension");
        let vector = Vector::new(vec![seed, -seed, epoch.0 as f32, 0.5], dimension, &MetricKind::Euclidean).expect("finite");
        let fields =
            [("n".to_owned(), Value::from_u64(first.0 + u64::from(i))), ("pad".to_owned(), Value::String("x".repeat(i as usize * 40)))];
        let metadata = Metadata::new(fields.into_iter().collect()).expect("small");
        Operation::Put(Record { id: id(shard, first, i), vector, metadata: Arc::new(metadata), expires: None })
    };
    let mut operations: Vec<_> = (0..count).map(put).collect();
    operations.push(Operation::Delete(id(shard, first, count)));
    let keyed = first.0.is_multiple_of(3);
    let idempotency = keyed.then(|| IdempotencyTag { key: format!("key-{first}"), fingerprint: first.0 ^ epoch.0 });
    WriteBatch { shard, epoch, first, operations, idempotency, encoded: None }
}

fn id(shard: ShardId, first: Sequence, i: u32) -> RecordId {
    RecordId::new(&format!("{}-{first}-{i}", shard.index)).expect("short")
}

/// Every batch of a shard after a sequence, without the bytes that it has in the log.
///
/// # Errors
/// Those of replay.
pub async fn replayed(wal: &dyn Wal, shard: ShardId, after: Sequence) -> Result<Vec<WriteBatch>> {
    let mut stream = wal.replay(shard, after).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await? {
        assert!(batch.encoded.is_some(), "a replayed batch carries its bytes");
        batches.push(WriteBatch { encoded: None, ..batch });
    }
    Ok(batches)
}

async fn writer(wal: &dyn Wal, shard: ShardId, epoch: u64) -> Box<dyn WalWriter> {
    wal.open(shard, Epoch(epoch)).await.expect("opens")
}

/// Appends and syncs batches of `count` puts, one after the other, and gives them back.
async fn write(writer: &mut dyn WalWriter, shard: ShardId, epoch: u64, first: u64, counts: &[u32]) -> Vec<WriteBatch> {
    let mut next = Sequence(first);
    let mut batches = Vec::new();
    for count in counts {
        let batch = batch(shard, Epoch(epoch), next, *count);
        next = batch.last().plus(1);
        let appended = writer.append(&batch).await.expect("appends");
        assert!(writer.sync().await.expect("syncs") >= appended, "durable up to what was appended");
        batches.push(batch);
    }
    batches
}

/// G1, G2: what was synced is there after a crash, whole; what was not is there whole or not at all.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g1_g2_synced_batches_survive_whole(harness: &mut dyn WalHarness) {
    for round in 1..=8u64 {
        let wal = harness.open().await;
        let before = replayed(&*wal, shard(0), Sequence(0)).await.expect("readable");
        let next = before.last().map_or(1, |b| b.last().0 + 1);
        let mut writer = writer(&*wal, shard(0), round).await;
        let mut expected = before;
        expected.extend(write(&mut *writer, shard(0), round, next, &[1, 7]).await);
        let last = expected.last().map_or(Sequence(1), |b| b.last().plus(1));
        let unsynced = batch(shard(0), Epoch(round), last, 9);
        writer.append(&unsynced).await.expect("appends");
        if round % 2 == 1 {
            // Written and then not made durable, so that the crash finds it half-way.
            harness.fail_next_sync();
            if writer.sync().await.is_ok() {
                expected.push(unsynced.clone());
            }
        }
        harness.crash().await;
        let wal = harness.open().await;
        let after = replayed(&*wal, shard(0), Sequence(0)).await.expect("readable");
        assert_eq!(after[..expected.len()], expected, "what was synced");
        assert!(after[expected.len()..].is_empty() || after[expected.len()..] == [unsynced], "what was not");
    }
}

/// G3: batches come back in order, each once, from where one asks, also when shards and writers take turns.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g3_replay_is_in_order_and_complete(harness: &mut dyn WalHarness) {
    let wal = harness.open().await;
    let mut written = vec![Vec::new(); 3];
    let mut writers = Vec::new();
    for index in 0..3 {
        writers.push(writer(&*wal, shard(index), 1).await);
    }
    for round in 0..20u32 {
        for (writer, (index, batches)) in writers.iter_mut().zip((0..).zip(written.iter_mut())) {
            let next = batches.last().map_or(Sequence(1), |b: &WriteBatch| b.last().plus(1));
            let batch = batch(shard(index), Epoch(1), next, (round + index) % 4);
            writer.append(&batch).await.expect("appends");
            batches.push(batch);
        }
        if round % 3 == 0 {
            for writer in &mut writers {
                writer.sync().await.expect("syncs");
            }
        }
    }
    for writer in &mut writers {
        writer.sync().await.expect("syncs");
    }
    for again in 0..2 {
        let wal = if again == 0 { Arc::clone(&wal) } else { harness.open().await };
        for (index, batches) in (0..).zip(&written) {
            for after in [0, 1, 7, 19] {
                let expected: Vec<_> = batches.iter().filter(|b| b.last() > Sequence(after)).cloned().collect();
                assert_eq!(replayed(&*wal, shard(index), Sequence(after)).await.expect("readable"), expected);
            }
        }
        let last: Vec<_> = (0..).zip(&written).map(|(i, b)| (shard(i), b.last().map_or(Sequence(0), WriteBatch::last))).collect();
        assert_eq!(wal.shards().await.expect("readable"), last);
    }
}

/// G4, G5: a failed write or sync acknowledges nobody, kills every writer that was open, and leaves the log usable for new ones.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g4_g5_a_failure_kills_every_open_writer(harness: &mut dyn WalHarness) {
    for syncs in [false, true] {
        let wal = harness.open().await;
        let base = wal.shards().await.expect("readable").iter().map(|(_, last)| last.0).max().unwrap_or(0);
        let epoch = base * 2 + 1;
        let (mut a, mut b) = (writer(&*wal, shard(0), epoch).await, writer(&*wal, shard(1), epoch).await);
        let kept = write(&mut *a, shard(0), epoch, base + 1, &[2]).await;
        let failed = batch(shard(0), Epoch(epoch), kept[0].last().plus(1), 3);
        if syncs && harness.can_tear() {
            harness.fail_next_sync()
        } else {
            harness.fail_next_write()
        }
        a.append(&failed).await.expect("only the group fails");
        let first = a.sync().await.expect_err("the group failed").fault;
        for _ in 0..3 {
            assert_eq!(a.sync().await.expect_err("dead").fault, first);
            assert_eq!(a.append(&failed).await.expect_err("dead").fault, first);
            assert!(b.sync().await.is_err(), "every writer that was open is dead");
        }
        assert_eq!(replayed(&*wal, shard(0), Sequence(base)).await.expect("readable"), kept, "only what was acknowledged");
        let mut a = writer(&*wal, shard(0), epoch + 1).await;
        let again = write(&mut *a, shard(0), epoch + 1, failed.first.0, &[1, 1]).await;
        harness.crash().await;
        let wal = harness.open().await;
        let expected: Vec<_> = kept.into_iter().chain(again).collect();
        assert_eq!(replayed(&*wal, shard(0), Sequence(base)).await.expect("readable"), expected, "the failed batch was replaced");
    }
}

/// G6: an older epoch is fenced, in its writer and when it opens.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g6_an_older_epoch_is_fenced(harness: &mut dyn WalHarness) {
    let wal = harness.open().await;
    let mut old = writer(&*wal, shard(0), 4).await;
    let kept = write(&mut *old, shard(0), 4, 1, &[1]).await;
    let pending = batch(shard(0), Epoch(4), Sequence(3), 1);
    old.append(&pending).await.expect("appends");
    let mut other = writer(&*wal, shard(1), 1).await;
    let mut new = writer(&*wal, shard(0), 5).await;
    assert_eq!(old.sync().await.expect_err("fenced").fault, Fault::Fenced);
    assert_eq!(old.append(&pending).await.expect_err("fenced").fault, Fault::Fenced);
    assert_eq!(wal.open(shard(0), Epoch(4)).await.err().map(|e| e.fault), Some(Fault::Fenced));
    write(&mut *other, shard(1), 1, 1, &[1]).await;
    let fresh = write(&mut *new, shard(0), 5, 3, &[2]).await;
    let wal = harness.open().await;
    assert_eq!(wal.open(shard(0), Epoch(4)).await.err().map(|e| e.fault), Some(Fault::Fenced), "the log remembers the epoch");
    let expected: Vec<_> = kept.into_iter().chain(fresh).collect();
    assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), expected);
}

/// G7: truncation frees files and loses nothing that is needed; it is known who holds the oldest file.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g7_truncation_frees_only_what_nobody_needs(harness: &mut dyn WalHarness) {
    let wal = harness.open().await;
    let (mut a, mut b) = (writer(&*wal, shard(0), 1).await, writer(&*wal, shard(1), 1).await);
    let held = write(&mut *b, shard(1), 1, 1, &[1]).await;
    let batches = write(&mut *a, shard(0), 1, 1, &[12; 40]).await;
    let full = wal.stats();
    assert!(full.files > 3 && full.groups >= 41, "{full:?}");
    let middle = batches[20].last();
    wal.truncate(shard(0), middle).await.expect("truncates");
    assert_eq!(wal.oldest_holders().shards, [shard(1)], "the other shard holds the oldest file");
    let held_files = wal.stats().files;
    assert!(held_files + 1 >= full.files, "nothing with batches could be freed");
    wal.truncate(shard(1), held[0].last()).await.expect("truncates");
    let less = wal.stats();
    assert!(less.files < full.files && less.bytes < full.bytes, "{full:?} {less:?}");
    for again in 0..2 {
        let wal = if again == 0 { Arc::clone(&wal) } else { harness.open().await };
        assert_eq!(replayed(&*wal, shard(0), middle).await.expect("readable"), batches[21..]);
        assert_eq!(replayed(&*wal, shard(1), held[0].last()).await.expect("readable"), []);
    }
    let wal = harness.open().await;
    wal.truncate(shard(0), batches[39].last()).await.expect("truncates");
    wal.truncate(shard(1), held[0].last()).await.expect("truncates");
    assert!(wal.stats().files <= 1, "{:?}", wal.stats());
    assert_eq!(wal.shards().await.expect("readable"), []);
}

/// G8: bytes that came encoded are logged as they came, whatever codec the log writes with.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g8_encoded_operations_are_logged_as_they_came(harness: &mut dyn WalHarness) {
    let wal = harness.open().await;
    let mut writer = writer(&*wal, shard(0), 1).await;
    let mut plain = batch(shard(0), Epoch(1), Sequence(1), 3);
    let codec = harness.other_codec();
    let mut payload = bytes::BytesMut::new();
    codec.encode(&plain.operations, &mut payload).expect("encodes");
    plain.encoded = Some(EncodedOperations { codec: codec.id(), payload: payload.freeze() });
    writer.append(&plain).await.expect("appends");
    writer.sync().await.expect("syncs");
    for again in 0..2 {
        let wal = if again == 0 { Arc::clone(&wal) } else { harness.open().await };
        let mut stream = wal.replay(shard(0), Sequence(0)).await.expect("readable");
        assert_eq!(stream.next().await.expect("readable"), Some(plain.clone()));
        assert_eq!(stream.next().await.expect("readable"), None);
    }
}

/// Batches that a log must refuse leave the writer as it was.
///
/// # Panics
/// When the log breaks its promise.
pub async fn refused_batches_change_nothing(harness: &mut dyn WalHarness) {
    let wal = harness.open().await;
    let mut writer = writer(&*wal, shard(0), 2).await;
    let good = batch(shard(0), Epoch(2), Sequence(1), 1);
    let unknown = EncodedOperations { codec: proximadb_model::CodecId(99), payload: bytes::Bytes::from_static(b"?") };
    let bad = [
        WriteBatch { shard: shard(1), ..good.clone() },
        WriteBatch { epoch: Epoch(1), ..good.clone() },
        WriteBatch { first: Sequence(0), ..good.clone() },
        WriteBatch { operations: Vec::new(), ..good.clone() },
        WriteBatch { idempotency: Some(IdempotencyTag { key: "k".repeat(256), fingerprint: 1 }), ..good.clone() },
        WriteBatch { encoded: Some(unknown), ..good.clone() },
    ];
    for bad in &bad {
        assert_eq!(writer.append(bad).await.expect_err("refused").fault, Fault::Invalid, "{bad:?}");
    }
    writer.append(&good).await.expect("appends");
    writer.sync().await.expect("syncs");
    assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), [good]);
}

/// A log that nobody writes to stays as it is over any number of restarts.
///
/// # Panics
/// When the log breaks its promise.
pub async fn restarts_without_writes_grow_nothing(harness: &mut dyn WalHarness) {
    let wal = harness.open().await;
    assert!(harness.files().await.is_empty(), "opening a log makes no file");
    let mut a = writer(&*wal, shard(0), 1).await;
    write(&mut *a, shard(0), 1, 1, &[3, 3]).await;
    harness.crash().await;
    // The first start may put in order what the crash left in doubt.
    harness.open().await;
    let files = harness.files().await;
    for _ in 0..3 {
        harness.crash().await;
        let wal = harness.open().await;
        harness.idle().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable").len(), 2);
        assert_eq!(harness.files().await, files);
    }
}

/// What a replay has shown stays, even if the power is cut right after: whoever saw it may have acted on it.
///
/// # Panics
/// When the log breaks its promise.
pub async fn what_was_replayed_stays(harness: &mut dyn WalHarness) {
    for round in 1..=10u64 {
        let wal = harness.open().await;
        let before = replayed(&*wal, shard(0), Sequence(0)).await.expect("readable");
        let mut writer = writer(&*wal, shard(0), round).await;
        let next = before.last().map_or(Sequence(1), |b| b.last().plus(1));
        harness.fail_next_sync();
        writer.append(&batch(shard(0), Epoch(round), next, 5)).await.expect("appends");
        let _ = writer.sync().await;
        // The process ends, the machine does not: what was written and never synced can still be read.
        let wal = harness.open().await;
        let seen = replayed(&*wal, shard(0), Sequence(0)).await.expect("readable");
        harness.crash().await;
        let wal = harness.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), seen);
    }
}

/// G9: any changed byte among durable frames is noticed by the shards it touches, and nobody is given a wrong or a missing batch.
/// `every` bytes apart are tried.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g9_damage_is_noticed(harness: &mut dyn WalHarness, every: usize) {
    let wal = harness.open().await;
    let mut written = Vec::new();
    let mut writers = Vec::new();
    for index in 0..3 {
        writers.push(writer(&*wal, shard(index), 1).await);
        written.push(Vec::new());
    }
    for round in 0..6u64 {
        for (index, (writer, batches)) in (0..).zip(writers.iter_mut().zip(&mut written)) {
            let next = batches.last().map_or(1, |b: &WriteBatch| b.last().0 + 1);
            batches.extend(write(&mut **writer, shard(index), 1, next, &[(round % 3) as u32]).await);
        }
    }
    drop(writers);
    harness.idle().await;
    drop(wal);
    let files = harness.files().await;
    let newest = files.last().map(|(name, _)| name.clone());
    for (name, bytes) in &files {
        let mut touched = 0;
        let mut tried = 0;
        for at in (0..bytes.len()).step_by(every) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            harness.set_file(name, changed).await;
            let wal = harness.open().await;
            let mut corrupt = 0;
            for (index, batches) in (0..).zip(&written) {
                match replayed(&*wal, shard(index), Sequence(0)).await {
                    Ok(given) => assert_eq!(&given, batches, "{name} changed at {at}"),
                    Err(e) => {
                        assert_eq!(e.fault, Fault::Corrupt, "{e:?}");
                        corrupt += 1;
                    }
                }
            }
            // A file's first frame is nobody's; what it says is needed only as long as it is whole.
            if at >= HEADER_BYTES + TRAILER_BYTES {
                tried += 1;
                touched += usize::from(corrupt > 0);
            }
            let known: Vec<_> = wal.shards().await.expect("readable");
            assert!(corrupt > 0 || known.len() == 3, "{name} changed at {at}: {known:?}");
            // Whatever recovery wrote is taken away again.
            for (other, _) in harness.files().await {
                if !files.iter().any(|(name, _)| *name == other) {
                    harness.remove_file(&other).await;
                }
            }
            harness.set_file(name, bytes.clone()).await;
        }
        // Only a last mark may change unnoticed: nothing acknowledged depends on it.
        let holds_batches = bytes.len() > HEADER_BYTES + TRAILER_BYTES;
        let all = touched == tried || Some(name) == newest.as_ref();
        assert!(!holds_batches || (touched > 0 && all), "{name}: {touched} of {tried}");
    }
}

/// G9: a tail that was cut off before anything said it was durable is no damage; what stands before it is given.
///
/// # Panics
/// When the log breaks its promise.
pub async fn g9_a_torn_tail_is_no_damage(harness: &mut dyn WalHarness) {
    if !harness.can_tear() {
        return;
    }
    let wal = harness.open().await;
    let mut a = writer(&*wal, shard(0), 1).await;
    let batches = write(&mut *a, shard(0), 1, 1, &[1, 0, 2]).await;
    // No idle mark yet: nothing says that the last group was durable.
    let files = harness.files().await;
    let [(name, bytes)] = files.as_slice() else { panic!("one file, not {}", files.len()) };
    for length in (0..=bytes.len()).rev().step_by(7) {
        harness.set_file(name, bytes[..length].to_vec()).await;
        let wal = harness.open().await;
        let given = replayed(&*wal, shard(0), Sequence(0)).await.expect("a torn tail is no damage");
        assert!(given.len() <= batches.len() && given == batches[..given.len()], "cut at {length}");
        for (other, _) in harness.files().await {
            harness.remove_file(&other).await;
        }
    }
}
