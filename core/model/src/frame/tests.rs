//! A frame's promises: nothing changed goes unnoticed, nothing torn is taken for damage, nothing smuggled is taken for a frame.

use proptest::prelude::*;

use super::*;

const LOG: LogId = LogId(0x5eed);

/// A log file as a writer makes it: groups of batches, each group durable before the next is written.
#[derive(Default)]
struct LogFile {
    bytes: Vec<u8>,
    durable: u32,
    headers: Vec<Header>,
}

impl LogFile {
    fn new() -> Self {
        let mut file = Self::default();
        file.push(Header::bare(Kind::Start, LOG, Place { file: 7, offset: 0 }, Place { file: 6, offset: 500 }), "", &[]);
        file
    }

    fn push(&mut self, header: Header, key: &str, payload: &[u8]) {
        let (head, trailer) = header.around(key, payload);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(payload);
        self.bytes.extend_from_slice(&trailer);
        self.headers.push(header);
    }

    fn batch(&mut self, shard: u32, key: &str, payload: &[u8]) -> Range {
        let place = Place { file: 7, offset: self.bytes.len() as u32 };
        let durable = if self.durable == 0 { Place { file: 6, offset: 500 } } else { Place { file: 7, offset: self.durable } };
        let header = Header {
            codec: CodecId::AVRO,
            key_bytes: key.len() as u8,
            payload_bytes: payload.len() as u32,
            shard: ShardId { collection: CollectionId(Uid([9; 16])), index: shard },
            operations: 2,
            epoch: Epoch(3),
            first: Sequence(1 + 2 * self.headers.len() as u64),
            fingerprint: key.len() as u64,
            ..Header::bare(Kind::Batch, LOG, place, durable)
        };
        self.push(header, key, payload);
        place.offset as usize..self.bytes.len()
    }

    fn sync(&mut self) {
        self.durable = self.bytes.len() as u32;
    }

    fn watermark(&mut self) {
        let place = Place { file: 7, offset: self.bytes.len() as u32 };
        self.push(Header::bare(Kind::Watermark, LOG, place, Place { file: 7, offset: self.durable }), "", &[]);
    }

    fn batches(&self) -> Vec<Header> {
        self.headers.iter().copied().filter(|h| h.kind == Kind::Batch).collect()
    }
}

type Range = std::ops::Range<usize>;

/// `groups` of payload lengths; every group is durable, and the watermark proves the last one.
fn file_of(groups: &[Vec<Vec<u8>>]) -> LogFile {
    let mut file = LogFile::new();
    for (i, group) in groups.iter().enumerate() {
        for payload in group {
            file.batch(i as u32, ["", "key"][i % 2], payload);
        }
        file.sync();
    }
    file.watermark();
    file
}

fn groups() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let payload = proptest::collection::vec(any::<u8>(), 0..300);
    proptest::collection::vec(proptest::collection::vec(payload, 1..4), 1..5)
}

