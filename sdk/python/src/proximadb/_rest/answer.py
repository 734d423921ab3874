"""Reads JSON answers into results. Unknown members are passed over, so that a newer server can be read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from .._vectors import f32, from_wire
from ..collection import Collection, IndexSettings, ScoreKind
from ..record import Record, ScanPage, WriteResult
from ..search import Hit, SearchResult, SearchStats, SegmentExplain
from ..status import Assignment, Health, IndexStatus, Loss, Memory, Plugin, Recovered, SegmentStatus, Site, Task

T = TypeVar("T")


def body(read: Callable[[Any], T]) -> Callable[[bytes], T]:
    """A reader of the bytes of an answer from a reader of its JSON."""
    return lambda content: read(json.loads(content))


def nothing(_content: bytes) -> None:
    """The result of a call that answers nothing."""


def _known(kind: type[T], data: dict[str, Any]) -> T:
    """A result from the members that it knows; null means that a member is absent."""
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in names and value is not None})


def _with_recall(data: dict[str, Any]) -> dict[str, Any]:
    """The f32 that the server meant, as gRPC would give it."""
    recall = data.get("recall_estimate")
    return data if recall is None else {**data, "recall_estimate": f32(recall)}


def collection(data: dict[str, Any]) -> Collection:
    created = data.get("created")
    return _known(
        Collection,
        {
            **data,
            "index": _known(IndexSettings, data.get("index") or {}),
            "created": datetime.fromisoformat(created) if isinstance(created, str) else None,
        },
    )


def collections(data: dict[str, Any]) -> list[Collection]:
    return [collection(item) for item in data["collections"]]


def write_result(data: dict[str, Any]) -> WriteResult:
    return _known(WriteResult, data)


def record(data: dict[str, Any]) -> Record:
    return Record(
        data["id"], from_wire(data.get("vector")), data.get("metadata"), data.get("version", 0), data.get("expires")
    )


def records(data: dict[str, Any]) -> list[Record | None]:
    return [None if item is None else record(item) for item in data["records"]]


def scan_page(data: dict[str, Any]) -> ScanPage:
    return ScanPage(tuple(record(item) for item in data["records"]), data.get("cursor"))


def search_result(data: dict[str, Any]) -> SearchResult:
    hits = data["hits"]
    stats = data.get("stats") or {}
    # Each hit says its kind; an answer without hits may not.
    kind: ScoreKind | None = data.get("score_kind") or (hits[0]["score_kind"] if hits else None)
    explain = data.get("explain") or stats.get("explain") or []
    return SearchResult(
        tuple(
            Hit(
                hit["id"],
                f32(hit["score"]),
                f32(hit["distance"]),
                hit.get("metadata"),
                from_wire(hit.get("vector")),
                hit.get("version", 0),
                hit["score_kind"],
            )
            for hit in hits
        ),
        kind,
        _known(SearchStats, _with_recall(stats)),
        tuple(_known(SegmentExplain, _with_recall(line)) for line in explain),
    )


def search_results(data: dict[str, Any]) -> list[SearchResult]:
    return [search_result(item) for item in data["results"]]


def count(data: dict[str, Any]) -> int:
    return int(data["count"])


def index_status(data: dict[str, Any]) -> IndexStatus:
    segments = tuple(_known(SegmentStatus, item) for item in data.get("segments") or ())
    return _known(IndexStatus, {**_with_recall(data), "segments": segments})


def site(data: dict[str, Any]) -> Site:
    return _known(Site, {**data, "recovered": _known(Recovered, data.get("recovered") or {})})


def sites(data: dict[str, Any]) -> list[Site]:
    return [site(item) for item in data["sites"]]


def assignments(data: dict[str, Any]) -> list[Assignment]:
    return [_known(Assignment, item) for item in data["assignments"]]


def task(data: dict[str, Any]) -> Task:
    return _known(Task, {**data, "started": datetime.fromisoformat(data["started"])})


def tasks(data: dict[str, Any]) -> list[Task]:
    return [task(item) for item in data["tasks"]]


def plugins(data: dict[str, Any]) -> list[Plugin]:
    return [_known(Plugin, item) for item in data["plugins"]]


def losses(data: dict[str, Any]) -> list[Loss]:
    return [_known(Loss, item) for item in data["losses"]]


def health(data: dict[str, Any]) -> Health:
    return _known(
        Health,
        {
            **data,
            "problems": tuple(data.get("problems") or ()),
            "sites": tuple(site(item) for item in data.get("sites") or ()),
            "memory": _known(Memory, data.get("memory") or {}),
        },
    )
