from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FlushRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class FlushResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetIndexStatusRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class IndexStatus(_message.Message):
    __slots__ = ("status", "kind", "indexed_rows", "unindexed_rows", "memtable_rows", "recall_estimate", "resident_bytes", "segments", "filter_bytes", "originals_bytes")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INDEXED_ROWS_FIELD_NUMBER: _ClassVar[int]
    UNINDEXED_ROWS_FIELD_NUMBER: _ClassVar[int]
    MEMTABLE_ROWS_FIELD_NUMBER: _ClassVar[int]
    RECALL_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    FILTER_BYTES_FIELD_NUMBER: _ClassVar[int]
    ORIGINALS_BYTES_FIELD_NUMBER: _ClassVar[int]
    status: str
    kind: str
    indexed_rows: int
    unindexed_rows: int
    memtable_rows: int
    recall_estimate: float
    resident_bytes: int
    segments: _containers.RepeatedCompositeFieldContainer[SegmentStatus]
    filter_bytes: int
    originals_bytes: int
    def __init__(self, status: _Optional[str] = ..., kind: _Optional[str] = ..., indexed_rows: _Optional[int] = ..., unindexed_rows: _Optional[int] = ..., memtable_rows: _Optional[int] = ..., recall_estimate: _Optional[float] = ..., resident_bytes: _Optional[int] = ..., segments: _Optional[_Iterable[_Union[SegmentStatus, _Mapping]]] = ..., filter_bytes: _Optional[int] = ..., originals_bytes: _Optional[int] = ...) -> None: ...

class SegmentStatus(_message.Message):
    __slots__ = ("shard", "id", "rows", "dead", "index", "reason", "originals", "originals_reason")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ORIGINALS_FIELD_NUMBER: _ClassVar[int]
    ORIGINALS_REASON_FIELD_NUMBER: _ClassVar[int]
    shard: int
    id: str
    rows: int
    dead: int
    index: str
    reason: str
    originals: str
    originals_reason: str
    def __init__(self, shard: _Optional[int] = ..., id: _Optional[str] = ..., rows: _Optional[int] = ..., dead: _Optional[int] = ..., index: _Optional[str] = ..., reason: _Optional[str] = ..., originals: _Optional[str] = ..., originals_reason: _Optional[str] = ...) -> None: ...

class ListSitesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSitesResponse(_message.Message):
    __slots__ = ("sites",)
    SITES_FIELD_NUMBER: _ClassVar[int]
    sites: _containers.RepeatedCompositeFieldContainer[Site]
    def __init__(self, sites: _Optional[_Iterable[_Union[Site, _Mapping]]] = ...) -> None: ...

class Site(_message.Message):
    __slots__ = ("id", "instance", "location", "kind", "state", "shards", "stored_bytes", "wal_bytes", "sync_micros", "free_bytes", "total_bytes", "recovered", "draining", "mirror", "log_copies")
    ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SYNC_MICROS_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    LOG_COPIES_FIELD_NUMBER: _ClassVar[int]
    id: str
    instance: int
    location: str
    kind: str
    state: str
    shards: int
    stored_bytes: int
    wal_bytes: int
    sync_micros: int
    free_bytes: int
    total_bytes: int
    recovered: Recovered
    draining: bool
    mirror: str
    log_copies: str
    def __init__(self, id: _Optional[str] = ..., instance: _Optional[int] = ..., location: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[str] = ..., shards: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., wal_bytes: _Optional[int] = ..., sync_micros: _Optional[int] = ..., free_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., recovered: _Optional[_Union[Recovered, _Mapping]] = ..., draining: bool = ..., mirror: _Optional[str] = ..., log_copies: _Optional[str] = ...) -> None: ...

class Recovered(_message.Message):
    __slots__ = ("shards", "segments", "rows", "replayed", "millis")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    MILLIS_FIELD_NUMBER: _ClassVar[int]
    shards: int
    segments: int
    rows: int
    replayed: int
    millis: int
    def __init__(self, shards: _Optional[int] = ..., segments: _Optional[int] = ..., rows: _Optional[int] = ..., replayed: _Optional[int] = ..., millis: _Optional[int] = ...) -> None: ...

class ListAssignmentsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAssignmentsResponse(_message.Message):
    __slots__ = ("assignments",)
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("collection", "name", "shard", "site", "stored_bytes", "state")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    collection: str
    name: str
    shard: int
    site: str
    stored_bytes: int
    state: str
    def __init__(self, collection: _Optional[str] = ..., name: _Optional[str] = ..., shard: _Optional[int] = ..., site: _Optional[str] = ..., stored_bytes: _Optional[int] = ..., state: _Optional[str] = ...) -> None: ...

class DrainSiteRequest(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: str
    def __init__(self, site: _Optional[str] = ...) -> None: ...

class CancelDrainRequest(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: str
    def __init__(self, site: _Optional[str] = ...) -> None: ...

class CancelDrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FailOverRequest(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: str
    def __init__(self, site: _Optional[str] = ...) -> None: ...

class RebalanceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    def __init__(self, tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("id", "kind", "site", "state", "shards_total", "shards_done", "bytes_total", "bytes_done", "problem", "started")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SHARDS_DONE_FIELD_NUMBER: _ClassVar[int]
    BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    BYTES_DONE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: str
    site: int
    state: str
    shards_total: int
    shards_done: int
    bytes_total: int
    bytes_done: int
    problem: str
    started: str
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[str] = ..., site: _Optional[int] = ..., state: _Optional[str] = ..., shards_total: _Optional[int] = ..., shards_done: _Optional[int] = ..., bytes_total: _Optional[int] = ..., bytes_done: _Optional[int] = ..., problem: _Optional[str] = ..., started: _Optional[str] = ...) -> None: ...

class AcceptLossRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class AcceptLossResponse(_message.Message):
    __slots__ = ("losses",)
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    losses: _containers.RepeatedCompositeFieldContainer[Loss]
    def __init__(self, losses: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("shard", "what", "rows")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    what: str
    rows: int
    def __init__(self, shard: _Optional[int] = ..., what: _Optional[str] = ..., rows: _Optional[int] = ...) -> None: ...

class ListPluginsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPluginsResponse(_message.Message):
    __slots__ = ("plugins",)
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    plugins: _containers.RepeatedCompositeFieldContainer[Plugin]
    def __init__(self, plugins: _Optional[_Iterable[_Union[Plugin, _Mapping]]] = ...) -> None: ...

class Plugin(_message.Message):
    __slots__ = ("name", "kind", "sha256", "state", "breaker", "problem", "calls", "faults", "micros")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    sha256: str
    state: str
    breaker: str
    problem: str
    calls: int
    faults: int
    micros: int
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., sha256: _Optional[str] = ..., state: _Optional[str] = ..., breaker: _Optional[str] = ..., problem: _Optional[str] = ..., calls: _Optional[int] = ..., faults: _Optional[int] = ..., micros: _Optional[int] = ...) -> None: ...

class GetServerStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerStatus(_message.Message):
    __slots__ = ("status", "ready", "version", "problems", "sites", "memory")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    status: str
    ready: bool
    version: str
    problems: _containers.RepeatedScalarFieldContainer[str]
    sites: _containers.RepeatedCompositeFieldContainer[Site]
    memory: Memory
    def __init__(self, status: _Optional[str] = ..., ready: bool = ..., version: _Optional[str] = ..., problems: _Optional[_Iterable[str]] = ..., sites: _Optional[_Iterable[_Union[Site, _Mapping]]] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class Memory(_message.Message):
    __slots__ = ("state", "budget_bytes", "used_bytes", "parts")
    class PartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    state: str
    budget_bytes: int
    used_bytes: int
    parts: _containers.ScalarMap[str, int]
    def __init__(self, state: _Optional[str] = ..., budget_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., parts: _Optional[_Mapping[str, int]] = ...) -> None: ...
