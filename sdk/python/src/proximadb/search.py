"""The answer of a search: hits, nearest first, and what ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from ._vectors import FloatArray
from .collection import ScoreKind


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """One hit. `score` is a similarity or a distance, as `score_kind` says; `distance` always shrinks as vectors come nearer.

    `metadata` and `vector` (float32) are None unless they were asked for; `version` is the sequence of the write that made
    the record.
    """

    id: str
    score: float
    distance: float
    metadata: dict[str, Any] | None = None
    vector: FloatArray | None = None
    version: int = 0
    score_kind: ScoreKind = "similarity"


@dataclass(frozen=True, slots=True)
class SegmentExplain:
    """How one segment was searched, and why so. `allowed` counts the rows that deletes and the filter left.

    `originals` is "memory", or "disk" where vectors were fetched; `filter` is "none", "memory", or "file" and why; `ef` is the
    breadth, None where no graph was walked.
    """

    shard: int = 0
    rows: int = 0
    allowed: int = 0
    index: str = ""
    strategy: str = ""
    reason: str = ""
    distances: int = 0
    code_distances: int = 0
    hops: int = 0
    graph_walks: int = 0
    filter: str = ""
    ef: int | None = None
    recall_estimate: float | None = None
    originals: str = ""


@dataclass(frozen=True, slots=True)
class SearchStats:
    """What a search did: microseconds in the engine, segments, rows and distances looked at, nodes of graphs expanded.

    `recall_estimate` is the recall@10 to be expected: 1 where every row was compared, None where it is not known.
    """

    took_us: int = 0
    segments: int = 0
    memtable_rows: int = 0
    rows_filtered: int = 0
    distances: int = 0
    code_distances: int = 0
    hops: int = 0
    graph_walks: int = 0
    recall_estimate: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult(Sequence[Hit]):
    """Hits, nearest first. `explain` has a line for each segment when it was asked for.

    `score_kind` is that of the hits; None where there are none and the server did not say.
    """

    hits: tuple[Hit, ...]
    score_kind: ScoreKind | None = None
    stats: SearchStats = SearchStats()
    explain: tuple[SegmentExplain, ...] = ()

    @property
    def ids(self) -> list[str]:
        """The ids of the hits."""
        return [hit.id for hit in self.hits]

    @property
    def scores(self) -> list[float]:
        """The scores of the hits."""
        return [hit.score for hit in self.hits]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[index]