proptest! {
    #[test]
    fn what_was_written_is_read(groups in groups()) {
        let file = file_of(&groups);
        let result = scan(&file.bytes, 7, 0);
        prop_assert_eq!(result.damage, vec![]);
        prop_assert_eq!(result.torn_at, file.bytes.len() as u64);
        prop_assert_eq!(result.proofs.last(), Some(&Place { file: 7, offset: file.durable }));
        let payloads: Vec<_> = groups.concat();
        prop_assert_eq!(&result.batches, &file.batches());
        for (header, payload) in result.batches.iter().zip(payloads) {
            let frame = Frame::decode(&file.bytes[header.place.offset as usize..]).expect("whole");
            prop_assert_eq!(frame.payload, payload);
            prop_assert_eq!(frame.key.len(), usize::from(header.key_bytes));
            prop_assert_eq!(&frame.header, header);
        }
    }

    #[test]
    fn any_flipped_bit_among_durable_frames_is_damage(groups in groups(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut file = file_of(&groups);
        let at = at.index(file.durable as usize);
        file.bytes[at] ^= 1 << bit;
        let result = scan(&file.bytes, 7, 0);
        prop_assert!(result.damage.iter().any(|d| d.bytes.contains(&(at as u64))), "{:?}", result);
        for header in &result.batches {
            prop_assert!(file.headers.contains(header) && !(header.place.offset as usize..header.place.offset as usize + header.frame_bytes()).contains(&at));
        }
        let touched = file.batches().into_iter().find(|h| (h.place.offset as usize..h.place.offset as usize + h.frame_bytes()).contains(&at));
        if let (Some(h), Some((shard, first, last))) = (touched, result.damage[0].batch) {
            prop_assert_eq!((shard, first, last), (h.shard, h.first, h.last()));
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed_by_the_frame(payload in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut file = LogFile::new();
        let range = file.batch(1, "k", &payload);
        let mut bytes = file.bytes[range].to_vec();
        prop_assert!(Frame::decode(&bytes).is_ok());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Frame::decode(&bytes).is_err());
    }

    #[test]
    fn any_truncation_of_what_no_later_frame_covers_is_a_torn_tail(groups in groups(), cut in any::<prop::sample::Index>()) {
        let file = file_of(&groups);
        let cut = cut.index(file.bytes.len() + 1);
        let result = scan(&file.bytes[..cut], 7, 0);
        prop_assert_eq!(result.damage, vec![]);
        let whole: Vec<_> = file.batches().into_iter().filter(|h| h.place.offset as usize + h.frame_bytes() <= cut).collect();
        prop_assert_eq!(result.batches, whole);
    }

    #[test]
    fn a_truncation_below_what_a_later_file_proves_is_damage(groups in groups(), cut in any::<prop::sample::Index>()) {
        let file = file_of(&groups);
        let cut = cut.index(file.durable as usize);
        let result = scan(&file.bytes[..cut], 7, u64::from(file.durable));
        prop_assert!(result.damage.iter().any(|d| d.bytes.contains(&(cut as u64))), "{:?}", result);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), proof in any::<u64>()) {
        let _ = Frame::decode(&bytes);
        let result = scan(&bytes, 7, proof);
        prop_assert_eq!(result.batches, vec![]);
        let mut headed = MAGIC.to_vec();
        headed.extend_from_slice(&bytes);
        let _ = scan(&headed, 7, proof);
    }

    #[test]
    fn arbitrary_changes_never_make_a_batch_up(groups in groups(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40)) {
        let mut file = file_of(&groups);
        for (at, byte) in changes {
            let at = at.index(file.bytes.len());
            file.bytes[at] = byte;
        }
        for header in scan(&file.bytes, 7, 0).batches {
            prop_assert!(file.headers.contains(&header));
        }
    }
}

proptest! {
    #[test]
    fn two_copies_with_different_damage_are_whole(
        groups in groups(), cut in any::<prop::sample::Index>(), flips in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let file = file_of(&groups);
        let all = file.batches();
        // Every frame is damaged in one copy at most.
        let mut copies = [file.bytes.clone(), file.bytes.clone()];
        for at in flips {
            let frame = at.index(file.headers.len());
            let header = &file.headers[frame];
            let within = at.index(header.frame_bytes());
            copies[frame % 2][header.place.offset as usize + within] ^= 0x10;
        }
        let result = scan_copies(&copies.each_ref().map(|bytes| Copy { bytes, proof: 0 }), 7);
        prop_assert_eq!((&result.batches, &result.damage), (&all, &vec![]));
        let hurt = |header: &&Header| {
            let at = header.place.offset as usize..header.place.offset as usize + header.frame_bytes();
            copies.iter().any(|copy| copy[at.clone()] != file.bytes[at.clone()])
        };
        prop_assert!(all.iter().filter(hurt).all(|header| result.once.contains(&header.place)), "{:?}", result.once);
        // One copy is short, as if its disk had been away.
        let cut = cut.index(file.bytes.len() + 1);
        let short = [Copy { bytes: &file.bytes[..cut], proof: 0 }, Copy { bytes: &file.bytes, proof: 0 }];
        for copies in [short, [short[1], short[0]]] {
            let result = scan_copies(&copies, 7);
            prop_assert_eq!((&result.batches, &result.damage), (&all, &vec![]));
            let mut missing = all.iter().filter(|h| h.place.offset as usize + h.frame_bytes() > cut);
            prop_assert!(missing.all(|header| result.once.contains(&header.place)));
        }
    }

    #[test]
    fn what_is_damaged_in_both_copies_is_damage(groups in groups(), at in any::<prop::sample::Index>(), bits in (0u8..8, 0u8..8)) {
        let file = file_of(&groups);
        let at = at.index(file.durable as usize);
        let mut copies = [file.bytes.clone(), file.bytes.clone()];
        copies[0][at] ^= 1 << bits.0;
        copies[1][at] ^= 1 << bits.1;
        let result = scan_copies(&copies.each_ref().map(|bytes| Copy { bytes, proof: 0 }), 7);
        prop_assert!(result.hurt && result.damage.iter().any(|d| d.bytes.contains(&(at as u64))), "{:?}", result);
    }
}

#[test]
fn a_whole_file_that_both_copies_prove_is_in_two_copies() {
    let file = file_of(&[vec![b"one".to_vec()], vec![b"two".to_vec()]]);
    let copy = Copy { bytes: &file.bytes, proof: 0 };
    let result = scan_copies(&[copy, copy], 7);
    assert_eq!((result.batches.len(), result.once.len(), result.hurt), (2, 0, false));
    // Without its last mark the second copy proves only the first group, and may lose the other one.
    let mark = file.bytes.len() - HEADER_BYTES - TRAILER_BYTES;
    let result = scan_copies(&[copy, Copy { bytes: &file.bytes[..mark], proof: 0 }], 7);
    assert_eq!((result.batches.len(), result.once, result.hurt), (2, vec![file.batches()[1].place], false));
}

#[test]
fn the_copy_of_another_file_is_no_copy() {
    let file = file_of(&[vec![b"one".to_vec()], vec![b"two".to_vec()]]);
    let mut other = LogFile::default();
    for header in &file.headers {
        let payload = vec![7; header.payload_bytes as usize];
        let key = "k".repeat(usize::from(header.key_bytes));
        other.push(Header { log: LogId(LOG.0 ^ 1), ..*header }, &key, &payload);
    }
    let copies = [Copy { bytes: &file.bytes, proof: 0 }, Copy { bytes: &other.bytes, proof: 0 }];
    let result = scan_copies(&copies, 7);
    assert_eq!((&result.batches, result.once.len(), result.damage.len()), (&file.batches(), 2, 0));
}

#[test]
fn a_bad_frame_of_the_last_group_is_a_torn_tail_with_all_that_follows() {
    let mut file = LogFile::new();
    file.batch(0, "", b"durable");
    file.sync();
    let torn = file.batch(1, "", b"torn");
    file.batch(1, "", b"whole, but of the same group");
    file.bytes[torn.end - 1] ^= 1;
    let result = scan(&file.bytes, 7, 0);
    assert_eq!((result.batches.len(), result.damage.len(), result.torn_at), (1, 0, torn.start as u64));
    file.sync();
    file.batch(0, "", b"the next group proves that the one before was durable");
    let result = scan(&file.bytes, 7, 0);
    assert_eq!((result.batches.len(), result.damage.len()), (3, 1));
    assert_eq!(result.damage[0].batch.map(|(shard, ..)| shard.index), Some(1));
}

#[test]
fn a_frame_inside_a_payload_is_never_taken_for_one() {
    // What an attacker would have to write who knows everything but the file's random number.
    let mut probe = LogFile::new();
    let outer = probe.batch(0, "", &[0; 400]);
    let place = Place { file: 7, offset: (outer.start + HEADER_BYTES) as u32 };
    let forged =
        Header { operations: 1, first: Sequence(1), ..Header::bare(Kind::Batch, LogId(LOG.0 ^ 1), place, Place { file: 7, offset: 96 }) };
    let (head, trailer) = forged.around("", &[]);
    let payload = [&head[..], &trailer[..]].concat();
    let mut file = LogFile::new();
    let outer = file.batch(0, "", &payload);
    file.sync();
    file.watermark();
    file.bytes[outer.start + 20] ^= 1;
    let result = scan(&file.bytes, 7, 0);
    assert_eq!((result.batches.len(), result.damage.len()), (0, 1));
    assert_eq!(result.damage[0].bytes, outer.start as u64..outer.end as u64);
}

#[test]
fn a_lost_first_frame_makes_the_file_damaged_once_something_in_it_was_durable() {
    let mut file = file_of(&[vec![b"one".to_vec()]]);
    file.bytes[3] ^= 1;
    let result = scan(&file.bytes, 7, 0);
    assert_eq!((result.batches.len(), result.damage.len()), (0, 1));
    let mut file = LogFile::new();
    file.batch(0, "", b"never durable");
    file.bytes[3] ^= 1;
    let result = scan(&file.bytes, 7, 0);
    assert_eq!((result.batches.len(), result.damage.len(), result.torn_at), (0, 0, 0));
}

#[test]
fn a_frame_of_another_place_or_file_is_damage() {
    let mut file = LogFile::new();
    let first = file.batch(0, "", b"same length");
    let second = file.batch(0, "", b"same length");
    file.sync();
    file.watermark();
    assert_eq!(scan(&file.bytes, 8, 0).batches, vec![], "bytes of file 7 under the name of file 8");
    file.bytes.copy_within(first, second.start);
    let result = scan(&file.bytes, 7, 0);
    assert_eq!((result.batches.len(), result.damage.len()), (1, 1), "a write that went to the wrong place");
}

#[test]
fn lengths_never_reach_beyond_the_limit() {
    let place = Place { file: 7, offset: 0 };
    let batch = Header { operations: 1, first: Sequence(1), payload_bytes: u32::MAX, ..Header::bare(Kind::Batch, LOG, place, place) };
    assert_eq!(Header::decode(&batch.encode()), Err(BadHeader::Meaning));
    let none = Header { operations: 0, payload_bytes: 0, ..batch };
    assert_eq!(Header::decode(&none.encode()), Err(BadHeader::Meaning));
}
