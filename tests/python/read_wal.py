"""Reads a ProximaDB log file whose payloads are Avro. Needs fastavro, and nothing of ProximaDB but the schema.

    python read_wal.py 00000000000000000001.wal [write_batch.avsc]

Prints one JSON object a batch. Stops at the first frame that is not whole and says so; the database itself looks on from there
to tell a torn tail from damage (docs/formats/wal.adoc).
"""

import io
import json
import struct
import sys
import uuid
from pathlib import Path

import fastavro

MAGIC = b"\xf5PXWAL\xfe\n"
HEADER = struct.Struct("<8sBBBBI16sIIQQQQQQ4sI")
BATCH, WATERMARK, START, COPY = 1, 2, 3, 4
AVRO = 1
SCHEMA = Path(__file__).parents[2] / "proto" / "avro" / "write_batch.avsc"


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def frames(data):
    """Yields the header's fields, key and payload of each frame."""
    at = 0
    while at < len(data):
        header = data[at : at + HEADER.size]
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise ValueError(f"no frame at {at}")
        fields = HEADER.unpack(header)
        if crc32c(header[:-4]) != fields[-1]:
            raise ValueError(f"the header at {at} is damaged")
        if fields[1] != 1:
            raise ValueError(f"version {fields[1]} at {at} is not known")
        key_end = at + HEADER.size + fields[4]
        payload_end = key_end + fields[5]
        if crc32c(data[at:payload_end]) != int.from_bytes(data[payload_end : payload_end + 4], "little"):
            raise ValueError(f"the frame at {at} is damaged or cut off")
        yield fields, data[at + HEADER.size : key_end], data[key_end:payload_end]
        at = payload_end + 4


def batches(data, schema):
    """Yields each batch as a dictionary."""
    for fields, key, payload in frames(data):
        _, _, kind, codec, _, _, collection, shard, count, epoch, first, _, _, place, _, _, _ = fields
        if kind not in (BATCH, COPY):
            continue
        if codec != AVRO:
            raise ValueError(f"codec {codec} is not Avro")
        operations = fastavro.schemaless_reader(io.BytesIO(payload), schema, return_record_name=True)["operations"]
        assert len(operations) == count
        yield {
            "collection": str(uuid.UUID(bytes=collection)),
            "shard": shard,
            "epoch": epoch,
            "first": first,
            "offset": place & 0xFFFFFFFF,
            "idempotency_key": key.decode() or None,
            "operations": [operation(name, record) for name, record in operations],
        }


def operation(name, record):
    if name.endswith("Delete"):
        return {"delete": record["id"]}
    vector = struct.unpack(f"<{len(record['vector']) // 4}f", record["vector"])
    return {"put": record["id"], "vector": vector, "metadata": json.loads(record["metadata"]), "expires_micros": record["expires_micros"]}


def main(arguments):
    schema = fastavro.parse_schema(json.loads(Path(arguments[1] if len(arguments) > 1 else SCHEMA).read_text()))
    for batch in batches(Path(arguments[0]).read_bytes(), schema):
        print(json.dumps(batch, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
