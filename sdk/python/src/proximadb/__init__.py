"""Client of ProximaDB, a vector database: sync and async, over REST and gRPC, numpy in and out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from ._async.client import AsyncProximaDBClient
from ._retry import RetryPolicy
from ._sync.client import ProximaDBClient
from .collection import Collection, IndexSettings
from .errors import (
    ConflictError,
    ConnectionFailedError,
    CorruptError,
    DeadlineExceededError,
    ExhaustedError,
    FencedError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PluginFailedError,
    ProximaDBError,
    UnavailableError,
)
from .record import Record, ScanPage, WriteResult
from .search import Hit, SearchResult, SearchStats, SegmentExplain
from .status import Assignment, Health, IndexStatus, Loss, Memory, Plugin, Recovered, SegmentStatus, Site, Task

try:
    __version__ = version("proximadb")
except PackageNotFoundError:  # used from a source tree that is not installed
    __version__ = "0.0.0"

__all__ = [
    "Assignment",
    "AsyncProximaDBClient",
    "Collection",
    "ConflictError",
    "ConnectionFailedError",
    "CorruptError",
    "DeadlineExceededError",
    "ExhaustedError",
    "FencedError",
    "Health",
    "Hit",
    "IndexSettings",
    "IndexStatus",
    "InternalError",
    "InvalidArgumentError",
    "Loss",
    "Memory",
    "NotFoundError",
    "Plugin",
    "PluginFailedError",
    "ProximaDBClient",
    "ProximaDBError",
    "Record",
    "Recovered",
    "RetryPolicy",
    "ScanPage",
    "SearchResult",
    "SearchStats",
    "SegmentExplain",
    "SegmentStatus",
    "Site",
    "Task",
    "UnavailableError",
    "WriteResult",
]
