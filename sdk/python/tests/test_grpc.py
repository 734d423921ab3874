"""gRPC without a server of ours: messages both ways, status details, retries, against a service in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc
import numpy as np
import pytest
from conftest import KINDS
from test_rest import CODES

import proximadb
from proximadb import IndexSettings, ProximaDBError, RetryPolicy
from proximadb._grpc.filter import to_message
from proximadb._grpc.value import get_fields, set_fields
from proximadb.v1 import admin_pb2, collection_pb2, record_pb2, search_pb2, service_pb2, value_pb2, write_pb2
from proximadb.v1.service_pb2_grpc import ProximaDbServicer, add_ProximaDbServicer_to_server

FAST = RetryPolicy(attempts=3, delay_first=0.0)


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protobuf message shorter than 128 bytes a part, written independently of the reader."""
    size = len(data)
    head = bytes([number << 3 | 2]) + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7]))
    return head + data


def details(code: str, **metadata: str) -> bytes:
    entries = b"".join(field(3, field(1, k.encode()) + field(2, v.encode())) for k, v in metadata.items())
    info = field(1, code.encode()) + field(2, b"proximadb") + entries
    other = field(3, field(1, b"type.googleapis.com/google.rpc.BadRequest") + field(2, b"\x0a\x00"))
    wrapped = field(3, field(1, b"type.googleapis.com/google.rpc.ErrorInfo") + field(2, info))
    return b"\x08\x03" + field(2, b"why") + other + wrapped


