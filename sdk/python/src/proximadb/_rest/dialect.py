"""The operations as HTTP requests. Does no IO."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from .._call import Call
from .._dialect import FLUSH_TIMEOUT_S, Dialect, Encoded, NewRecord, Query, Write
from .._vectors import FloatArray, to_base64
from ..collection import Collection, IndexSettings
from ..errors import InvalidArgumentError
from ..record import Record, ScanPage, WriteResult
from ..search import SearchResult
from ..status import Assignment, Health, IndexStatus, Loss, Plugin, Site, Task
from . import answer

# Text leaves as ASCII with escapes, so that even half a surrogate pair reaches the server, which then names its place.
_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request below the base URL. `accept` has the statuses other than 2xx that carry an answer."""

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: tuple[int, ...] = ()


class RestDialect(Dialect):
    """REST, version 1."""

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
        spec = {"name": name, "dimension": dimension, "metric": metric, "schema": schema, "shards": shards}
        spec |= {"index": _settings(index), "description": description}
        # The same specification again answers what is there, so sending it twice does no harm.
        return Call(_post("/v1/collections", _set(spec)), answer.body(answer.collection), repeatable=True)

    def get_collection(self, collection: str) -> Call[Collection]:
        return Call(HttpRequest("GET", _of(collection)), answer.body(answer.collection), repeatable=True)

    def list_collections(self) -> Call[list[Collection]]:
        return Call(HttpRequest("GET", "/v1/collections"), answer.body(answer.collections), repeatable=True)

    def update_collection(
        self, collection: str, description: str | None, index: IndexSettings | None
    ) -> Call[Collection]:
        patch = _set({"description": description, "index": _settings(index)})
        return Call(_post(_of(collection), patch, "PATCH"), answer.body(answer.collection), repeatable=False)

    def delete_collection(self, collection: str) -> Call[None]:
        return Call(HttpRequest("DELETE", _of(collection)), answer.nothing, repeatable=False)

    def encode(self, records: Iterable[NewRecord]) -> Iterator[Encoded]:
        for record in records:
            # Base64 needs no escapes, so the largest part of a record does not pass through the JSON encoder.
            parts = [f'{{"id":{_encoder.encode(record.id)},"vector":"{to_base64(record.vector)}"']
            if record.metadata is not None:
                parts.append(f',"metadata":{_encoder.encode(record.metadata)}')
            if record.expires is not None:
                parts.append(f',"expires":{_encoder.encode(record.expires)}')
            data = "".join([*parts, "}"]).encode("ascii")
            yield Encoded(data, len(data) + 1)

    def encode_patch(self, id: str, vector: FloatArray | None, metadata: dict[str, Any] | None) -> Encoded:
        patch = {"id": id, "metadata": metadata, "vector": None if vector is None else to_base64(vector)}
        data = _encoder.encode(_set(patch)).encode("ascii")
        return Encoded(data, len(data))

    def write(self, collection: str, write: Write) -> Call[WriteResult]:
        parts = [
            b'"%s":[%s]' % (key, b",".join(record.data for record in records))
            for key, records in ((b"insert", write.insert), (b"upsert", write.upsert), (b"patch", write.patch))
            if records
        ]
        rest = {
            "delete": list(write.delete) or None,
            "delete_where": write.delete_where,
            "durability": write.durability,
        }
        parts += [_encoder.encode({key: value}).encode("ascii")[1:-1] for key, value in _set(rest).items()]
        headers = {"content-type": "application/json"}
        if write.idempotency_key is not None:
            if not (write.idempotency_key.isascii() and write.idempotency_key.isprintable()):
                raise InvalidArgumentError("must be visible ASCII characters", field="idempotency_key")
            headers["idempotency-key"] = write.idempotency_key
        request = HttpRequest("POST", _of(collection, "/records"), b"{%s}" % b",".join(parts), headers)
        return Call(request, answer.body(answer.write_result), repeatable=write.idempotency_key is not None)

    def get_record(self, collection: str, id: str, with_vector: bool, with_metadata: bool) -> Call[Record]:
        flags = f"with_vector={str(with_vector).lower()}&with_metadata={str(with_metadata).lower()}"
        path = f"{_of(collection, '/records')}/{_segment(id, 'id')}?{flags}&vector_format=base64"
        return Call(HttpRequest("GET", path), answer.body(answer.record), repeatable=True)

    def get_records(
        self, collection: str, ids: Sequence[str], with_vector: bool, with_metadata: bool
    ) -> Call[list[Record | None]]:
        ask = {"ids": list(ids), **_returned(with_vector, with_metadata)}
        return Call(_post(_of(collection, "/records/get"), ask), answer.body(answer.records), repeatable=True)

    def search(self, collection: str, query: Query) -> Call[SearchResult]:
        return Call(
            _post(_of(collection, "/search"), _query(query)),
            answer.body(answer.search_result),
            repeatable=True,
            timeout=query.timeout,
            deadline_is_callers=query.timeout_ms is not None,
        )

    def search_batch(self, collection: str, queries: Sequence[Query]) -> Call[list[SearchResult]]:
        timeouts = [query.timeout for query in queries if query.timeout is not None]
        return Call(
            _post(_of(collection, "/search/batch"), {"queries": [_query(query) for query in queries]}),
            answer.body(answer.search_results),
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
        ask = {"filter": filter, "cursor": cursor, "limit": limit}
        ask |= _returned(with_vector, with_metadata)
        return Call(_post(_of(collection, "/scan"), _set(ask)), answer.body(answer.scan_page), repeatable=True)

    def count(self, collection: str, filter: dict[str, Any] | None) -> Call[int]:
        return Call(
            _post(_of(collection, "/count"), _set({"filter": filter})), answer.body(answer.count), repeatable=True
        )

    def flush(self, collection: str) -> Call[None]:
        return Call(_post(_of(collection, "/flush"), None), answer.nothing, repeatable=True, timeout=FLUSH_TIMEOUT_S)

    def index_status(self, collection: str) -> Call[IndexStatus]:
        return Call(HttpRequest("GET", _of(collection, "/index")), answer.body(answer.index_status), repeatable=True)

    def sites(self) -> Call[list[Site]]:
        return Call(HttpRequest("GET", "/v1/sites"), answer.body(answer.sites), repeatable=True)

    def assignments(self) -> Call[list[Assignment]]:
        return Call(HttpRequest("GET", "/v1/assignments"), answer.body(answer.assignments), repeatable=True)

    def drain_site(self, site: str) -> Call[Task]:
        # A second task of any kind is refused while the first runs, so none that begins one is sent twice.
        return Call(_post(_at(site, "/drain"), None), answer.body(answer.task), repeatable=False)

    def cancel_drain(self, site: str) -> Call[None]:
        return Call(HttpRequest("DELETE", _at(site, "/drain")), answer.nothing, repeatable=True)

    def fail_over(self, site: str) -> Call[Task]:
        return Call(_post(_at(site, "/fail_over"), None), answer.body(answer.task), repeatable=False)

    def rebalance(self) -> Call[Task]:
        return Call(_post("/v1/rebalance", None), answer.body(answer.task), repeatable=False)

    def tasks(self) -> Call[list[Task]]:
        return Call(HttpRequest("GET", "/v1/tasks"), answer.body(answer.tasks), repeatable=True)

    def accept_loss(self, collection: str) -> Call[list[Loss]]:
        # Only the first answer says what was lost.
        request = _post(_of(collection, "/accept_loss"), None)
        return Call(request, answer.body(answer.losses), repeatable=False, timeout=FLUSH_TIMEOUT_S)

    def plugins(self) -> Call[list[Plugin]]:
        return Call(HttpRequest("GET", "/v1/plugins"), answer.body(answer.plugins), repeatable=True)

    def health(self) -> Call[Health]:
        # A server that is not ready says so with 503, and its report is what was asked for.
        request = HttpRequest("GET", "/health", accept=(503,))
        return Call(request, answer.body(answer.health), repeatable=True)


def _post(path: str, body: Any, method: str = "POST") -> HttpRequest:
    if body is None:
        return HttpRequest(method, path)
    try:
        content = _encoder.encode(body).encode("ascii")
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"the request cannot be written as JSON: {error}") from error
    return HttpRequest(method, path, content, {"content-type": "application/json"})


