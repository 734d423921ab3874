"""Cuts a bulk write into requests that the server takes: by number of records and by bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from ._dialect import Encoded, NewRecord
from ._values import Metadata, plain_object, record_ids, timestamp
from ._vectors import Vectors, rows
from .errors import InvalidArgumentError

# The server takes 32 MiB a request; the rest is left for what stands around the records.
BATCH_BYTES_MAX = 24 << 20
# Operations that the server takes in one request.
DELETES_MAX = 10_000


def batches(records: Iterable[Encoded], count_max: int) -> Iterator[list[Encoded]]:
    """Runs of at most `count_max` records and, unless a record alone is larger, `BATCH_BYTES_MAX` bytes."""
    batch: list[Encoded] = []
    size = 0
    for record in records:
        if batch and (len(batch) >= count_max or size + record.size > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += record.size
    if batch:
        yield batch


def new_records(
    ids: object,
    vectors: Vectors,
    metadata: Sequence[Metadata | None] | None,
    expires: datetime | str | None,
) -> tuple[int, Iterator[NewRecord]]:
    """How many records the columns make, and the records.

    Raises InvalidArgumentError when the columns are not of one length, which no server could see.
    """
    texts = record_ids(ids)
    matrix = rows(vectors)
    if len(matrix) != len(texts):
        raise InvalidArgumentError(f"{len(matrix)} vectors for {len(texts)} ids", field="vectors")
    if metadata is not None and (isinstance(metadata, (str, Mapping)) or len(metadata) != len(texts)):
        raise InvalidArgumentError(f"must be a list with an entry for each of {len(texts)} ids", field="metadata")
    until = None if expires is None else timestamp(expires)

    def each() -> Iterator[NewRecord]:
        for i, (id, vector) in enumerate(zip(texts, matrix, strict=True)):
            meta = metadata[i] if metadata is not None else None
            yield NewRecord(id, vector, None if meta is None else plain_object(meta, f"metadata[{i}]"), until)

    return len(texts), each()