class Fake(ProximaDbServicer):
    """A service that answers what it is told to, in order, the last for ever, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answers: list[Any] = []
        self.lock = threading.Lock()

    def answer(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.lock:
            self.asked.append(request)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, tuple):
            status, trailer = answer
            if trailer is not None:
                context.set_trailing_metadata((("grpc-status-details-bin", trailer),))
            context.abort(status, "why")
        return answer


for _call in service_pb2.DESCRIPTOR.services_by_name["ProximaDb"].methods_by_name:
    setattr(Fake, _call, lambda self, request, context: self.answer(request, context))


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[Fake, str]]:
    fake = Fake()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    add_ProximaDbServicer_to_server(fake, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def fake(service: tuple[Fake, str]) -> Fake:
    service[0].asked.clear()
    return service[0]


@pytest.fixture
def client(service: tuple[Fake, str], kind: str) -> Iterator[Any]:
    with KINDS[kind](service[1], protocol="grpc", retry=FAST, timeout=20) as made:
        yield made


def test_collections(fake: Fake, client: Any) -> None:
    described = collection_pb2.Collection(
        id="u",
        name="c",
        dimension=3,
        metric="euclidean",
        score_kind="distance",
        schema={"y": "integer"},
        shards=1,
        index=collection_pb2.IndexSettings(kind="auto", m=16, ef_construction=128, ef_search=96),
        created="2026-11-22T10:00:00Z",
        records=7,
    )
    fake.answers = [collection_pb2.CreateCollectionResponse(collection=described, created=True)]
    made = client.create_collection(
        "c", 3, "euclidean", schema={"y": "integer"}, index=IndexSettings(m=16), description="d"
    )
    sent = collection_pb2.CreateCollectionRequest(
        name="c", dimension=3, metric="euclidean", schema={"y": "integer"}, index={"m": 16}, description="d"
    )
    assert fake.asked[-1] == sent and not fake.asked[-1].HasField("shards")
    assert (made.id, made.score_kind, made.schema, made.records) == ("u", "distance", {"y": "integer"}, 7)
    assert made.index == IndexSettings("auto", 16, 128, 96) and made.created.hour == 10
    fake.answers = [described]
    assert client.get_collection("c") == made and fake.asked[-1].collection == "c"
    assert client.get_collection_id_by_name("c") == "u"
    assert client.update_collection("c", index=IndexSettings(kind="flat")) == made
    assert not fake.asked[-1].HasField("description") and fake.asked[-1].index.kind == "flat"
    fake.answers = [collection_pb2.ListCollectionsResponse(collections=[described])]
    assert client.list_collections() == [made]
    fake.answers = [collection_pb2.DeleteCollectionResponse()]
    assert client.delete_collection("c") is None


def test_writes(fake: Fake, client: Any) -> None:
    fake.answers = [write_pb2.WriteResponse(upserted=2, durable=True, sequence=9)]
    done = client.upsert_vectors(
        "c", [1, "b"], np.array([[1, 2], [3, 4]]), [{"a": 1}, None], durability="async", expires="t"
    )
    assert (done.upserted, done.durable, done.sequence, done.replayed) == (2, True, 9, False)
    sent = fake.asked[-1]
    assert [r.id for r in sent.upsert] == ["1", "b"] and sent.durability == write_pb2.DURABILITY_ASYNC
    assert sent.upsert[1].vector.packed == np.array([3, 4], "<f4").tobytes() and sent.upsert[1].expires == "t"
    assert sent.upsert[0].metadata["a"].int_value == 1 and sent.idempotency_key.endswith("-0")
    client.insert_vector("c", "a", [1.0], {"x": None})
    assert fake.asked[-1].insert[0].metadata["x"].WhichOneof("kind") == "null_value"
    client.update_vector("c", "a", [1.0], {"x": 1})
    assert fake.asked[-1].patch[0].vector.packed == b"\0\0\x80?"
    client.update_vector("c", "a", metadata={"x": 1})
    assert not fake.asked[-1].patch[0].HasField("vector")
    client.delete_vectors("c", ["a", 2])
    assert list(fake.asked[-1].delete) == ["a", "2"]
    client.delete_vectors_by_filter("c", {})
    assert fake.asked[-1].delete_where[0].WhichOneof("node") == "all_of"


def test_reads(fake: Fake, client: Any) -> None:
    stored = record_pb2.StoredRecord(id="a", version=3)
    stored.vector.packed = np.array([1, 2], "<f4").tobytes()
    stored.metadata["b"].string_value = "x"
    fake.answers = [record_pb2.GetRecordsResponse(results=[{"record": stored}, {}])]
    first, second = client.get_vectors("c", ["a", "z"])
    assert first.vector.tolist() == [1, 2] and first.metadata == {"b": "x"} and first.expires is None and second is None
    assert client.get_vector("c", "a").version == 3
    assert client.get_vectors("c", ["a", "z"], include_metadata=False)[0].metadata is None
    fake.answers = [record_pb2.GetRecordsResponse(results=[{}])]
    with pytest.raises(proximadb.NotFoundError):
        client.get_vector("c", "a")
    stored.vector.floats.values.extend([1, 2])
    fake.answers = [record_pb2.ScanResponse(records=[stored], cursor="n"), record_pb2.ScanResponse()]
    pages = list(client.scan("c", filter={"a": 1}, page_size=1, include_vector=True))
    assert [len(page) for page in pages] == [1, 0] and pages[0][0].vector.tolist() == [1, 2]
    assert fake.asked[-1].cursor == "n" and fake.asked[-1].limit == 1
    fake.answers = [record_pb2.CountResponse(count=5)]
    assert client.count("c") == 5 and not fake.asked[-1].HasField("filter")


def test_search(fake: Fake, client: Any) -> None:
    hit = search_pb2.Hit(id="a", score=0.1, distance=0.9, version=4)
    response = search_pb2.SearchResponse(
        hits=[hit],
        score_kind="similarity",
        stats={"took_us": 5, "distances": 12, "recall_estimate": 0.95},
        explain=[{"index": "graph", "filter": "memory", "ef": 96}, {"index": "flat"}],
    )
    fake.answers = [response]
    found = client.search(
        "c", [1.0, 0.0], k=5, filter={"a": 1}, timeout_ms=100, score_threshold=0.5, recall_target=0.75
    )
    query = fake.asked[-1].query
    assert (
        query.k == 5 and query.filter.field.eq.int_value == 1 and query.timeout_ms == 100 and not query.HasField("ef")
    )
    assert found.ids == ["a"] and found.scores == [float(np.float32(0.1))] and found[0].score_kind == "similarity"
    assert (
        found[0].metadata == {}
        and found[0].vector is None
        and found.stats.distances == 12
        and found.explain[0].index == "graph"
    )
    assert query.recall_target == 0.75 and found.stats.recall_estimate == float(np.float32(0.95))
    assert [(line.filter, line.ef, line.recall_estimate) for line in found.explain] == [
        ("memory", 96, None),
        ("", None, None),
    ]
    assert client.search("c", vector_id=7, include_metadata=False)[0].metadata is None
    assert fake.asked[-1].query.id == "7" and not fake.asked[-1].query.HasField("recall_target")
    fake.answers = [
        search_pb2.SearchBatchResponse(results=[response, search_pb2.SearchResponse(score_kind="distance")])
    ]
    first, second = client.multi_search("c", np.eye(2))
    assert first.ids == ["a"] and len(second) == 0 and second.score_kind == "distance"


def test_operating(fake: Fake, client: Any) -> None:
    fake.answers = [admin_pb2.FlushResponse()]
    assert client.flush("c") is None
    fake.answers = [admin_pb2.IndexStatus(status="ready", kind="flat", segments=[{"rows": 4}])]
    assert client.index_status("c").recall_estimate is None and client.index_status("c").segments[0].rows == 4
    site = admin_pb2.Site(instance=1, state="gone", recovered={"rows": 3}, draining=True, log_copies="in step")
    fake.answers = [admin_pb2.ListSitesResponse(sites=[site])]
    only = client.sites()[0]
    assert (only.id, only.free_bytes, only.recovered.rows) == (None, None, 3)
    assert (only.draining, only.mirror, only.log_copies) == (True, None, "in step")
    fake.answers = [admin_pb2.ListAssignmentsResponse(assignments=[{"site": "s", "shard": 1}, {"shard": 2}])]
    assert [(a.shard, a.site) for a in client.assignments()] == [(1, "s"), (2, None)]
    plugin = {
        "name": "near",
        "kind": "metric",
        "state": "resting",
        "breaker": "open",
        "problem": "too long",
        "calls": 9,
    }
    fake.answers = [admin_pb2.ListPluginsResponse(plugins=[plugin, {"name": "far"}])]
    near, far = client.plugins()
    assert (near.state, near.breaker, near.problem, near.calls) == ("resting", "open", "too long", 9)
    assert (far.name, far.problem) == ("far", None)
    fake.answers = [admin_pb2.ServerStatus(status="degraded", ready=True, problems=["disk"], sites=[site])]
    assert client.health().problems == ("disk",) and client.health().sites == (only,)


def test_moves(fake: Fake, client: Any) -> None:
    known = {"id": 3, "state": "running", "shards_total": 4, "bytes_total": 400, "started": "2026-01-01T00:00:00Z"}
    task = admin_pb2.Task(kind="drain", site=0, problem="disk", **known)
    begun = proximadb.Task(3, "drain", "running", datetime(2026, 1, 1, tzinfo=UTC), 0, 4, 0, 400, 0, "disk")
    uuid = UUID(int=7)
    fake.answers = [task]
    for site in (1, "1", uuid):
        assert client.drain_site(site) == begun and fake.asked[-1] == admin_pb2.DrainSiteRequest(site=str(site))
    assert client.fail_over(1) == begun and fake.asked[-1] == admin_pb2.FailOverRequest(site="1")
    fake.answers = [admin_pb2.CancelDrainResponse()]
    assert client.cancel_drain(1) is None and fake.asked[-1] == admin_pb2.CancelDrainRequest(site="1")
    fake.answers = [admin_pb2.Task(kind="rebalance", **known)]
    moved = client.rebalance()
    assert (moved.kind, moved.site, moved.problem) == ("rebalance", None, None)
    fake.answers = [admin_pb2.ListTasksResponse(tasks=[task])]
    assert client.tasks() == [begun]
    fake.answers = [admin_pb2.AcceptLossResponse(losses=[{"shard": 2, "what": "the log"}])]
    assert client.accept_loss("c") == [proximadb.Loss(2, "the log")]
    assert fake.asked[-1] == admin_pb2.AcceptLossRequest(collection="c")
    asked = len(fake.asked)
    with pytest.raises(proximadb.InvalidArgumentError) as caught:
        client.drain_site(1.5)
    assert caught.value.field == "site" and len(fake.asked) == asked


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_class(fake: Fake, client: Any, code: str) -> None:
    fake.answers = [(grpc.StatusCode.UNKNOWN, details(code, field="k", retryable="false", request_id="r-1"))]
    with pytest.raises(ProximaDBError) as caught:
        client.count("c")
    error = caught.value
    assert type(error) is CODES[code]
    assert (error.message, error.field, error.retryable, error.request_id) == ("why", "k", False, "r-1")
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("status", "trailer", "error_class", "attempts"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, None, proximadb.InvalidArgumentError, 1),
        (grpc.StatusCode.UNAVAILABLE, None, proximadb.ConnectionFailedError, 3),
        (grpc.StatusCode.DEADLINE_EXCEEDED, None, proximadb.DeadlineExceededError, 3),
        (grpc.StatusCode.UNIMPLEMENTED, None, proximadb.InternalError, 1),
        (grpc.StatusCode.UNAUTHENTICATED, None, ProximaDBError, 1),
        (grpc.StatusCode.NOT_FOUND, b"\xff\xff", proximadb.NotFoundError, 1),
        (grpc.StatusCode.NOT_FOUND, b"\x1a\x7fabc", proximadb.NotFoundError, 1),
        (grpc.StatusCode.NOT_FOUND, b"\x08\x05", proximadb.NotFoundError, 1),
    ],
)
def test_a_status_without_details_is_enough(
    fake: Fake, client: Any, status: grpc.StatusCode, trailer: bytes | None, error_class: type, attempts: int
) -> None:
    fake.answers = [(status, trailer)]
    with pytest.raises(ProximaDBError) as caught:
        client.count("c")
    assert type(caught.value) is error_class and len(fake.asked) == attempts


def test_a_write_is_repeated_under_one_key_and_what_is_not_safe_is_sent_once(fake: Fake, client: Any) -> None:
    busy = (grpc.StatusCode.UNAVAILABLE, details("unavailable", retryable="true"))
    fake.answers = [busy, busy, write_pb2.WriteResponse(inserted=1)]
    assert client.insert_vector("c", "a", [1.0]).inserted == 1
    assert len(fake.asked) == 3 and len({request.idempotency_key for request in fake.asked}) == 1
    fake.answers = [busy]
    once = (
        lambda: client.delete_collection("c"),
        lambda: client.drain_site(1),
        lambda: client.fail_over(1),
        client.rebalance,
        lambda: client.accept_loss("c"),
    )
    for number, call in enumerate(once):
        with pytest.raises(proximadb.UnavailableError):
            call()
        assert len(fake.asked) == 4 + number


def test_no_server_is_a_connection_that_failed(kind: str) -> None:
    with (
        KINDS[kind]("127.0.0.1:1", protocol="grpc", retry=FAST) as client,
        pytest.raises(proximadb.ConnectionFailedError),
    ):
        client.health()


def test_values_go_there_and_back() -> None:
    values = {
        "n": None,
        "t": True,
        "i": -(2**63),
        "u": 2**64 - 1,
        "f": 0.5,
        "s": "é",
        "l": [1, [], {}],
        "o": {"a": {"b": []}},
    }
    message = value_pb2.StructValue()
    set_fields(message.fields, values, "metadata")
    back = value_pb2.StructValue.FromString(message.SerializeToString())
    assert get_fields(back.fields) == values and list(get_fields(back.fields)) == sorted(values)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda c: c.search("c", [1.0], k=-1), "k"),
        (lambda c: c.search("c", [1.0], k=2.5), "k"),
        (lambda c: c.search("c", [1.0], offset=True), "offset"),
        (lambda c: c.search("c", [1.0], score_threshold="x"), "score_threshold"),
        (lambda c: c.search("c", [1.0], recall_target="high"), "recall_target"),
        (lambda c: c.search("c", [1.0], vector_id="a"), "id"),
        (lambda c: c.create_collection("c", 2**64), "dimension"),
        (lambda c: c.create_collection("c", 3, shards=2**32), "shards"),
        (lambda c: c.create_collection("c", 3, index=IndexSettings(m=-1)), "index.m"),
        (lambda c: c.create_collection(5, 3), "name"),
        (lambda c: c.upsert_vector("c", "\ud800", [1.0]), "id"),
        (lambda c: c.upsert_vector("c", "a", [1.0], {"x": ["\ud800"]}), "metadata.x[0]"),
        (lambda c: c.upsert_vector("c", "a", [1.0], durability="maybe"), "durability"),
    ],
)
def test_what_no_message_can_carry_is_refused_by_its_field(fake: Fake, client: Any, call: Any, field: str) -> None:
    with pytest.raises(proximadb.InvalidArgumentError) as caught:
        call(client)
    assert caught.value.field == field and fake.asked == []


def test_filters_keep_their_meaning() -> None:
    message = to_message(
        {"year": {"$gte": 2020, "$not": {"$in": [1, "a"]}}, "$or": [{"lang": "en"}, {"tags": {"$exists": False}}]}
    )
    parts = message.all_of.filters
    assert len(parts) == 3
    assert (parts[0].field.path, parts[0].field.gte.int_value) == ("year", 2020)
    assert [v.WhichOneof("kind") for v in parts[1].negated.field.one_of.values] == ["int_value", "string_value"]
    either = parts[2].any_of.filters
    assert either[0].field.eq.string_value == "en" and either[1].field.WhichOneof("test") == "exists"
    assert to_message({"a": None}).field.eq.WhichOneof("kind") == "null_value"
    assert to_message({"a": {"$nin": []}}).field.WhichOneof("test") == "none_of"
    assert to_message({"a": {"$prefix": ""}}).field.WhichOneof("test") == "prefix"
    assert to_message({"$not": {}}).negated.WhichOneof("node") == "all_of"
    assert to_message({"a": {"$eq": {}}}).field.eq.WhichOneof("kind") == "struct_value"
    names = ("$eq eq", "$ne ne", "$gt gt", "$gte gte", "$lt lt", "$lte lte", "$contains contains")
    for operator, name in (pair.split() for pair in names):
        assert to_message({"a": {operator: 1}}).field.WhichOneof("test") == name


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"year": {"$foo": 1}}, "filter.year.$foo"),
        ({"$foo": 1}, "filter.$foo"),
        ({"$or": []}, "filter.$or"),
        ({"$and": [{"a": 1}, {"$nor": []}]}, "filter.$and[1].$nor"),
        ({"$and": {}}, "filter.$and"),
        ({"$not": []}, "filter.$not"),
        ({"a": {"b": 1}}, "filter.a"),
        ({"a": {}}, "filter.a"),
        ({"a": {"$in": 1}}, "filter.a.$in"),
        ({"a": {"$gt": None}}, "filter.a.$gt"),
        ({"a": {"$exists": 1}}, "filter.a.$exists"),
        ({"a": {"$prefix": 1}}, "filter.a.$prefix"),
        ({"a": {"$not": {}}}, "filter.a.$not"),
        ({"a": {"$not": {"$not": {"$foo": 1}}}}, "filter.a.$not.$not.$foo"),
    ],
)
def test_filters_that_mean_nothing_are_refused_by_their_place(bad: Any, field: str) -> None:
    with pytest.raises(proximadb.InvalidArgumentError) as caught:
        to_message(bad)
    assert caught.value.field == field
