from proximadb.v1 import filter_pb2 as _filter_pb2
from proximadb.v1 import record_pb2 as _record_pb2
from proximadb.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SearchRequest(_message.Message):
    __slots__ = ("collection", "query")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    collection: str
    query: SearchQuery
    def __init__(self, collection: _Optional[str] = ..., query: _Optional[_Union[SearchQuery, _Mapping]] = ...) -> None: ...

class SearchQuery(_message.Message):
    __slots__ = ("vector", "id", "k", "offset", "filter", "ef", "exact", "score_threshold", "with_vector", "with_metadata", "explain", "timeout_ms", "recall_target")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    WITH_METADATA_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    RECALL_TARGET_FIELD_NUMBER: _ClassVar[int]
    vector: _record_pb2.Vector
    id: str
    k: int
    offset: int
    filter: _filter_pb2.Filter
    ef: int
    exact: bool
    score_threshold: float
    with_vector: bool
    with_metadata: bool
    explain: bool
    timeout_ms: int
    recall_target: float
    def __init__(self, vector: _Optional[_Union[_record_pb2.Vector, _Mapping]] = ..., id: _Optional[str] = ..., k: _Optional[int] = ..., offset: _Optional[int] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., ef: _Optional[int] = ..., exact: bool = ..., score_threshold: _Optional[float] = ..., with_vector: bool = ..., with_metadata: bool = ..., explain: bool = ..., timeout_ms: _Optional[int] = ..., recall_target: _Optional[float] = ...) -> None: ...

class SearchBatchRequest(_message.Message):
    __slots__ = ("collection", "queries")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    collection: str
    queries: _containers.RepeatedCompositeFieldContainer[SearchQuery]
    def __init__(self, collection: _Optional[str] = ..., queries: _Optional[_Iterable[_Union[SearchQuery, _Mapping]]] = ...) -> None: ...

class SearchBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SearchResponse]
    def __init__(self, results: _Optional[_Iterable[_Union[SearchResponse, _Mapping]]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("hits", "score_kind", "stats", "explain")
    HITS_FIELD_NUMBER: _ClassVar[int]
    SCORE_KIND_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    score_kind: str
    stats: SearchStats
    explain: _containers.RepeatedCompositeFieldContainer[SegmentExplain]
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., score_kind: _Optional[str] = ..., stats: _Optional[_Union[SearchStats, _Mapping]] = ..., explain: _Optional[_Iterable[_Union[SegmentExplain, _Mapping]]] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("id", "score", "distance", "metadata", "vector", "version")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    score: float
    distance: float
    metadata: _containers.MessageMap[str, _value_pb2.Value]
    vector: _record_pb2.Vector
    version: int
    def __init__(self, id: _Optional[str] = ..., score: _Optional[float] = ..., distance: _Optional[float] = ..., metadata: _Optional[_Mapping[str, _value_pb2.Value]] = ..., vector: _Optional[_Union[_record_pb2.Vector, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class SearchStats(_message.Message):
    __slots__ = ("took_us", "segments", "memtable_rows", "rows_filtered", "distances", "code_distances", "hops", "graph_walks", "recall_estimate")
    TOOK_US_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    MEMTABLE_ROWS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FILTERED_FIELD_NUMBER: _ClassVar[int]
    DISTANCES_FIELD_NUMBER: _ClassVar[int]
    CODE_DISTANCES_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_WALKS_FIELD_NUMBER: _ClassVar[int]
    RECALL_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    took_us: int
    segments: int
    memtable_rows: int
    rows_filtered: int
    distances: int
    code_distances: int
    hops: int
    graph_walks: int
    recall_estimate: float
    def __init__(self, took_us: _Optional[int] = ..., segments: _Optional[int] = ..., memtable_rows: _Optional[int] = ..., rows_filtered: _Optional[int] = ..., distances: _Optional[int] = ..., code_distances: _Optional[int] = ..., hops: _Optional[int] = ..., graph_walks: _Optional[int] = ..., recall_estimate: _Optional[float] = ...) -> None: ...

class SegmentExplain(_message.Message):
    __slots__ = ("shard", "rows", "allowed", "index", "strategy", "reason", "distances", "code_distances", "hops", "graph_walks", "filter", "ef", "recall_estimate", "originals")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DISTANCES_FIELD_NUMBER: _ClassVar[int]
    CODE_DISTANCES_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_WALKS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    RECALL_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    ORIGINALS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    rows: int
    allowed: int
    index: str
    strategy: str
    reason: str
    distances: int
    code_distances: int
    hops: int
    graph_walks: int
    filter: str
    ef: int
    recall_estimate: float
    originals: str
    def __init__(self, shard: _Optional[int] = ..., rows: _Optional[int] = ..., allowed: _Optional[int] = ..., index: _Optional[str] = ..., strategy: _Optional[str] = ..., reason: _Optional[str] = ..., distances: _Optional[int] = ..., code_distances: _Optional[int] = ..., hops: _Optional[int] = ..., graph_walks: _Optional[int] = ..., filter: _Optional[str] = ..., ef: _Optional[int] = ..., recall_estimate: _Optional[float] = ..., originals: _Optional[str] = ...) -> None: ...
