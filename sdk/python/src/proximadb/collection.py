"""A collection and its settings, as the server describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

ScoreKind: TypeAlias = Literal["similarity", "distance"]


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How a collection is indexed. What is None keeps the server's default, or in an update the value it has.

    `kind` is "auto" (exact while small, a graph when it pays), "flat" (always exact) or "graph". `m` and
    `ef_construction` shape the graph, `ef_search` is the breadth of a search that does not say its own.
    """

    kind: str | None = None
    m: int | None = None
    ef_construction: int | None = None
    ef_search: int | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection. `id` is its uuid, which every call takes in place of the name.

    `score_kind` says whether a higher score ("similarity") or a lower one ("distance") is nearer. `schema` has the declared
    metadata fields with their types. `records` counts live records, `stored_bytes` segments and sidecars.
    """

    id: str
    name: str
    dimension: int
    metric: str
    score_kind: ScoreKind = "similarity"
    schema: dict[str, str] = field(default_factory=dict)
    shards: int = 1
    index: IndexSettings = field(default_factory=IndexSettings)
    description: str = ""
    created: datetime | None = None
    records: int = 0
    stored_bytes: int = 0
    shards_unavailable: int = 0
