"""REST without a server: what is sent, how answers and problems are read, what is tried again."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from conftest import KINDS

import proximadb
from proximadb import IndexSettings, Plugin, ProximaDBError, RetryPolicy
from proximadb._rest.problem import problem

FAST = RetryPolicy(attempts=3, delay_first=0.0)
COLLECTION = {
    "id": "0190f3a2-7c4e-7d11-8a5b-0123456789ab",
    "name": "documents",
    "dimension": 3,
    "metric": "cosine",
    "score_kind": "similarity",
    "schema": {"year": "integer"},
    "shards": 2,
    "index": {"kind": "auto", "m": 16, "ef_construction": 128, "ef_search": 96},
    "description": "",
    "created": "2026-11-22T10:00:00.25Z",
    "records": 7,
    "stored_bytes": 99,
    "shards_unavailable": 0,
    "of_a_later_release": True,
}
WRITTEN = {"upserted": 1, "inserted": 0, "patched": 0, "deleted": 0, "durable": True, "sequence": 5, "replayed": False}


def b64(vector: Any) -> str:
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode()


class Fake:
    """A server that answers what it is told to, in order, the last for ever, and remembers what it was asked."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.asked: list[httpx.Request] = []
        self.answers: list[Any] = [(200, {})]
        self.client = make("http://db:5678", transport=httpx.MockTransport(self._answer), retry=FAST)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return httpx.Response(status, content=body) if isinstance(body, bytes) else httpx.Response(status, json=body)

    def body(self, at: int = -1) -> Any:
        return json.loads(self.asked[at].content)

    def line(self, at: int = -1) -> str:
        return f"{self.asked[at].method} {self.asked[at].url.raw_path.decode()}"


@pytest.fixture
def fake(kind: str) -> Iterator[Fake]:
    made = Fake(KINDS[kind])
    yield made
    made.client.close()


def refusal(code: str, retryable: bool = False, **more: Any) -> dict[str, Any]:
    return {"type": "t", "title": "T", "status": 0, "detail": "why", "code": code, "retryable": retryable, **more}


def test_collections(fake: Fake) -> None:
    fake.answers = [(201, COLLECTION)]
    made = fake.client.create_collection(
        name="documents",
        dimension=3,
        distance_metric="cosine",
        schema={"year": "integer"},
        shards=2,
        index=IndexSettings(m=16),
    )
    assert fake.line() == "POST /v1/collections"
    assert fake.body() == {
        "name": "documents",
        "dimension": 3,
        "metric": "cosine",
        "schema": {"year": "integer"},
        "shards": 2,
        "index": {"m": 16},
    }
    assert (made.id, made.dimension, made.metric, made.score_kind) == (COLLECTION["id"], 3, "cosine", "similarity")
    assert (made.index, made.records, made.created.year) == (IndexSettings("auto", 16, 128, 96), 7, 2026)

    assert fake.client.get_collection("documents") == made
    assert fake.line() == "GET /v1/collections/documents"
    assert fake.client.get_collection_id_by_name("documents") == made.id
    assert fake.client.update_collection("documents", description="d", index=IndexSettings(kind="flat")) == made
    assert fake.line() == "PATCH /v1/collections/documents"
    assert fake.body() == {"description": "d", "index": {"kind": "flat"}}

    fake.answers = [(200, {"collections": [COLLECTION]})]
    assert fake.client.list_collections() == [made]
    assert fake.line() == "GET /v1/collections"
    fake.answers = [(204, b"")]
    assert fake.client.delete_collection("documents") is None
    assert fake.line() == "DELETE /v1/collections/documents"