def _of(collection: str, rest: str = "") -> str:
    return f"/v1/collections/{_segment(collection, 'collection')}{rest}"


def _at(site: str, rest: str) -> str:
    return f"/v1/sites/{_segment(site, 'site')}{rest}"


def _segment(text: str, field: str) -> str:
    """Text as one segment of a path, whatever is in it."""
    if not text:
        raise InvalidArgumentError("must not be empty", field=field)
    if text in (".", ".."):
        # A path's dots mean "here" and "above" to everything on the way; their escapes do not.
        return text.replace(".", "%2E")
    return quote(text, safe="", errors="surrogatepass")


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _settings(index: IndexSettings | None) -> dict[str, Any] | None:
    return None if index is None else _set(asdict(index))


def _returned(with_vector: bool, with_metadata: bool) -> dict[str, Any]:
    """What records and hits bring along; their vectors as base64, which is the shorter and the faster to read."""
    return {"with_vector": with_vector, "with_metadata": with_metadata, "vector_format": "base64"}


def _query(query: Query) -> dict[str, Any]:
    ask = {"k": query.k, **_returned(query.with_vector, query.with_metadata)}
    ask["vector"] = None if query.vector is None else to_base64(query.vector)
    ask |= {"id": query.id, "filter": query.filter, "ef": query.ef, "score_threshold": query.score_threshold}
    ask |= {"recall_target": query.recall_target}
    ask |= {"offset": query.offset or None, "timeout_ms": query.timeout_ms}
    ask |= {"exact": query.exact or None, "explain": query.explain or None}
    return _set(ask)
