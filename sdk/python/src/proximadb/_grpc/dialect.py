"""The operations as gRPC messages. Does no IO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._call import Call
from .._dialect import FLUSH_TIMEOUT_S, Dialect, Encoded, NewRecord, Query, Write
from .._vectors import FloatArray
from ..collection import Collection, IndexSettings
from ..errors import InvalidArgumentError
from ..record import Record, ScanPage, WriteResult
from ..search import SearchResult
from ..status import Assignment, Health, IndexStatus, Loss, Plugin, Site, Task
from ..v1 import admin_pb2, collection_pb2, record_pb2, search_pb2, write_pb2
from . import answer
from .filter import to_message
from .value import set_fields, text, whole

_DURABILITIES = {"sync": write_pb2.DURABILITY_SYNC, "async": write_pb2.DURABILITY_ASYNC}


_WRITE_FIELDS = write_pb2.WriteRequest.DESCRIPTOR.fields_by_name


@dataclass(frozen=True, slots=True)
class RpcRequest:
    """A call of the service; `message` is a message or its bytes."""

    method: str
    message: Any


class GrpcDialect(Dialect):
    """gRPC, package proximadb.v1."""

    def create_collection(
        self,
        name: str,
        dimension: int,
        metric: str,
        schema: Mapping[str, str] | None,
        shards: int | None,
        index: IndexSettings | None,
        description: str | None,
    ) -> Call[Collection]:
        message = collection_pb2.CreateCollectionRequest(
            name=_text(name, "name"),
            dimension=whole(dimension, 64, "dimension"),
            metric=_text(metric, "metric"),
            shards=None if shards is None else whole(shards, 32, "shards"),
            index=_settings(index),
            description=_text(description or "", "description"),
        )
        for key, kind in (schema or {}).items():
            message.schema[_text(key, "schema")] = _text(kind, f"schema.{key}")
        # The same specification again answers what is there, so sending it twice does no harm.
        return Call(RpcRequest("CreateCollection", message), answer.created, repeatable=True)

    def get_collection(self, collection: str) -> Call[Collection]:
        message = collection_pb2.GetCollectionRequest(collection=_of(collection))
        return Call(RpcRequest("GetCollection", message), answer.collection, repeatable=True)

    def list_collections(self) -> Call[list[Collection]]:
        message = collection_pb2.ListCollectionsRequest()
        return Call(RpcRequest("ListCollections", message), answer.collections, repeatable=True)

    def update_collection(
        self, collection: str, description: str | None, index: IndexSettings | None
    ) -> Call[Collection]:
        message = collection_pb2.UpdateCollectionRequest(
            collection=_of(collection),
            description=None if description is None else _text(description, "description"),
            index=_settings(index),
        )
        return Call(RpcRequest("UpdateCollection", message), answer.collection, repeatable=False)

    def delete_collection(self, collection: str) -> Call[None]:
        message = collection_pb2.DeleteCollectionRequest(collection=_of(collection))
        return Call(RpcRequest("DeleteCollection", message), answer.nothing, repeatable=False)

    def encode(self, records: Iterable[NewRecord]) -> Iterator[Encoded]:
        for record in records:
            message = record_pb2.Record(id=text(record.id, "id"), expires=record.expires)
            message.vector.packed = record.vector.tobytes()
            if record.metadata is not None:
                set_fields(message.metadata, record.metadata, "metadata")
            yield _encoded(message)

    def encode_patch(self, id: str, vector: FloatArray | None, metadata: dict[str, Any] | None) -> Encoded:
        patch = write_pb2.Patch(id=text(id, "id"))
        if vector is not None:
            patch.vector.packed = vector.tobytes()
        if metadata is not None:
            set_fields(patch.metadata, metadata, "metadata")
        return _encoded(patch)

    def write(self, collection: str, write: Write) -> Call[WriteResult]:
        message = write_pb2.WriteRequest(
            collection=_of(collection),
            delete=[text(id, f"delete[{i}]") for i, id in enumerate(write.delete)],
        )
        if write.delete_where is not None:
            message.delete_where.append(to_message(write.delete_where, "delete_where"))
        if write.durability is not None:
            if write.durability not in _DURABILITIES:
                raise InvalidArgumentError("must be one of sync, async", field="durability")
            message.durability = _DURABILITIES[write.durability]
        if write.idempotency_key is not None:
            message.idempotency_key = _text(write.idempotency_key, "idempotency_key")
        repeatable = write.idempotency_key is not None
        # Protobuf messages are concatenated by concatenating their bytes, so records are not copied into the request.
        parts = [message.SerializeToString()]
        for name, records in (("insert", write.insert), ("upsert", write.upsert), ("patch", write.patch)):
            tag = bytes([_WRITE_FIELDS[name].number << 3 | 2])
            for record in records:
                parts += (tag, _varint(len(record.data)), record.data)
        return Call(RpcRequest("Write", b"".join(parts)), answer.write_result, repeatable)

    def get_record(self, collection: str, id: str, with_vector: bool, with_metadata: bool) -> Call[Record]:
        message = _get(collection, [id], with_vector, with_metadata)
        return Call(RpcRequest("GetRecords", message), answer.record(id, with_metadata), repeatable=True)

    def get_records(
        self, collection: str, ids: Sequence[str], with_vector: bool, with_metadata: bool
    ) -> Call[list[Record | None]]:
        message = _get(collection, ids, with_vector, with_metadata)
        return Call(RpcRequest("GetRecords", message), answer.records(with_metadata), repeatable=True)

    def search(self, collection: str, query: Query) -> Call[SearchResult]:
        message = search_pb2.SearchRequest(collection=_of(collection), query=_query(query))
        return Call(
            RpcRequest("Search", message),
            answer.search_result(query.with_metadata),
            repeatable=True,
            timeout=query.timeout,
            deadline_is_callers=query.timeout_ms is not None,
        )

    def search_batch(self, collection: str, queries: Sequence[Query]) -> Call[list[SearchResult]]:
        message = search_pb2.SearchBatchRequest(
            collection=_of(collection), queries=[_query(query) for query in queries]
        )
        timeouts = [query.timeout for query in queries if query.timeout is not None]
        return Call(
            RpcRequest("SearchBatch", message),
            answer.search_results(any(query.with_metadata for query in queries)),
            repeatable=True,
            timeout=max(timeouts, default=None),
            deadline_is_callers=any(query.timeout_ms is not None for query in queries),
        )

    def scan(
        self,
        collection: str,
        filter: dict[str, Any] | None,
        cursor: str | None,
        limit: int | None,
        with_vector: bool,
        with_metadata: bool,
    ) -> Call[ScanPage]:
        message = record_pb2.ScanRequest(
            collection=_of(collection),
            filter=None if filter is None else to_message(filter),
            cursor=None if cursor is None else _text(cursor, "cursor"),
            limit=None if limit is None else whole(limit, 64, "limit"),
            with_vector=with_vector,
            with_metadata=with_metadata,
        )
        return Call(RpcRequest("Scan", message), answer.scan_page(with_metadata), repeatable=True)

    def count(self, collection: str, filter: dict[str, Any] | None) -> Call[int]:
        message = record_pb2.CountRequest(
            collection=_of(collection), filter=None if filter is None else to_message(filter)
        )
        return Call(RpcRequest("Count", message), answer.count, repeatable=True)

    def flush(self, collection: str) -> Call[None]:
        message = admin_pb2.FlushRequest(collection=_of(collection))
        return Call(RpcRequest("Flush", message), answer.nothing, repeatable=True, timeout=FLUSH_TIMEOUT_S)

    def index_status(self, collection: str) -> Call[IndexStatus]:
        message = admin_pb2.GetIndexStatusRequest(collection=_of(collection))
        return Call(RpcRequest("GetIndexStatus", message), answer.index_status, repeatable=True)

    def sites(self) -> Call[list[Site]]:
        return Call(RpcRequest("ListSites", admin_pb2.ListSitesRequest()), answer.sites, repeatable=True)

    def assignments(self) -> Call[list[Assignment]]:
        message = admin_pb2.ListAssignmentsRequest()
        return Call(RpcRequest("ListAssignments", message), answer.assignments, repeatable=True)

    def drain_site(self, site: str) -> Call[Task]:
        # A second task of any kind is refused while the first runs, so none that begins one is sent twice.
        message = admin_pb2.DrainSiteRequest(site=_text(site, "site"))
        return Call(RpcRequest("DrainSite", message), answer.task, repeatable=False)

    def cancel_drain(self, site: str) -> Call[None]:
        message = admin_pb2.CancelDrainRequest(site=_text(site, "site"))
        return Call(RpcRequest("CancelDrain", message), answer.nothing, repeatable=True)

    def fail_over(self, site: str) -> Call[Task]:
        message = admin_pb2.FailOverRequest(site=_text(site, "site"))
        return Call(RpcRequest("FailOver", message), answer.task, repeatable=False)

    def rebalance(self) -> Call[Task]:
        return Call(RpcRequest("Rebalance", admin_pb2.RebalanceRequest()), answer.task, repeatable=False)

    def tasks(self) -> Call[list[Task]]:
        return Call(RpcRequest("ListTasks", admin_pb2.ListTasksRequest()), answer.tasks, repeatable=True)

    def accept_loss(self, collection: str) -> Call[list[Loss]]:
        # Only the first answer says what was lost.
        message = admin_pb2.AcceptLossRequest(collection=_of(collection))
        return Call(RpcRequest("AcceptLoss", message), answer.losses, repeatable=False, timeout=FLUSH_TIMEOUT_S)

    def plugins(self) -> Call[list[Plugin]]:
        return Call(RpcRequest("ListPlugins", admin_pb2.ListPluginsRequest()), answer.plugins, repeatable=True)

    def health(self) -> Call[Health]:
        return Call(RpcRequest("GetServerStatus", admin_pb2.GetServerStatusRequest()), answer.health, repeatable=True)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"must be text, got {type(value).__name__}", field=field)
    return text(value, field)


def _of(collection: str) -> str:
    return _text(collection, "collection")


def _encoded(message: Any) -> Encoded:
    data = message.SerializeToString()
    # Tag and length of the record in its list take at most ten bytes more.
    return Encoded(data, len(data) + 10)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _settings(index: IndexSettings | None) -> collection_pb2.IndexSettings | None:
    if index is None:
        return None

    def number(name: str) -> int | None:
        value = getattr(index, name)
        return None if value is None else whole(value, 32, f"index.{name}")

    return collection_pb2.IndexSettings(
        kind=None if index.kind is None else _text(index.kind, "index.kind"),
        m=number("m"),
        ef_construction=number("ef_construction"),
        ef_search=number("ef_search"),
    )


def _get(collection: str, ids: Sequence[str], with_vector: bool, with_metadata: bool) -> record_pb2.GetRecordsRequest:
    return record_pb2.GetRecordsRequest(
        collection=_of(collection),
        ids=[text(id, f"ids[{i}]") for i, id in enumerate(ids)],
        with_vector=with_vector,
        with_metadata=with_metadata,
    )


def _query(query: Query) -> search_pb2.SearchQuery:
    for name, number in (("score_threshold", query.score_threshold), ("recall_target", query.recall_target)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, (int, float))):
            raise InvalidArgumentError(f"must be a number, got {type(number).__name__}", field=name)
    message = search_pb2.SearchQuery(
        k=whole(query.k, 64, "k"),
        offset=whole(query.offset, 64, "offset"),
        filter=None if query.filter is None else to_message(query.filter),
        ef=None if query.ef is None else whole(query.ef, 64, "ef"),
        recall_target=query.recall_target,
        exact=query.exact,
        score_threshold=query.score_threshold,
        with_vector=query.with_vector,
        with_metadata=query.with_metadata,
        explain=query.explain,
        timeout_ms=None if query.timeout_ms is None else whole(query.timeout_ms, 64, "timeout_ms"),
    )
    if query.vector is not None:
        message.vector.packed = query.vector.tobytes()
    if query.id is not None:
        # A oneof keeps what was set last, which would hide that both were given.
        if query.vector is not None:
            raise InvalidArgumentError("give a vector or an id, not both", field="id")
        message.id = text(query.id, "id")
    return message
