# Generated from ../_async/client.py by scripts/generate.py; edit that file.
"""The client: every operation of the database as a method, over REST or gRPC, with retries where they are safe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from uuid import UUID, uuid4

import httpx

from .._address import Address
from .._batches import DELETES_MAX, batches, new_records
from .._call import Call
from .._dialect import Dialect, Durability, Encoded, NewRecord, Query, Write
from .._progress import Progress
from .._rest.dialect import RestDialect
from .._retry import RetryPolicy
from .._values import Filter, Metadata, RecordId, plain, plain_object, record_id, record_ids, timestamp
from .._vectors import Vector, Vectors, row, rows
from ..collection import Collection, IndexSettings
from ..errors import DeadlineExceededError, InvalidArgumentError, ProximaDBError
from ..record import Record, ScanPage, WriteResult
from ..search import SearchResult
from ..status import Assignment, Health, IndexStatus, Loss, Plugin, Site, Task
from .http import HttpLink

if TYPE_CHECKING:
    from .rpc import RpcLink

T = TypeVar("T")


class ProximaDBClient:
    """A client of one server.

    `address` is `host:port`, where port 5679 means gRPC and every other REST, or a URL with the scheme http, https, grpc
    or grpcs; `protocol` ("rest" or "grpc") overrules both. `timeout` bounds a call in seconds, its retries included; None
    means no bound. `ca_certificate` is the path of a PEM file to trust instead of the system's. `transport` takes the
    place of httpx's own, for tests and unusual networks.

    Wherever a method takes `collection_id`, the collection's name or its uuid may stand. Record ids are text; an integer
    means its decimal text. Vectors are numpy arrays or lists; they come back as float32 arrays. Every method raises a
    subclass of `ProximaDBError`, nothing else, for what the server or the network does.
    """

    def __init__(
        self,
        address: str = "localhost:5678",
        *,
        protocol: str | None = None,
        timeout: float | None = 30.0,
        retry: RetryPolicy | None = None,
        api_key: str | None = None,
        ca_certificate: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        where = Address.parse(address, protocol)
        self._protocol = where.wire
        self._timeout = timeout
        self._retry = retry if retry is not None else RetryPolicy()
        self._dialect: Dialect
        self._link: HttpLink | RpcLink
        if where.wire == "rest":
            self._dialect = RestDialect()
            self._link = HttpLink(where, api_key, ca_certificate, transport)
        else:
            # Loading gRPC takes longer than a request; who speaks REST shall not wait for it.
            from .._grpc.dialect import GrpcDialect
            from .rpc import RpcLink

            self._dialect = GrpcDialect()
            self._link = RpcLink(where, api_key, ca_certificate)

    @property
    def protocol(self) -> str:
        """What is spoken with the server: "rest" or "grpc"."""
        return self._protocol

    def close(self) -> None:
        """Closes the connections. No call may follow."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Collections

    def create_collection(
        self,
        name: str,
        dimension: int,
        distance_metric: str = "cosine",
        *,
        schema: Mapping[str, str] | None = None,
        shards: int | None = None,
        index: IndexSettings | None = None,
        description: str | None = None,
    ) -> Collection:
        """Creates a collection, or finds the one that is there with the same specification.

        `distance_metric` is cosine, euclidean, dot_product, manhattan, hamming or wasm:<plugin>. `schema` declares metadata
        fields: string, integer, float, bool, datetime or string_list by name; others take any value.

        Raises ConflictError when the name is taken by another specification.
        """
        return self._run(
            self._dialect.create_collection(
                name,
                plain(dimension, "dimension"),
                distance_metric,
                schema,
                plain(shards, "shards"),
                index,
                description,
            )
        )

    def get_collection(self, collection_id: str | UUID) -> Collection:
        """A collection as it is now. Raises NotFoundError."""
        return self._run(self._dialect.get_collection(_named(collection_id)))

    def get_collection_id_by_name(self, name: str) -> str:
        """The uuid of a collection. Raises NotFoundError."""
        return (self.get_collection(name)).id

    def list_collections(self) -> list[Collection]:
        """All collections, by name."""
        return self._run(self._dialect.list_collections())

    def update_collection(
        self, collection_id: str | UUID, *, description: str | None = None, index: IndexSettings | None = None
    ) -> Collection:
        """Changes settings of a collection; what is None stays. Index changes are carried out in the background."""
        return self._run(self._dialect.update_collection(_named(collection_id), description, index))

    def delete_collection(self, collection_id: str | UUID) -> None:
        """Removes a collection with all its records. Raises NotFoundError."""
        self._run(self._dialect.delete_collection(_named(collection_id)))

    # Writing

    def insert_vector(
        self,
        collection_id: str | UUID,
        vector_id: RecordId,
        vector: Vector,
        metadata: Metadata | None = None,
        *,
        expires: datetime | str | None = None,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Stores a record that must not be there yet. Raises ConflictError when it is.

        From `expires` on the record is gone. With `durability="async"` the answer comes before the disk has it.
        """
        write = Write(insert=self._one(vector_id, vector, metadata, expires))
        return self._write(collection_id, write, durability, idempotency_key)

    def upsert_vector(
        self,
        collection_id: str | UUID,
        vector_id: RecordId,
        vector: Vector,
        metadata: Metadata | None = None,
        *,
        expires: datetime | str | None = None,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Stores a record, in the place of the one with its id where there is one."""
        write = Write(upsert=self._one(vector_id, vector, metadata, expires))
        return self._write(collection_id, write, durability, idempotency_key)

    def insert_vectors(
        self,
        collection_id: str | UUID,
        ids: Sequence[RecordId],
        vectors: Vectors,
        metadata: Sequence[Metadata | None] | None = None,
        *,
        batch_size: int = 1000,
        show_progress: bool = False,
        expires: datetime | str | None = None,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Stores records that must not be there yet, as `upsert_vectors` does. Raises ConflictError when one is.

        The batch with the conflict stores nothing; the batches before it stand, and the error's `written` counts them.
        """
        total, records = new_records(ids, vectors, metadata, expires)
        writes = (Write(insert=batch) for batch in self._batches(records, batch_size))
        return self._bulk(collection_id, writes, total, show_progress, durability, idempotency_key)

    def upsert_vectors(
        self,
        collection_id: str | UUID,
        ids: Sequence[RecordId],
        vectors: Vectors,
        metadata: Sequence[Metadata | None] | None = None,
        batch_size: int = 1000,
        show_progress: bool = False,
        *,
        expires: datetime | str | None = None,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Stores records, in the place of those with their ids.

        They are sent in requests of at most `batch_size` records, fewer where the bytes would be too many for one. Each
        request is atomic within a shard and is applied once however often it is repeated. When one fails, those before it
        stand, and the error's `written` counts their records; places in the error's `field` count from there. With your
        own `idempotency_key` the same call can be made again, even by another process, without writing twice.
        """
        total, records = new_records(ids, vectors, metadata, expires)
        writes = (Write(upsert=batch) for batch in self._batches(records, batch_size))
        return self._bulk(collection_id, writes, total, show_progress, durability, idempotency_key)

    def update_vector(
        self,
        collection_id: str | UUID,
        vector_id: RecordId,
        vector: Vector | None = None,
        metadata: Metadata | None = None,
        *,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Patches a record that must be there: sets its vector, merges `metadata` into its own; None removes a key.

        Raises NotFoundError.
        """
        patch = self._dialect.encode_patch(
            record_id(vector_id),
            None if vector is None else row(vector),
            None if metadata is None else plain_object(metadata, "metadata"),
        )
        return self._write(collection_id, Write(patch=[patch]), durability, idempotency_key)

    def delete_vector(
        self,
        collection_id: str | UUID,
        vector_id: RecordId,
        *,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Deletes a record; the result's `deleted` is 0 where there was none."""
        return self._write(collection_id, Write(delete=[record_id(vector_id)]), durability, idempotency_key)

    def delete_vectors(
        self,
        collection_id: str | UUID,
        ids: Sequence[RecordId],
        *,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Deletes records; the result's `deleted` counts those that were there."""
        texts = record_ids(ids)
        writes = (Write(delete=texts[at : at + DELETES_MAX]) for at in range(0, len(texts), DELETES_MAX))
        return self._bulk(collection_id, writes, len(texts), False, durability, idempotency_key)

    def delete_vectors_by_filter(
        self,
        collection_id: str | UUID,
        filter: Filter,
        *,
        durability: Durability | None = None,
        idempotency_key: str | None = None,
    ) -> WriteResult:
        """Deletes every record for which the filter holds; the empty filter holds for all of them."""
        write = Write(delete_where=plain_object(filter, "delete_where"))
        return self._write(collection_id, write, durability, idempotency_key)

    # Reading

    def get_vector(
        self,
        collection_id: str | UUID,
        vector_id: RecordId,
        *,
        include_vector: bool = True,
        include_metadata: bool = True,
    ) -> Record:
        """A record. Raises NotFoundError where there is none."""
        return self._run(
            self._dialect.get_record(_named(collection_id), record_id(vector_id), include_vector, include_metadata)
        )

    def get_vectors(
        self,
        collection_id: str | UUID,
        ids: Sequence[RecordId],
        *,
        include_vector: bool = True,
        include_metadata: bool = True,
    ) -> list[Record | None]:
        """Records in the order asked; None where there is none."""
        return self._run(
            self._dialect.get_records(_named(collection_id), record_ids(ids), include_vector, include_metadata)
        )

    def search(
        self,
        collection_id: str | UUID,
        query_vector: Vector | None = None,
        k: int = 10,
        *,
        vector_id: RecordId | None = None,
        filter: Filter | None = None,
        ef: int | None = None,
        recall_target: float | None = None,
        exact: bool = False,
        score_threshold: float | None = None,
        offset: int = 0,
        include_metadata: bool = True,
        include_vector: bool = False,
        timeout_ms: int | None = None,
        explain: bool = False,
    ) -> SearchResult:
        """The `k` records nearest to `query_vector`, or to the vector of the record `vector_id`, which is no hit itself.

        Only records for which `filter` holds count. `ef` widens the search of a graph; `recall_target`, such as
        0.95, asks for the recall instead, and the server chooses the breadth. `exact` compares with every record.
        Hits farther than `score_threshold` are left out; `offset` skips the nearest. `explain` asks what ran where.
        """
        query = _query(
            filter,
            k,
            ef,
            recall_target,
            exact,
            score_threshold,
            offset,
            include_metadata,
            include_vector,
            timeout_ms,
            explain,
        )
        query = query.near(
            None if query_vector is None else row(query_vector), None if vector_id is None else record_id(vector_id)
        )
        return self._run(self._dialect.search(_named(collection_id), query))

    def multi_search(
        self,
        collection_id: str | UUID,
        query_vectors: Vectors | None = None,
        k: int = 10,
        *,
        vector_ids: Sequence[RecordId] | None = None,
        filter: Filter | None = None,
        ef: int | None = None,
        recall_target: float | None = None,
        exact: bool = False,
        score_threshold: float | None = None,
        offset: int = 0,
        include_metadata: bool = True,
        include_vector: bool = False,
        timeout_ms: int | None = None,
        explain: bool = False,
    ) -> list[SearchResult]:
        """Many searches in one request, answered in order: for each of `query_vectors`, then for each of `vector_ids`."""
        query = _query(
            filter,
            k,
            ef,
            recall_target,
            exact,
            score_threshold,
            offset,
            include_metadata,
            include_vector,
            timeout_ms,
            explain,
        )
        queries: list[Query] = []
        if query_vectors is not None:
            queries += [query.near(vector, None) for vector in rows(query_vectors, "query_vectors")]
        if vector_ids is not None:
            queries += [query.near(None, id) for id in record_ids(vector_ids, "vector_ids")]
        return self._run(self._dialect.search_batch(_named(collection_id), queries))

    def scan(
        self,
        collection_id: str | UUID,
        *,
        filter: Filter | None = None,
        page_size: int = 1000,
        cursor: str | None = None,
        include_vector: bool = False,
        include_metadata: bool = True,
    ) -> Iterator[ScanPage]:
        """Pages of all records, or of those for which `filter` holds, in the order of their ids; each is asked for in its turn.

        A page's `cursor` continues after it, in another scan and another process if need be.
        """
        where = None if filter is None else plain_object(filter, "filter")
        while True:
            page = self._run(
                self._dialect.scan(
                    _named(collection_id), where, cursor, plain(page_size, "limit"), include_vector, include_metadata
                )
            )
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    def count(self, collection_id: str | UUID, filter: Filter | None = None) -> int:
        """The number of records, or of those for which `filter` holds."""
        where = None if filter is None else plain_object(filter, "filter")
        return self._run(self._dialect.count(_named(collection_id), where))

    # Operating

    def flush(self, collection_id: str | UUID) -> None:
        """Moves everything acknowledged so far from the log into segments. May take minutes, whatever the client's timeout."""
        self._run(self._dialect.flush(_named(collection_id)))

    def index_status(self, collection_id: str | UUID) -> IndexStatus:
        """How a collection is indexed at this moment, and why."""
        return self._run(self._dialect.index_status(_named(collection_id)))

    def sites(self) -> list[Site]:
        """Where things live: disks and buckets, how full, how well."""
        return self._run(self._dialect.sites())

    def assignments(self) -> list[Assignment]:
        """Which shard lies on which site."""
        return self._run(self._dialect.assignments())

    def drain_site(self, site: str | int | UUID) -> Task:
        """Moves every shard of a site to other sites, while they serve, and gives the site no new ones until `cancel_drain`.

        A site is named by its uuid or its number in the configuration. The answer is the task as it begins; `tasks` tells how
        far it is. Raises NotFoundError, and ConflictError while another move is on its way.
        """
        return self._run(self._dialect.drain_site(record_id(site, "site")))

    def cancel_drain(self, site: str | int | UUID) -> None:
        """Ends a drain: the site keeps what it still has and takes new shards again."""
        self._run(self._dialect.cancel_drain(record_id(site, "site")))

    def fail_over(self, site: str | int | UUID) -> Task:
        """Brings the shards of a site that is lost back from their second copies, on other sites.

        Should the site come back, its older copies are left aside. Raises ConflictError while the site is there or another
        move is on its way, and UnavailableError when there are no second copies.
        """
        return self._run(self._dialect.fail_over(record_id(site, "site")))

    def rebalance(self) -> Task:
        """Moves shards to where the strategy would have them now, as far as that is worth it.

        Raises ConflictError while another move is on its way.
        """
        return self._run(self._dialect.rebalance())

    def tasks(self) -> list[Task]:
        """What is moved, or was since the start of the server; the newest last."""
        return self._run(self._dialect.tasks())

    def accept_loss(self, collection_id: str | UUID) -> list[Loss]:
        """Serves a collection again of which something is damaged for good, without what was lost, and says what that is.

        Where nothing is damaged it changes nothing. Raises UnavailableError for shards whose site is away, which is no loss, and
        CorruptError for a shard of which nothing is left. May take minutes, whatever the client's timeout.
        """
        return self._run(self._dialect.accept_loss(_named(collection_id)))

    def plugins(self) -> list[Plugin]:
        """The plugins of the server's configuration, by name: those that were refused too."""
        return self._run(self._dialect.plugins())

    def health(self) -> Health:
        """Whether all is well, and what is not."""
        return self._run(self._dialect.health())

    # Inside

    def _run(self, call: Call[T]) -> T:
        limit = call.timeout if call.timeout is not None else self._timeout
        deadline = None if limit is None else time.monotonic() + limit
        attempt = 1
        while True:
            # A timeout of 0 would mean none to one of the protocols.
            left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
            try:
                return self._link.send(call, left)
            except ProximaDBError as error:
                over = call.deadline_is_callers and isinstance(error, DeadlineExceededError)
                pause = self._retry.pause(attempt, error, call.repeatable and not over)
                if pause is None or (deadline is not None and time.monotonic() + pause >= deadline):
                    raise
            time.sleep(pause)
            attempt += 1

    def _write(
        self, collection_id: str | UUID, write: Write, durability: Durability | None, idempotency_key: str | None
    ) -> WriteResult:
        # Made once for all attempts: the key is what makes the second of them harmless.
        key = idempotency_key if idempotency_key is not None else uuid4().hex
        return self._run(self._dialect.write(_named(collection_id), write.under(key, durability)))

    def _bulk(
        self,
        collection_id: str | UUID,
        writes: Iterable[Write],
        total: int,
        show_progress: bool,
        durability: Durability | None,
        idempotency_key: str | None,
    ) -> WriteResult:
        key = idempotency_key if idempotency_key is not None else uuid4().hex
        result = WriteResult()
        written = 0
        with Progress(total, show_progress) as progress:
            try:
                for number, write in enumerate(writes):
                    done = self._write(collection_id, write, durability, f"{key}-{number}")
                    result = result.plus(done)
                    written += write.operations
                    progress.advance(write.operations)
            except ProximaDBError as error:
                error.written = written
                raise
        return result

    def _one(
        self, id: RecordId, vector: Vector, metadata: Metadata | None, expires: datetime | str | None
    ) -> list[Encoded]:
        meta = None if metadata is None else plain_object(metadata, "metadata")
        until = None if expires is None else timestamp(expires)
        return list(self._dialect.encode([NewRecord(record_id(id), row(vector), meta, until)]))

    def _batches(self, records: Iterable[NewRecord], batch_size: int) -> Iterable[list[Encoded]]:
        if batch_size < 1:
            raise InvalidArgumentError("must be at least 1", field="batch_size")
        return batches(self._dialect.encode(records), batch_size)


def _named(collection: str | UUID) -> str:
    if isinstance(collection, UUID):
        return str(collection)
    if not isinstance(collection, str):
        raise InvalidArgumentError(f"must be a name or a uuid, got {type(collection).__name__}", field="collection")
    return collection


def _query(
    filter: Filter | None,
    k: int,
    ef: int | None,
    recall_target: float | None,
    exact: bool,
    score_threshold: float | None,
    offset: int,
    include_metadata: bool,
    include_vector: bool,
    timeout_ms: int | None,
    explain: bool,
) -> Query:
    return Query(
        vector=None,
        id=None,
        k=plain(k, "k"),
        offset=plain(offset, "offset"),
        filter=None if filter is None else plain_object(filter, "filter"),
        ef=plain(ef, "ef"),
        recall_target=plain(recall_target, "recall_target"),
        exact=bool(exact),
        score_threshold=plain(score_threshold, "score_threshold"),
        with_metadata=bool(include_metadata),
        with_vector=bool(include_vector),
        timeout_ms=plain(timeout_ms, "timeout_ms"),
        explain=bool(explain),
    )