def test_writes(fake: Fake) -> None:
    fake.answers = [(200, WRITTEN)]
    done = fake.client.insert_vector("c", 'é\ud800"', [1, 2, 3], {"a": 1}, expires="2030-01-01T00:00:00Z")
    assert (done.upserted, done.durable, done.sequence) == (1, True, 5)
    assert fake.line() == "POST /v1/collections/c/records"
    record = {"id": 'é\ud800"', "vector": b64([1, 2, 3]), "metadata": {"a": 1}, "expires": "2030-01-01T00:00:00Z"}
    assert fake.body() == {"insert": [record]}
    fake.client.upsert_vector("c", 7, [1, 2, 3])
    assert fake.body() == {"upsert": [{"id": "7", "vector": b64([1, 2, 3])}]}
    fake.client.update_vector("c", "a", metadata={"gone": None}, durability="async")
    assert fake.body() == {"patch": [{"id": "a", "metadata": {"gone": None}}], "durability": "async"}
    fake.client.update_vector("c", "a", vector=[1, 2, 3])
    assert fake.body() == {"patch": [{"id": "a", "vector": b64([1, 2, 3])}]}
    fake.client.delete_vector("c", 1)
    assert fake.body() == {"delete": ["1"]}
    fake.client.delete_vectors("c", ["1", 2], idempotency_key="mine")
    assert fake.body() == {"delete": ["1", "2"]}
    assert fake.asked[-1].headers["idempotency-key"] == "mine-0"
    fake.client.delete_vectors_by_filter("c", {"a": {"$gt": 1}}, idempotency_key="mine")
    assert fake.body() == {"delete_where": {"a": {"$gt": 1}}}
    assert fake.asked[-1].headers["idempotency-key"] == "mine"


def test_bulk_writes_are_cut_into_requests_with_a_key_each(fake: Fake) -> None:
    fake.answers = [
        (200, {**WRITTEN, "upserted": 2, "sequence": 2}),
        (200, {**WRITTEN, "upserted": 2, "sequence": 4}),
        (200, WRITTEN),
    ]
    vectors = np.arange(15, dtype=np.float64).reshape(5, 3)
    shown = io.StringIO()
    with redirect_stderr(shown):
        done = fake.client.upsert_vectors(
            "c", range(5), vectors, [{"i": i} for i in range(5)], batch_size=2, show_progress=True
        )
    assert (done.upserted, done.sequence) == (5, 5)
    sent = [record for i in range(3) for record in fake.body(i)["upsert"]]
    assert sent == [{"id": str(i), "vector": b64(vectors[i]), "metadata": {"i": i}} for i in range(5)]
    keys = [request.headers["idempotency-key"] for request in fake.asked]
    assert len(set(keys)) == 3 and len({key.rpartition("-")[0] for key in keys}) == 1
    assert "5/5 records" in shown.getvalue()


def test_a_failed_bulk_write_tells_how_far_it_came(fake: Fake) -> None:
    fake.answers = [(200, WRITTEN), (409, refusal("conflict", field="insert[0].id"))]
    with pytest.raises(proximadb.ConflictError) as caught:
        fake.client.insert_vectors("c", ["a", "b", "c"], np.zeros((3, 2)), batch_size=2)
    assert caught.value.written == 2
    with pytest.raises(proximadb.InvalidArgumentError):
        fake.client.insert_vectors("c", ["a"], np.zeros((1, 2)), batch_size=0)


def test_nothing_to_write_is_no_request(fake: Fake) -> None:
    assert fake.client.upsert_vectors("c", [], []).upserted == 0
    assert fake.client.delete_vectors("c", []).deleted == 0
    assert fake.asked == []


def test_reads(fake: Fake) -> None:
    stored = {"id": "a", "vector": b64([1, 2, 3]), "metadata": {"a": 1}, "version": 9}
    fake.answers = [(200, stored)]
    record = fake.client.get_vector("c", "a/b?%é")
    assert fake.line().startswith("GET /v1/collections/c/records/a%2Fb%3F%25%C3%A9?with_vector=true&with_metadata=true")
    assert record.vector.dtype == np.float32 and record.vector.tolist() == [1, 2, 3]
    assert (record.id, record.metadata, record.version, record.expires) == ("a", {"a": 1}, 9, None)

    fake.answers = [(200, {"records": [stored, None]})]
    first, second = fake.client.get_vectors("c", ["a", 5], include_vector=False)
    assert fake.line() == "POST /v1/collections/c/records/get"
    assert fake.body()["ids"] == ["a", "5"] and fake.body()["with_vector"] is False
    assert first.id == "a" and second is None

    fake.answers = [(200, {"count": 3})]
    assert fake.client.count("c") == 3 and fake.body() == {}
    assert fake.client.count("c", {"a": 1}) == 3 and fake.body() == {"filter": {"a": 1}}


