"""Reads gRPC answers into results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

from .._vectors import FloatArray, f32, from_wire
from ..collection import Collection, IndexSettings, ScoreKind
from ..errors import NotFoundError
from ..record import Record, ScanPage, WriteResult
from ..search import Hit, SearchResult, SearchStats, SegmentExplain
from ..status import Assignment, Health, IndexStatus, Loss, Memory, Plugin, Recovered, SegmentStatus, Site, Task
from ..v1 import admin_pb2, collection_pb2, record_pb2, search_pb2, write_pb2
from .value import get_fields

T = TypeVar("T")


class _Message(Protocol):
    @property
    def DESCRIPTOR(self) -> Any: ...


def _same(kind: type[T], message: _Message, **more: Any) -> T:
    """A result whose members are named as the fields of the message; `more` takes the place of those of another type."""
    known: Any = kind
    names = [name for name in known.__dataclass_fields__ if name not in more]
    return kind(**{name: getattr(message, name) for name in names}, **more)


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _optional_f32(message: Any, name: str) -> float | None:
    number = _optional(message, name)
    return None if number is None else f32(number)


def _vector(message: Any) -> FloatArray | None:
    if not message.HasField("vector"):
        return None
    vector = message.vector
    return from_wire(vector.packed if vector.WhichOneof("components") == "packed" else vector.floats.values)


def nothing(_message: Any) -> None:
    """The result of a call that answers nothing."""


def collection(message: collection_pb2.Collection) -> Collection:
    index = message.index
    return _same(
        Collection,
        message,
        schema=dict(message.schema),
        created=datetime.fromisoformat(message.created) if message.created else None,
        index=IndexSettings(*(_optional(index, name) for name in ("kind", "m", "ef_construction", "ef_search"))),
    )


def created(message: collection_pb2.CreateCollectionResponse) -> Collection:
    return collection(message.collection)


def collections(message: collection_pb2.ListCollectionsResponse) -> list[Collection]:
    return [collection(item) for item in message.collections]


def write_result(message: write_pb2.WriteResponse) -> WriteResult:
    return _same(WriteResult, message)


def _record(message: record_pb2.StoredRecord, with_metadata: bool) -> Record:
    metadata = get_fields(message.metadata) if with_metadata else None
    return Record(message.id, _vector(message), metadata, message.version, _optional(message, "expires"))


def records(with_metadata: bool) -> Callable[[record_pb2.GetRecordsResponse], list[Record | None]]:
    """A reader of records. An empty map and an absent one look the same, so it must know what was asked for."""
    return lambda message: [
        _record(item.record, with_metadata) if item.HasField("record") else None for item in message.results
    ]


def record(id: str, with_metadata: bool) -> Callable[[record_pb2.GetRecordsResponse], Record]:
    """A reader of the one record that was asked for. Raises NotFoundError where there is none, as REST does."""

    def read(message: record_pb2.GetRecordsResponse) -> Record:
        only = message.results[0]
        if not only.HasField("record"):
            raise NotFoundError(f"record {id}: is not in the collection")
        return _record(only.record, with_metadata)

    return read


def scan_page(with_metadata: bool) -> Callable[[record_pb2.ScanResponse], ScanPage]:
    """A reader of a page."""
    return lambda message: ScanPage(
        tuple(_record(item, with_metadata) for item in message.records), _optional(message, "cursor")
    )


def _search_result(message: search_pb2.SearchResponse, with_metadata: bool) -> SearchResult:
    kind = cast(ScoreKind, message.score_kind)
    return SearchResult(
        tuple(
            Hit(
                hit.id,
                hit.score,
                hit.distance,
                get_fields(hit.metadata) if with_metadata else None,
                _vector(hit),
                hit.version,
                kind,
            )
            for hit in message.hits
        ),
        kind,
        _same(SearchStats, message.stats, recall_estimate=_optional_f32(message.stats, "recall_estimate")),
        tuple(
            _same(
                SegmentExplain,
                line,
                ef=_optional(line, "ef"),
                recall_estimate=_optional_f32(line, "recall_estimate"),
            )
            for line in message.explain
        ),
    )


def search_result(with_metadata: bool) -> Callable[[search_pb2.SearchResponse], SearchResult]:
    """A reader of one search."""
    return lambda message: _search_result(message, with_metadata)


def search_results(with_metadata: bool) -> Callable[[search_pb2.SearchBatchResponse], list[SearchResult]]:
    """A reader of many searches."""
    return lambda message: [_search_result(item, with_metadata) for item in message.results]


def count(message: record_pb2.CountResponse) -> int:
    return message.count


def index_status(message: admin_pb2.IndexStatus) -> IndexStatus:
    return _same(
        IndexStatus,
        message,
        recall_estimate=_optional_f32(message, "recall_estimate"),
        segments=tuple(_same(SegmentStatus, item) for item in message.segments),
    )


def _site(message: admin_pb2.Site) -> Site:
    optional = {name: _optional(message, name) for name in ("id", "free_bytes", "total_bytes", "mirror", "log_copies")}
    return _same(Site, message, recovered=_same(Recovered, message.recovered), **optional)


def sites(message: admin_pb2.ListSitesResponse) -> list[Site]:
    return [_site(item) for item in message.sites]


def assignments(message: admin_pb2.ListAssignmentsResponse) -> list[Assignment]:
    return [_same(Assignment, item, site=_optional(item, "site")) for item in message.assignments]


def task(message: admin_pb2.Task) -> Task:
    optional = {name: _optional(message, name) for name in ("site", "problem")}
    return _same(Task, message, started=datetime.fromisoformat(message.started), **optional)


def tasks(message: admin_pb2.ListTasksResponse) -> list[Task]:
    return [task(item) for item in message.tasks]


def plugins(message: admin_pb2.ListPluginsResponse) -> list[Plugin]:
    return [_same(Plugin, item, problem=_optional(item, "problem")) for item in message.plugins]


def losses(message: admin_pb2.AcceptLossResponse) -> list[Loss]:
    return [_same(Loss, item) for item in message.losses]


def _memory(message: admin_pb2.Memory) -> Memory:
    return _same(Memory, message, budget_bytes=_optional(message, "budget_bytes"), parts=dict(message.parts))


def health(message: admin_pb2.ServerStatus) -> Health:
    return _same(
        Health,
        message,
        problems=tuple(message.problems),
        sites=tuple(_site(item) for item in message.sites),
        memory=_memory(message.memory),
    )
