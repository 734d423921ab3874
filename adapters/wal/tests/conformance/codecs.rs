//! The codecs under the port's suite, and the Avro codec against the crate that is its reference.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::BytesMut;
use proptest::prelude::*;
use proximadb_model::Operation;
use proximadb_ports::conformance::wal::{Datetimes, codec_answers_any_bytes, codec_gives_back, operations};
use proximadb_ports::{Fault, WalCodec};
use proximadb_wal::{AvroCodec, BincodeCodec, WRITE_BATCH_SCHEMA};

fn encoded(codec: &dyn WalCodec, operations: &[Operation]) -> Vec<u8> {
    let mut payload = BytesMut::new();
    codec.encode(operations, &mut payload).expect("encodes");
    payload.to_vec()
}

fn schema() -> Schema {
    Schema::parse_str(WRITE_BATCH_SCHEMA).expect("a valid schema")
}

proptest! {
    #[test]
    fn avro_gives_back(operations in operations()) {
        codec_gives_back(&AvroCodec, Datetimes::Text, &operations)?;
    }

    #[test]
    fn bincode_gives_back(operations in operations()) {
        codec_gives_back(&BincodeCodec, Datetimes::Typed, &operations)?;
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        codec_answers_any_bytes(&AvroCodec, &bytes)?;
        codec_answers_any_bytes(&BincodeCodec, &bytes)?;
    }

    #[test]
    fn changed_payloads_are_answered(operations in operations(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in 0usize..3) {
        for codec in [&AvroCodec as &dyn WalCodec, &BincodeCodec] {
            let mut payload = encoded(codec, &operations);
            for (at, byte) in &changes {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            payload.truncate(payload.len().saturating_sub(cut));
            codec_answers_any_bytes(codec, &payload)?;
        }
    }

    #[test]
    fn the_reference_reads_and_writes_the_same_bytes(operations in operations()) {
        let schema = schema();
        let ours = encoded(&AvroCodec, &operations);
        let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
        let mut rest = &ours[..];
        let value = reader.read_value(&mut rest).expect("the reference reads it");
        prop_assert!(rest.is_empty());
        let Avro::Record(fields) = &value else { panic!("a record") };
        let Avro::Array(items) = &fields[0].1 else { panic!("a list") };
        prop_assert_eq!(items.len(), operations.len());
        let mut theirs = Vec::new();
        let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
        writer.write_value_ref(&mut theirs, &value).expect("the reference writes it");
        prop_assert_eq!(&theirs, &ours);
        prop_assert_eq!(AvroCodec.decode(&theirs).expect("ours reads it").len(), operations.len());
    }
}

fn refused(codec: &dyn WalCodec, payload: &[u8]) {
    assert_eq!(codec.decode(payload).expect_err("not a payload").fault, Fault::Corrupt, "{payload:?}");
}

#[test]
fn what_avro_must_refuse() {
    // Counts and lengths far beyond the bytes, in one block and in a block with a byte count.
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    refused(&AvroCodec, &huge);
    refused(&AvroCodec, &[&[0x02, 0x02], &huge[..]].concat());
    refused(&AvroCodec, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00]);
    refused(&AvroCodec, &[0xff; 11]);
    refused(&AvroCodec, b"");
    refused(&AvroCodec, &[0x00, 0x00]);
    // A union branch that the schema does not have; a delete with an empty id.
    refused(&AvroCodec, &[0x02, 0x04, 0x00]);
    refused(&AvroCodec, &[0x02, 0x02, 0x00, 0x00]);
    let put = |vector: &[u8], metadata: &str| {
        let mut bytes = vec![0x02, 0x00, 0x02, b'a'];
        bytes.push(vector.len() as u8 * 2);
        bytes.extend_from_slice(vector);
        bytes.push(metadata.len() as u8 * 2);
        bytes.extend_from_slice(metadata.as_bytes());
        bytes.extend_from_slice(&[0x00, 0x00]);
        bytes
    };
    assert_eq!(AvroCodec.decode(&put(&[0, 0, 128, 63], r#"{"a":[1,{"b":null}]}"#)).expect("a payload").len(), 1);
    refused(&AvroCodec, &put(&[0, 0, 128], "{}"));
    refused(&AvroCodec, &put(&[], "{}"));
    refused(&AvroCodec, &put(&f32::NAN.to_le_bytes(), "{}"));
    refused(&AvroCodec, &put(&f32::INFINITY.to_le_bytes(), "{}"));
    refused(&AvroCodec, &put(&[0, 0, 128, 63], "[]"));
    refused(&AvroCodec, &put(&[0, 0, 128, 63], "{} {}"));
    refused(&AvroCodec, &put(&[0, 0, 128, 63], r#"{"a":1e999}"#));
    refused(&AvroCodec, &put(&[0, 0, 128, 63], &format!(r#"{{"a":{}{}}}"#, "[".repeat(20), "]".repeat(20))));
}

#[test]
fn avro_lists_may_come_in_blocks() {
    // Two blocks of one delete each; the second says its bytes, as some writers do.
    let operations = AvroCodec.decode(&[0x02, 0x02, 0x02, b'a', 0x01, 0x06, 0x02, 0x02, b'b', 0x00]).expect("a payload");
    let ids: Vec<_> = operations.iter().map(|o| if let Operation::Delete(id) = o { id.as_str() } else { "" }).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn what_bincode_must_refuse() {
    refused(&BincodeCodec, b"");
    refused(&BincodeCodec, &[0, 0]);
    refused(&BincodeCodec, &[253, 255, 255, 255, 255, 255, 255, 255, 255]);
    // A put whose metadata never ends its object, ends it twice, or nests without end.
    let put = |tokens: &[u8], count: u8| [&[1, 0, 1, b'a', 4, 0, 0, 128, 63, count], tokens, &[0]].concat();
    assert_eq!(BincodeCodec.decode(&put(&[10], 1)).expect("a payload").len(), 1);
    refused(&BincodeCodec, &put(&[], 0));
    refused(&BincodeCodec, &put(&[10, 10], 2));
    refused(&BincodeCodec, &put(&[9, 1, b'k', 10], 2));
    let deep = [&[9, 1, b'k'], &[7; 200][..], &[10; 201][..]].concat();
    refused(&BincodeCodec, &[&[1, 0, 1, b'a', 4, 0, 0, 128, 63, 251, 146, 1], &deep[..], &[0]].concat());
}