@pytest.mark.parametrize(("name", "path"), [("../x", "..%2Fx"), (".", "%2E"), ("..", "%2E%2E"), ("a b", "a%20b")])
def test_no_name_changes_the_route(fake: Fake, name: str, path: str) -> None:
    fake.answers = [(404, refusal("not_found"))]
    with pytest.raises(proximadb.NotFoundError):
        fake.client.get_collection(name)
    assert fake.line() == f"GET /v1/collections/{path}"


@pytest.mark.parametrize("bad", ["", None, 5])
def test_what_names_no_collection_is_refused(fake: Fake, bad: Any) -> None:
    with pytest.raises(proximadb.InvalidArgumentError) as caught:
        fake.client.get_collection(bad)
    assert caught.value.field == "collection" and fake.asked == []


def test_search(fake: Fake) -> None:
    hit = {
        "id": "a",
        "score": 0.1,
        "distance": 0.9,
        "score_kind": "similarity",
        "version": 4,
        "metadata": {},
        "vector": b64([1, 0]),
    }
    stats = {"took_us": 5, "segments": 1, "distances": 12, "recall_estimate": 0.95, "of_a_later_release": 1}
    line = {
        "shard": 0,
        "rows": 3,
        "index": "flat",
        "reason": "small",
        "filter": "none",
        "ef": None,
        "recall_estimate": 1.0,
    }
    answer = {"hits": [hit], "stats": stats, "explain": [line]}
    fake.answers = [(200, answer)]
    found = fake.client.search("c", [1, 0], 5)
    assert fake.line() == "POST /v1/collections/c/search"
    assert fake.body() == {
        "k": 5,
        "with_metadata": True,
        "with_vector": False,
        "vector_format": "base64",
        "vector": b64([1, 0]),
    }
    assert len(found) == 1 and found.ids == ["a"] and found[0].vector.tolist() == [1, 0] and found[0].version == 4
    # The f32 that the server meant, as gRPC would give it.
    assert found.scores == [float(np.float32(0.1))] and found[0].score_kind == found.score_kind == "similarity"
    assert (found.stats.took_us, found.stats.distances, found.explain[0].reason) == (5, 12, "small")
    assert found.stats.recall_estimate == float(np.float32(0.95))
    assert (found.explain[0].filter, found.explain[0].ef, found.explain[0].recall_estimate) == ("none", None, 1.0)
    fake.client.search("c", [1, 0], 5, recall_target=0.9)
    assert fake.body()["recall_target"] == 0.9 and "ef" not in fake.body()

    fake.client.search(
        "c",
        vector_id=3,
        k=np.int64(2),
        filter={"y": {"$gte": np.int32(2020)}},
        ef=50,
        exact=True,
        score_threshold=0.5,
        offset=1,
        include_metadata=False,
        include_vector=True,
        timeout_ms=100,
        explain=True,
    )
    assert fake.body() == {
        "id": "3",
        "k": 2,
        "filter": {"y": {"$gte": 2020}},
        "ef": 50,
        "exact": True,
        "score_threshold": 0.5,
        "offset": 1,
        "with_metadata": False,
        "with_vector": True,
        "vector_format": "base64",
        "timeout_ms": 100,
        "explain": True,
    }

    fake.answers = [(200, {"results": [answer, {"hits": [], "stats": stats}]})]
    first, second = fake.client.multi_search("c", np.eye(2), k=1)
    assert fake.line() == "POST /v1/collections/c/search/batch"
    assert [query["vector"] for query in fake.body()["queries"]] == [b64([1, 0]), b64([0, 1])]
    assert first.ids == ["a"] and len(second) == 0 and not second and second.score_kind is None
    fake.client.multi_search("c", vector_ids=["x", 1])
    assert [query["id"] for query in fake.body()["queries"]] == ["x", "1"]


