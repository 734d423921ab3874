"""How the server is: its health, its sites, where shards lie and move, and how a collection is indexed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SegmentStatus:
    """One segment of a collection. `dead` counts rows deleted or replaced since it was written.

    `originals` is "memory", or "disk" where searches fetch the vectors that they compare; `originals_reason` says why.
    """

    shard: int = 0
    id: str = ""
    rows: int = 0
    dead: int = 0
    index: str = ""
    reason: str = ""
    originals: str = ""
    originals_reason: str = ""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How a collection is indexed at this moment.

    `status` is "ready", "building" or "loading", `kind` "flat", "graph", "mixed" or "none". `unindexed_rows` are scanned
    exactly until they are indexed. `recall_estimate` is recall@10 against exact search, None until a graph has been sampled.
    `filter_bytes` are those of fields that are kept in memory for filters, `originals_bytes` those of full vectors.
    """

    status: str
    kind: str
    indexed_rows: int = 0
    unindexed_rows: int = 0
    memtable_rows: int = 0
    recall_estimate: float | None = None
    resident_bytes: int = 0
    segments: tuple[SegmentStatus, ...] = ()
    filter_bytes: int = 0
    originals_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found on a site at start, and how long that took."""

    shards: int = 0
    segments: int = 0
    rows: int = 0
    replayed: int = 0
    millis: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """A disk or bucket. `id` is None while it cannot be read; `state` is "ok" or what is wrong.

    A site that is `draining` gets no new shards until `cancel_drain`. `mirror` (of its objects) and `log_copies` (of its log)
    are "in step", or why its second copies are not complete; None where none are kept, and while the site is away.
    `sync_micros` is the mean time to make a group of writes durable; `free_bytes` and `total_bytes` are None where unknown.
    """

    id: str | None = None
    instance: int = 0
    location: str = ""
    kind: str = ""
    state: str = ""
    shards: int = 0
    stored_bytes: int = 0
    wal_bytes: int = 0
    sync_micros: int = 0
    free_bytes: int | None = None
    total_bytes: int | None = None
    recovered: Recovered = Recovered()
    draining: bool = False
    mirror: str | None = None
    log_copies: str | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which site a shard lies on. `collection` and `site` are uuids, `name` is the collection's name.

    `site` is None when nobody knows.
    """

    collection: str
    name: str
    shard: int
    site: str | None = None
    stored_bytes: int = 0
    state: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """Work on shards as a whole that goes on in the server, one at a time; `tasks` tells how far it is.

    `kind` is "drain", "rebalance" or "fail_over", `state` "running", "done", "failed" or "cancelled"; `site` is the number of
    the site it is about, None for a rebalance. `bytes_total` grows with what is written meanwhile. `problem` is what went wrong
    last, None when nothing did. `id` counts up from 1 with each start of the server.
    """

    id: int
    kind: str
    state: str
    started: datetime
    site: int | None = None
    shards_total: int = 0
    shards_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of the server's configuration.

    `kind` is "metric" or "assigner"; `state` is "ready", "resting" (left alone for a while after faults, the breaker is "open")
    or "refused" (not loaded). `problem` says why it was refused, or what its last fault was. `micros` is the time in its calls
    over all threads.
    """

    name: str
    kind: str
    state: str
    sha256: str = ""
    breaker: str = "closed"
    problem: str | None = None
    calls: int = 0
    faults: int = 0
    micros: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that `accept_loss` gave up: a segment of a shard, or its log. `rows` is 0 where nobody can know."""

    shard: int
    what: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What the server holds in memory, all together and by part.

    `state` is "roomy", "lean" (some vectors stay on disk) or "over" (records are refused); `budget_bytes` is None without one.
    """

    state: str = ""
    budget_bytes: int | None = None
    used_bytes: int = 0
    parts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well. `status` is "ok", "degraded" (something is wrong, the rest is served) or "unavailable"."""

    status: str
    ready: bool
    version: str = ""
    problems: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    memory: Memory = Memory()
