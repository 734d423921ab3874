"""What every protocol must be able to say: one method an operation, each giving a `Call`. Does no IO."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from ._call import Call
from ._vectors import FloatArray
from .collection import Collection, IndexSettings
from .record import Record, ScanPage, WriteResult
from .search import SearchResult
from .status import Assignment, Health, IndexStatus, Loss, Plugin, Site, Task

# When a write is answered: once it is on disk, or once it is applied.
Durability: TypeAlias = Literal["sync", "async"]

# As long as the server lets any request take: those that read or write whole shards.
FLUSH_TIMEOUT_S = 600.0
# What a search may take on its way, on top of the time that it may take in the server.
_TRAVEL_S = 5.0


@dataclass(frozen=True, slots=True)
class Query:
    """One search; exactly one of `vector` and `id` is meant to be set, which the server judges."""

    vector: FloatArray | None
    id: str | None
    k: int
    offset: int
    filter: dict[str, Any] | None
    ef: int | None
    recall_target: float | None
    exact: bool
    score_threshold: float | None
    with_metadata: bool
    with_vector: bool
    timeout_ms: int | None
    explain: bool

    def near(self, vector: FloatArray | None, id: str | None) -> Query:
        """The same search for another neighbourhood."""
        return replace(self, vector=vector, id=id)

    @property
    def timeout(self) -> float | None:
        """Seconds that the client has to wait for it, when the caller said how long the server may take."""
        ms = self.timeout_ms
        return ms / 1000 + _TRAVEL_S if isinstance(ms, int) and 0 < ms <= 600_000 else None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be written."""

    id: str
    vector: FloatArray
    metadata: dict[str, Any] | None
    expires: str | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record in a protocol's own form, with the bytes it takes in a request."""

    data: Any
    size: int


@dataclass(frozen=True, slots=True)
class Write:
    """Changes of records, applied in the order of the fields."""

    insert: Sequence[Encoded] = ()
    upsert: Sequence[Encoded] = ()
    patch: Sequence[Encoded] = ()
    delete: Sequence[str] = ()
    delete_where: dict[str, Any] | None = None
    durability: Durability | None = None
    idempotency_key: str | None = None

    def under(self, idempotency_key: str, durability: Durability | None) -> Write:
        """The same changes, to be applied once under a key."""
        return replace(self, idempotency_key=idempotency_key, durability=durability)

    @property
    def operations(self) -> int:
        """Records put, patched or deleted by id."""
        return len(self.insert) + len(self.upsert) + len(self.patch) + len(self.delete)


class Dialect(ABC):
    """The operations in the words of one protocol."""

    @abstractmethod
    def create_collection(
        self,
        name: str,
        dimension: int,
        metric: str,
        schema: Mapping[str, str] | None,
        shards: int | None,
        index: IndexSettings | None,
        description: str | None,
    ) -> Call[Collection]: ...

    @abstractmethod
    def get_collection(self, collection: str) -> Call[Collection]: ...

    @abstractmethod
    def list_collections(self) -> Call[list[Collection]]: ...

    @abstractmethod
    def update_collection(
        self, collection: str, description: str | None, index: IndexSettings | None
    ) -> Call[Collection]: ...

    @abstractmethod
    def delete_collection(self, collection: str) -> Call[None]: ...

    @abstractmethod
    def encode(self, records: Iterable[NewRecord]) -> Iterable[Encoded]:
        """Records in the protocol's form, one by one."""

    @abstractmethod
    def encode_patch(self, id: str, vector: FloatArray | None, metadata: dict[str, Any] | None) -> Encoded: ...

    @abstractmethod
    def write(self, collection: str, write: Write) -> Call[WriteResult]: ...

    @abstractmethod
    def get_record(self, collection: str, id: str, with_vector: bool, with_metadata: bool) -> Call[Record]: ...

    @abstractmethod
    def get_records(
        self, collection: str, ids: Sequence[str], with_vector: bool, with_metadata: bool
    ) -> Call[list[Record | None]]: ...

    @abstractmethod
    def search(self, collection: str, query: Query) -> Call[SearchResult]: ...

    @abstractmethod
    def search_batch(self, collection: str, queries: Sequence[Query]) -> Call[list[SearchResult]]: ...

    @abstractmethod
    def scan(
        self,
        collection: str,
        filter: dict[str, Any] | None,
        cursor: str | None,
        limit: int | None,
        with_vector: bool,
        with_metadata: bool,
    ) -> Call[ScanPage]: ...

    @abstractmethod
    def count(self, collection: str, filter: dict[str, Any] | None) -> Call[int]: ...

    @abstractmethod
    def flush(self, collection: str) -> Call[None]: ...

    @abstractmethod
    def index_status(self, collection: str) -> Call[IndexStatus]: ...

    @abstractmethod
    def sites(self) -> Call[list[Site]]: ...

    @abstractmethod
    def assignments(self) -> Call[list[Assignment]]: ...

    @abstractmethod
    def drain_site(self, site: str) -> Call[Task]: ...

    @abstractmethod
    def cancel_drain(self, site: str) -> Call[None]: ...

    @abstractmethod
    def fail_over(self, site: str) -> Call[Task]: ...

    @abstractmethod
    def rebalance(self) -> Call[Task]: ...

    @abstractmethod
    def tasks(self) -> Call[list[Task]]: ...

    @abstractmethod
    def accept_loss(self, collection: str) -> Call[list[Loss]]: ...

    @abstractmethod
    def plugins(self) -> Call[list[Plugin]]: ...

    @abstractmethod
    def health(self) -> Call[Health]: ...