def test_scan_asks_for_the_next_page_only_when_it_is_wanted(fake: Fake) -> None:
    page = {"records": [{"id": "a", "metadata": {}, "version": 1}], "cursor": "next"}
    fake.answers = [(200, page), (200, {"records": [], "cursor": None})]
    pages = iter(fake.client.scan("c", filter={"a": 1}, page_size=1))
    assert [record.id for record in next(pages)] == ["a"] and len(fake.asked) == 1
    assert "cursor" not in fake.body() and fake.body()["limit"] == 1
    rest = list(pages)
    assert len(rest) == 1 and len(rest[0]) == 0 and fake.body()["cursor"] == "next"


def test_operating(fake: Fake) -> None:
    fake.answers = [(200, {})]
    assert fake.client.flush("c") is None and fake.line() == "POST /v1/collections/c/flush"
    segment = {"shard": 0, "id": "s", "rows": 5, "dead": 1, "index": "graph", "reason": "large"}
    status = {
        "status": "ready",
        "kind": "graph",
        "indexed_rows": 5,
        "unindexed_rows": 0,
        "memtable_rows": 2,
        "resident_bytes": 8,
    }
    fake.answers = [(200, {**status, "recall_estimate": None, "segments": [segment]})]
    index = fake.client.index_status("c")
    assert fake.line() == "GET /v1/collections/c/index"
    assert (index.status, index.indexed_rows, index.recall_estimate, index.segments[0].dead) == ("ready", 5, None, 1)
    site = {
        "id": None,
        "instance": 1,
        "location": "/d",
        "kind": "nvme",
        "state": "gone",
        "free_bytes": None,
        "recovered": {"rows": 3},
        "draining": True,
        "mirror": "one object is missing",
        "log_copies": None,
    }
    fake.answers = [(200, {"sites": [site]})]
    only = fake.client.sites()[0]
    assert (only.id, only.state, only.free_bytes, only.recovered.rows) == (None, "gone", None, 3)
    assert (only.draining, only.mirror, only.log_copies) == (True, "one object is missing", None)
    fake.answers = [
        (
            200,
            {
                "assignments": [
                    {"collection": "u", "name": "c", "shard": 0, "site": "s", "stored_bytes": 1, "state": "ok"}
                ]
            },
        )
    ]
    assert fake.client.assignments()[0].site == "s"
    fake.answers = [(200, {"assignments": [{"collection": "u", "name": "c", "shard": 0, "site": None}]})]
    assert fake.client.assignments()[0].site is None
    plugin = {"name": "near", "kind": "metric", "state": "ready", "sha256": "0", "problem": None, "calls": 9, "new": 1}
    fake.answers = [(200, {"plugins": [plugin]})]
    assert fake.client.plugins() == [Plugin(name="near", kind="metric", state="ready", sha256="0", calls=9)]


def test_moves(fake: Fake) -> None:
    task = {
        "id": 3,
        "kind": "drain",
        "site": 1,
        "state": "running",
        "shards_total": 4,
        "shards_done": 1,
        "bytes_total": 400,
        "bytes_done": 100,
        "problem": None,
        "started": "2026-01-01T00:00:00Z",
    }
    begun = proximadb.Task(3, "drain", "running", datetime(2026, 1, 1, tzinfo=UTC), 1, 4, 1, 400, 100, None)
    uuid = UUID(int=7)
    fake.answers = [(202, task)]
    for site in (1, "1", uuid):
        assert fake.client.drain_site(site) == begun
        assert fake.line() == f"POST /v1/sites/{site}/drain" and not fake.asked[-1].content
    assert fake.client.fail_over(1) == begun and fake.line() == "POST /v1/sites/1/fail_over"
    fake.answers = [(204, b"")]
    assert fake.client.cancel_drain(uuid) is None and fake.line() == f"DELETE /v1/sites/{uuid}/drain"
    fake.answers = [(202, {**task, "kind": "rebalance", "site": None})]
    assert fake.client.rebalance().site is None and fake.line() == "POST /v1/rebalance"
    fake.answers = [(200, {"tasks": [task, {**task, "state": "failed", "problem": "disk"}]})]
    first, last = fake.client.tasks()
    assert fake.line() == "GET /v1/tasks" and first == begun and (last.state, last.problem) == ("failed", "disk")
    fake.answers = [(200, {"losses": [{"shard": 2, "what": "the log", "rows": 0}]})]
    assert fake.client.accept_loss("c") == [proximadb.Loss(2, "the log")]
    assert fake.line() == "POST /v1/collections/c/accept_loss"
    asked = len(fake.asked)
    for bad in ("", None, 1.5, True):
        with pytest.raises(proximadb.InvalidArgumentError) as caught:
            fake.client.drain_site(bad)
        assert caught.value.field == "site" and len(fake.asked) == asked


