"""Records as they are stored, pages of them, and what a write did to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from ._vectors import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A stored record. `vector` (float32) and `metadata` are None unless they were asked for.

    `version` is the sequence of the write that made the record; `expires` is RFC 3339 text, from then on the record is gone.
    """

    id: str
    vector: FloatArray | None = None
    metadata: dict[str, Any] | None = None
    version: int = 0
    expires: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScanPage(Sequence[Record]):
    """A page of records in the order of their ids. `cursor` continues after it; None at the end."""

    records: tuple[Record, ...]
    cursor: str | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return self.records[index]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write did.

    `durable` says whether it survives any crash; `sequence` is the highest of the write, 0 when it changed nothing;
    `replayed` says that this is the answer of an earlier write with the same idempotency key, which was applied once.
    """

    upserted: int = 0
    inserted: int = 0
    patched: int = 0
    deleted: int = 0
    durable: bool = True
    sequence: int = 0
    replayed: bool = False

    def plus(self, other: WriteResult) -> WriteResult:
        """Both writes as one; replayed when any part of it was."""
        return WriteResult(
            upserted=self.upserted + other.upserted,
            inserted=self.inserted + other.inserted,
            patched=self.patched + other.patched,
            deleted=self.deleted + other.deleted,
            durable=self.durable and other.durable,
            sequence=max(self.sequence, other.sequence),
            replayed=self.replayed or other.replayed,
        )