def test_a_server_that_is_not_ready_says_so(fake: Fake) -> None:
    fake.answers = [
        (503, {"status": "unavailable", "ready": False, "version": "0.1.0", "problems": ["disk"], "sites": []})
    ]
    health = fake.client.health()
    assert (health.status, health.ready, health.problems) == ("unavailable", False, ("disk",))
    assert len(fake.asked) == 1


CODES = {
    "invalid_argument": proximadb.InvalidArgumentError,
    "not_found": proximadb.NotFoundError,
    "conflict": proximadb.ConflictError,
    "fenced": proximadb.FencedError,
    "exhausted": proximadb.ExhaustedError,
    "deadline_exceeded": proximadb.DeadlineExceededError,
    "unavailable": proximadb.UnavailableError,
    "corrupt": proximadb.CorruptError,
    "plugin_failed": proximadb.PluginFailedError,
    "internal": proximadb.InternalError,
}


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_class(fake: Fake, code: str) -> None:
    fake.answers = [(500, refusal(code, field="k", request_id="r-1"))]
    with pytest.raises(ProximaDBError) as caught:
        fake.client.count("c")
    error = caught.value
    assert type(error) is CODES[code]
    assert (error.code, error.field, error.retryable, error.request_id) == (code, "k", False, "r-1")
    assert str(error) == f"why ({code}, field k, request r-1)"
    assert len(fake.asked) == 1


def test_errors_fit_where_python_expects_its_own() -> None:
    assert issubclass(proximadb.InvalidArgumentError, ValueError)
    assert issubclass(proximadb.DeadlineExceededError, TimeoutError)
    assert issubclass(proximadb.ConnectionFailedError, (proximadb.UnavailableError, ConnectionError))


@pytest.mark.parametrize(
    ("status", "content", "kind", "code", "retryable"),
    [
        (413, b'{"code": "body_too_large", "detail": "d"}', proximadb.InvalidArgumentError, "body_too_large", False),
        (418, b'{"code": "teapot"}', ProximaDBError, "teapot", False),
        (400, b"no", proximadb.InvalidArgumentError, "invalid_argument", False),
        (401, b"", ProximaDBError, "unauthenticated", False),
        (404, b"<html>", proximadb.NotFoundError, "not_found", False),
        (429, b"", proximadb.ExhaustedError, "exhausted", True),
        (500, b"[]", proximadb.InternalError, "internal", False),
        (503, b"busy", proximadb.ConnectionFailedError, "unavailable", True),
        (504, b'{"code": 5}', proximadb.DeadlineExceededError, "deadline_exceeded", True),
    ],
)
def test_answers_that_are_not_the_servers(status: int, content: bytes, kind: type, code: str, retryable: bool) -> None:
    error = problem(status, content)
    assert (type(error), error.code, error.retryable) == (kind, code, retryable)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"count": null}', b'{"hits": [{}]}'])
def test_an_answer_that_is_not_understood_is_an_error_of_ours(fake: Fake, content: bytes) -> None:
    fake.answers = [(200, content)]
    for call in (lambda: fake.client.count("c"), lambda: fake.client.search("c", [1.0])):
        with pytest.raises(proximadb.InternalError, match="not understood"):
            call()


def test_a_retryable_refusal_is_tried_again(fake: Fake) -> None:
    fake.answers = [(503, refusal("unavailable", True)), (200, {"count": 1})]
    assert fake.client.count("c") == 1 and len(fake.asked) == 2


def test_retries_have_an_end(fake: Fake) -> None:
    fake.answers = [(507, refusal("exhausted", True))]
    with pytest.raises(proximadb.ExhaustedError):
        fake.client.count("c")
    assert len(fake.asked) == FAST.attempts


def test_a_write_is_repeated_under_one_key(fake: Fake) -> None:
    fake.answers = [httpx.ReadError("gone"), (503, refusal("unavailable", True)), (200, WRITTEN)]
    fake.client.insert_vector("c", "a", [1.0])
    keys = {request.headers["idempotency-key"] for request in fake.asked}
    bodies = {request.content for request in fake.asked}
    assert len(fake.asked) == 3 and len(keys) == 1 and len(bodies) == 1
    fake.client.insert_vector("c", "a", [1.0])
    assert fake.asked[-1].headers["idempotency-key"] not in keys


def test_what_is_not_safe_is_sent_once(fake: Fake) -> None:
    fake.answers = [(503, refusal("unavailable", True))]
    for call in (
        lambda: fake.client.delete_collection("c"),
        lambda: fake.client.update_collection("c", description="d"),
        lambda: fake.client.drain_site(1),
        lambda: fake.client.fail_over(1),
        lambda: fake.client.rebalance(),
        lambda: fake.client.accept_loss("c"),
    ):
        with pytest.raises(proximadb.UnavailableError):
            call()
    assert len(fake.asked) == 6


def test_a_deadline_that_the_caller_set_is_an_answer(fake: Fake) -> None:
    fake.answers = [(504, refusal("deadline_exceeded", True))]
    with pytest.raises(proximadb.DeadlineExceededError):
        fake.client.search("c", [1.0], timeout_ms=5)
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("raised", "error_class"),
    [
        (httpx.ConnectError("refused"), proximadb.ConnectionFailedError),
        (httpx.ConnectTimeout("slow"), proximadb.ConnectionFailedError),
        (httpx.RemoteProtocolError("closed"), proximadb.ConnectionFailedError),
        (httpx.ReadTimeout("slow"), proximadb.DeadlineExceededError),
    ],
)
def test_what_goes_wrong_on_the_way_is_typed_too(fake: Fake, raised: Exception, error_class: type) -> None:
    fake.answers = [raised]
    with pytest.raises(error_class) as caught:
        fake.client.count("c")
    assert caught.value.retryable and caught.value.__cause__ is raised and len(fake.asked) == FAST.attempts


def test_a_key_that_no_header_can_carry_is_refused(fake: Fake) -> None:
    for key in ("a\r\nx: y", "é"):
        with pytest.raises(proximadb.InvalidArgumentError) as caught:
            fake.client.delete_vector("c", "a", idempotency_key=key)
        assert caught.value.field == "idempotency_key"
    assert fake.asked == []


def test_the_api_key_goes_into_the_header(kind: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"count": 0})

    with KINDS[kind]("https://db", api_key="secret", transport=httpx.MockTransport(answer)) as client:
        client.count("c")
    assert (
        asked[0].headers["authorization"] == "Bearer secret"
        and str(asked[0].url) == "https://db/v1/collections/c/count"
    )


def test_the_pause_before_a_retry_grows_and_is_bounded() -> None:
    policy = RetryPolicy(attempts=20, delay_first=1.0, delay_max=3.0)
    error = proximadb.UnavailableError("x", retryable=True)
    for attempt, most in ((1, 1.0), (2, 2.0), (3, 3.0), (19, 3.0)):
        pauses = [policy.pause(attempt, error, True) for _ in range(200)]
        assert all(pause is not None and 0.0 <= pause <= most for pause in pauses)
        assert max(p for p in pauses if p is not None) > most / 2
    assert policy.pause(20, error, True) is None
    with pytest.raises(ValueError):
        RetryPolicy(attempts=0)
