"""Against a real server, over both protocols, sync and async: what the package promises, from one end to the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from conftest import KINDS, Server

import proximadb
from proximadb import IndexSettings, ProximaDBClient, ProximaDBError, RetryPolicy

pytestmark = pytest.mark.skipif(not os.environ.get("PROXIMADB_BIN"), reason="PROXIMADB_BIN is not set")

DIMENSION = 16
SEED = 20261122


def new_name() -> str:
    return f"t{uuid4().hex[:16]}"


def sample(count: int, dimension: int = DIMENSION, seed: int = SEED) -> Any:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


@pytest.fixture
def name(client: Any) -> Iterator[str]:
    made = new_name()
    client.create_collection(made, DIMENSION)
    yield made
    client.delete_collection(made)


def test_the_promise_to_the_letter(server: Server, protocol: str, kind: str) -> None:
    # The address of the promise is localhost:5678; the tests' server listens elsewhere, so the protocol is said aloud.
    client = KINDS[kind](server.address(protocol).replace("127.0.0.1", "localhost"), protocol=protocol)
    collection = client.create_collection(name="documents", dimension=384, distance_metric="cosine")
    client.upsert_vector("documents", "doc_0", [0.1] * 384)
    client.delete_vector("documents", "doc_0")
    client.insert_vector(collection_id="documents", vector_id="doc_0", vector=[0.1] * 384, metadata={"text": "..."})
    results = client.search(collection_id="documents", query_vector=[0.1] * 384, k=5)
    assert collection.name == "documents" and UUID(collection.id)
    assert results.ids == ["doc_0"] and results[0].metadata == {"text": "..."}
    assert results[0].score == pytest.approx(1.0, abs=1e-5) and results[0].score_kind == "similarity"
    client.delete_collection("documents")
    client.close()


def test_collections(client: Any) -> None:
    name = new_name()
    schema = {"year": "integer", "lang": "string"}
    index = IndexSettings(kind="flat", ef_search=50)
    made = client.create_collection(name, 8, "euclidean", schema=schema, shards=2, index=index, description="first")
    assert (made.name, made.dimension, made.metric, made.score_kind) == (name, 8, "euclidean", "distance")
    assert (made.schema, made.shards, made.description, made.records) == (schema, 2, "first", 0)
    assert (made.index.kind, made.index.ef_search) == ("flat", 50) and made.index.m is not None
    assert made.created is not None and abs(datetime.now(UTC) - made.created) < timedelta(hours=1)
    again = client.create_collection(name, 8, "euclidean", schema=schema, shards=2, index=index, description="first")
    assert again.id == made.id
    with pytest.raises(proximadb.ConflictError):
        client.create_collection(name, 9, "euclidean")
    assert name in [c.name for c in client.list_collections()]
    assert client.get_collection_id_by_name(name) == made.id
    changed = client.update_collection(name, description="second", index=IndexSettings(ef_search=77))
    assert (changed.description, changed.index.ef_search, changed.index.kind) == ("second", 77, "flat")
    assert client.get_collection(name) == changed
    client.delete_collection(name)
    with pytest.raises(proximadb.NotFoundError):
        client.get_collection(name)
    with pytest.raises(proximadb.NotFoundError):
        client.delete_collection(name)


def test_writes(client: Any, name: str) -> None:
    vectors = sample(5)
    done = client.insert_vectors(name, ["a", "b", 3], vectors[:3], [{"n": 1}, None, {"n": 3}])
    assert (done.inserted, done.durable, done.replayed) == (3, True, False) and done.sequence > 0
    with pytest.raises(proximadb.ConflictError):
        client.insert_vector(name, "a", vectors[4])
    assert client.upsert_vector(name, "a", vectors[3], {"n": 10}).upserted == 1
    record = client.get_vector(name, "a")
    assert record.vector.tobytes() == vectors[3].tobytes() and record.metadata == {"n": 10} and record.version > 0

    assert client.update_vector(name, "a", metadata={"n": None, "m": {"x": 1}}).patched == 1
    assert client.get_vector(name, "a").metadata == {"m": {"x": 1}}
    assert client.update_vector(name, "a", vectors[4], {"m": {"y": 2}}).patched == 1
    record = client.get_vector(name, "a")
    assert record.vector.tobytes() == vectors[4].tobytes() and record.metadata == {"m": {"x": 1, "y": 2}}
    with pytest.raises(proximadb.NotFoundError):
        client.update_vector(name, "nobody", metadata={"a": 1})

    first, none, third = client.get_vectors(name, ["b", "nobody", 3], include_vector=False)
    assert (first.id, first.metadata, first.vector, none, third.id) == ("b", {}, None, None, "3")
    assert client.get_vectors(name, ["b"], include_metadata=False)[0].metadata is None
    assert client.delete_vector(name, 3).deleted == 1
    assert client.delete_vector(name, 3).deleted == 0
    with pytest.raises(proximadb.NotFoundError):
        client.get_vector(name, 3)
    assert client.delete_vectors(name, ["a", "b", "nobody"]).deleted == 2
    assert client.count(name) == 0
    assert client.upsert_vector(name, "x", vectors[0], durability="async").upserted == 1


def test_a_repeated_key_is_applied_once(client: Any, name: str) -> None:
    vector = sample(1)[0]
    first = client.insert_vector(name, "a", vector, idempotency_key="mine")
    second = client.insert_vector(name, "a", vector, idempotency_key="mine")
    assert not first.replayed and second.replayed and (second.inserted, second.sequence) == (1, first.sequence)


def test_bulk_writes_filters_scan_and_count(client: Any, name: str) -> None:
    vectors = sample(250)
    ids = [f"r{i:03}" for i in range(250)]
    metadata = [{"year": 2000 + i % 30, "lang": "en" if i % 2 else "fr", "tags": [f"t{i % 5}"]} for i in range(250)]
    assert client.upsert_vectors(name, ids, vectors, metadata, batch_size=100).upserted == 250
    assert client.upsert_vectors(name, ids[:3], vectors[:3].tolist(), metadata[:3]).upserted == 3
    assert client.count(name) == client.get_collection(name).records == 250
    filter = {"year": {"$gte": 2020}, "$or": [{"lang": "en"}, {"tags": {"$in": ["t0"]}}]}
    wanted = [
        id
        for id, m in zip(ids, metadata, strict=True)
        if m["year"] >= 2020 and (m["lang"] == "en" or m["tags"] == ["t0"])
    ]
    assert client.count(name, filter) == len(wanted)
    found = client.search(name, vectors[0], k=250, filter=filter, exact=True)
    assert sorted(found.ids) == wanted

    pages = list(client.scan(name, page_size=100, include_vector=True))
    assert [len(page) for page in pages if len(page)] == [100, 100, 50]
    records = [record for page in pages for record in page]
    assert [record.id for record in records] == ids and records[7].metadata == metadata[7]
    assert records[7].vector.tobytes() == vectors[7].tobytes()
    rest = [record.id for page in client.scan(name, page_size=100, cursor=pages[0].cursor) for record in page]
    assert rest == ids[100:]
    assert [record.id for page in client.scan(name, filter=filter) for record in page] == wanted

    assert client.delete_vectors_by_filter(name, filter).deleted == len(wanted)
    assert client.count(name) == 250 - len(wanted) and client.count(name, filter) == 0


def test_search(client: Any, name: str) -> None:
    vectors = sample(50)
    client.insert_vectors(name, list(range(50)), vectors, [{"i": i} for i in range(50)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit[7]), kind="stable")
    found = client.search(name, vectors[7], k=5, exact=True, include_vector=True, explain=True, timeout_ms=20_000)
    assert found.ids == [str(i) for i in order[:5]]
    assert found.scores == pytest.approx((unit @ unit[7])[order[:5]].tolist(), abs=1e-5)
    assert [hit.distance for hit in found] == pytest.approx([1 - score for score in found.scores], abs=1e-5)
    assert found[1].vector.tobytes() == vectors[order[1]].tobytes() and found[1].metadata == {"i": order[1]}
    assert found.stats.distances >= 50 and len(found.explain) > 0
    assert found.stats.recall_estimate == 1.0
    target = client.search(name, vectors[7], k=5, recall_target=0.9, explain=True)
    # So few rows are compared, each of them.
    assert target.ids == found.ids and target.stats.recall_estimate == 1.0
    with pytest.raises(proximadb.InvalidArgumentError) as both:
        client.search(name, vectors[7], ef=10, recall_target=0.9)
    assert both.value.field == "recall_target"
    plain = client.search(name, vectors[7].tolist(), k=5, include_metadata=False)
    assert plain.ids == found.ids and plain[0].metadata is None and plain[0].vector is None and plain.explain == ()
    assert client.search(name, vectors[7], k=3, offset=2).ids == found.ids[2:]
    assert client.search(name, vector_id=7, k=4).ids == found.ids[1:]
    assert client.search(name, vectors[7], k=50, score_threshold=found.scores[2]).ids == found.ids[:3]
    assert len(client.search(name, vectors[7], k=10)) == len(client.search(name, vectors[7])) == 10
    many = client.multi_search(name, vectors[:3], k=2)
    assert [result.ids for result in many] == [client.search(name, vector, k=2).ids for vector in vectors[:3]]
    assert [result.ids for result in client.multi_search(name, vector_ids=[7], k=4)] == [found.ids[1:]]


def test_records_expire(client: Any, name: str) -> None:
    vectors = sample(2)
    client.upsert_vector(name, "gone", vectors[0], expires=datetime.now(UTC) - timedelta(seconds=5))
    client.upsert_vector(name, "here", vectors[1], expires="2099-01-01T00:00:00Z")
    assert client.search(name, vectors[0]).ids == ["here"]
    assert client.get_vectors(name, ["gone"]) == [None]
    assert client.get_vector(name, "here").expires.startswith("2099-01-01T00:00:00")


def test_metadata_comes_back_as_it_went(client: Any, name: str) -> None:
    metadata = {
        "text": 'é "quoted" \\ 日本 \U0001f600',
        "int": -(2**63),
        "uint": 2**64 - 1,
        "float": 0.1,
        "whole": 2.0,
        "yes": True,
        "none": None,
        "list": [1, "a", [], {"b": 2}],
        "object": {"a.b": {"c": 1}},
        "": "empty key",
    }
    client.insert_vector(name, "a", sample(1)[0], metadata)
    back = client.get_vector(name, "a").metadata
    assert back == metadata and isinstance(back["whole"], float) and isinstance(back["yes"], bool)
    assert client.search(name, sample(1)[0])[0].metadata == metadata


@pytest.mark.parametrize(
    "id", ["../x", ".", "..", "a/b?c=d#e%2F", "日本", " ", "0190f3a2-7c4e-7d11-8a5b-0123456789ab", "x" * 256]
)
def test_ids_are_any_text(client: Any, name: str, id: str) -> None:
    client.insert_vector(name, id, sample(1)[0])
    assert client.get_vector(name, id).id == id
    assert client.search(name, sample(1)[0]).ids == [id]
    assert client.search(name, vector_id=id).ids == []
    assert client.delete_vector(name, id).deleted == 1


def test_the_uuid_stands_wherever_the_name_does(client: Any, name: str) -> None:
    uuid = client.get_collection_id_by_name(name)
    vectors = sample(4)
    for who in (uuid, UUID(uuid)):
        assert client.get_collection(who).name == name
        assert client.get_collection_id_by_name(uuid) == uuid
        assert client.update_collection(who, description="d").id == uuid
        assert client.insert_vector(who, "a", vectors[0], {"x": 1}).inserted == 1
        assert client.insert_vectors(who, ["b"], vectors[1:2]).inserted == 1
        assert client.upsert_vector(who, "a", vectors[0], {"x": 1}).upserted == 1
        assert client.upsert_vectors(who, ["c", "d"], vectors[2:]).upserted == 2
        assert client.update_vector(who, "a", metadata={"y": 1}).patched == 1
        assert client.get_vector(who, "a").metadata == {"x": 1, "y": 1}
        assert client.get_vectors(who, ["a", "b"])[1].id == "b"
        assert client.search(who, vectors[0], k=1).ids == ["a"]
        assert client.multi_search(who, vectors[:1], k=1)[0].ids == ["a"]
        assert sum(len(page) for page in client.scan(who)) == client.count(who) == 4
        client.flush(who)
        assert client.index_status(who).status in ("ready", "building", "loading")
        assert client.delete_vector(who, "d").deleted == 1
        assert client.delete_vectors(who, ["b", "c"]).deleted == 2
        assert client.delete_vectors_by_filter(who, {"x": 1}).deleted == 1
    other = client.create_collection(new_name(), 3)
    client.delete_collection(other.id)
    with pytest.raises(proximadb.NotFoundError):
        client.get_collection(other.name)


def test_operating(client: Any, name: str) -> None:
    client.insert_vectors(name, list(range(20)), sample(20))
    client.flush(name)
    index = client.index_status(name)
    assert index.kind in ("flat", "graph", "mixed", "none") and sum(s.rows for s in index.segments) == 20
    assert client.count(name) == 20 and len(client.search(name, sample(1)[0], k=20)) == 20
    sites = client.sites()
    assert sites and all(UUID(site.id) for site in sites) and sites[0].state == "ok"
    mine = [a for a in client.assignments() if a.name == name]
    assert len(mine) == 1 and mine[0].site in [site.id for site in sites]
    assert mine[0].collection == client.get_collection(name).id
    health = client.health()
    assert health.ready and health.status in ("ok", "degraded") and health.version and health.sites
    # One folder keeps no second copies.
    assert all((site.draining, site.mirror, site.log_copies) == (False, None, None) for site in sites)


def test_moves(client: Any, name: str) -> None:
    client.insert_vectors(name, list(range(20)), sample(20))
    (site,) = client.sites()
    begun = client.rebalance()
    assert begun.kind == "rebalance" and begun.site is None
    wait_for(client, begun)
    # There is nowhere else to go, which the task says; nothing is lost by it.
    begun = client.drain_site(site.id)
    assert (begun.kind, begun.site) == ("drain", site.instance)
    ended = wait_for(client, begun)
    assert ended.state == "failed" and ended.problem and ended.shards_done == 0
    assert client.sites()[0].draining
    client.cancel_drain(site.instance)
    assert not client.sites()[0].draining and client.count(name) == 20
    with pytest.raises(proximadb.ConflictError):
        client.fail_over(site.id)
    for call in (client.drain_site, client.cancel_drain, client.fail_over):
        with pytest.raises(proximadb.NotFoundError):
            call(UUID(int=1))
    assert client.accept_loss(name) == []


def wait_for(client: Any, begun: proximadb.Task) -> proximadb.Task:
    """The task once it has ended."""
    deadline = time.monotonic() + 60
    while True:
        (task,) = (task for task in client.tasks() if task.id == begun.id)
        if task.state != "running":
            return task
        assert time.monotonic() < deadline, task
        time.sleep(0.02)


BAD: list[tuple[str, Any, str]] = [
    ("NaN in a record", lambda c, n: c.insert_vector(n, "a", [float("nan")] + [0.0] * 15), "vector[0]"),
    ("infinity in a record", lambda c, n: c.upsert_vector(n, "a", [0.0, 1e39] + [0.0] * 14), "vector[1]"),
    (
        "NaN in a bulk write",
        lambda c, n: c.upsert_vectors(n, ["a", "b"], [[1.0] * 16, [float("nan")] * 16]),
        "[1].vector[0]",
    ),
    ("NaN in a query", lambda c, n: c.search(n, [float("nan")] * 16), "vector[0]"),
    ("wrong dimension of a record", lambda c, n: c.insert_vector(n, "a", [1.0] * 15), "vector"),
    ("wrong dimension of a query", lambda c, n: c.search(n, [1.0] * 17), "vector"),
    ("no components", lambda c, n: c.search(n, []), "vector"),
    ("zero for cosine", lambda c, n: c.insert_vector(n, "a", [0.0] * 16), "vector"),
    ("unknown operator", lambda c, n: c.search(n, [1.0] * 16, filter={"year": {"$foo": 1}}), "filter.year.$foo"),
    ("unknown operator in a count", lambda c, n: c.count(n, {"$foo": 1}), "filter.$foo"),
    ("unknown operator in a delete", lambda c, n: c.delete_vectors_by_filter(n, {"a": {"$x": 1}}), "delete_where.a.$x"),
    ("k = 0", lambda c, n: c.search(n, [1.0] * 16, k=0), "k"),
    ("k = 2**63", lambda c, n: c.search(n, [1.0] * 16, k=2**63), "k"),
    ("k = 2**70", lambda c, n: c.search(n, [1.0] * 16, k=2**70), "k"),
    ("k = -1", lambda c, n: c.search(n, [1.0] * 16, k=-1), "k"),
    ("ef beyond its limit", lambda c, n: c.search(n, [1.0] * 16, ef=10**6), "ef"),
    ("offset beyond its limit", lambda c, n: c.search(n, [1.0] * 16, offset=10**9), "offset"),
    ("neither vector nor id", lambda c, n: c.search(n), "vector"),
    ("name ../x", lambda c, n: c.create_collection("../x", 3), "name"),
    ("name of another", lambda c, n: c.get_collection("../x"), "collection"),
    ("dimension 0", lambda c, n: c.create_collection(new_name(), 0), "dimension"),
    ("dimension 2**40", lambda c, n: c.create_collection(new_name(), 2**40), "dimension"),
    ("unknown metric", lambda c, n: c.create_collection(new_name(), 3, "chebyshev"), "metric"),
    ("unknown index", lambda c, n: c.create_collection(new_name(), 3, index=IndexSettings(kind="tree")), "index.kind"),
    ("unknown type in a schema", lambda c, n: c.create_collection(new_name(), 3, schema={"a": "blob"}), "schema"),
    ("empty id", lambda c, n: c.insert_vector(n, "", [1.0] * 16), "id"),
    ("id too long", lambda c, n: c.insert_vector(n, "x" * 257, [1.0] * 16), "id"),
    ("metadata too large", lambda c, n: c.insert_vector(n, "a", [1.0] * 16, {"a": "x" * 70_000}), "metadata"),
    ("a site by a name", lambda c, n: c.drain_site("disk1"), "site"),
    ("a site beyond all numbers", lambda c, n: c.fail_over(2**32), "site"),
    ("page of no size", lambda c, n: list(c.scan(n, page_size=0)), "limit"),
    ("cursor of nobody", lambda c, n: list(c.scan(n, cursor="nonsense")), "cursor"),
]


@pytest.mark.parametrize(("call", "field"), [(b[1], b[2]) for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_refused_by_its_field_and_changes_nothing(client: Any, name: str, call: Any, field: str) -> None:
    with pytest.raises(proximadb.InvalidArgumentError) as caught:
        call(client, name)
    error = caught.value
    assert error.field is not None and field in error.field, error.field
    assert error.code == "invalid_argument" and not error.retryable
    assert client.count(name) == 0


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot_product", "manhattan", "hamming"])
def test_both_protocols_give_the_same_answers(server: Server, metric: str) -> None:
    name = new_name()
    vectors = sample(300)
    with ProximaDBClient(server.rest) as rest, ProximaDBClient(server.grpc, protocol="grpc") as grpc:
        rest.create_collection(name, DIMENSION, metric)
        half = {"metadata": [{"i": i, "f": i / 3, "t": [str(i)]} for i in range(150)]}
        rest.upsert_vectors(name, list(range(150)), vectors[:150], **half)
        grpc.upsert_vectors(name, list(range(150, 300)), vectors[150:], **half)
        assert rest.get_collection(name) == grpc.get_collection(name)
        for query in sample(10, seed=SEED + 1):
            a, b = (c.search(name, query, k=20, include_vector=True, filter={"i": {"$lt": 100}}) for c in (rest, grpc))
            assert a.ids == b.ids and len(a) == 20
            for one, other in zip(a, b, strict=True):
                # To the last bit: both are the f32 that the server computed.
                assert (one.score, one.distance, one.metadata) == (other.score, other.distance, other.metadata)
                assert (one.version, one.score_kind) == (other.version, other.score_kind)
                assert one.vector is not None and other.vector is not None
                assert one.vector.tobytes() == other.vector.tobytes()
        pages = [[(r.id, r.version, r.metadata) for page in c.scan(name) for r in page] for c in (rest, grpc)]
        assert pages[0] == pages[1] and len(pages[0]) == 300
        assert [a.site for a in rest.assignments()] == [a.site for a in grpc.assignments()]
        rest.delete_collection(name)


def test_both_protocols_give_the_same_errors(server: Server) -> None:
    name = new_name()
    with ProximaDBClient(server.rest) as rest, ProximaDBClient(server.grpc, protocol="grpc") as grpc:
        rest.create_collection(name, DIMENSION)
        calls = [call for _, call, _ in BAD]
        calls += [
            lambda c, n: c.get_collection("nobody"),
            lambda c, n: c.get_vector(n, "nobody"),
            lambda c, n: c.create_collection(n, 3),
        ]
        differ = []
        for call in calls:
            seen = []
            for client in (rest, grpc):
                with pytest.raises(ProximaDBError) as caught:
                    call(client, name)
                seen.append((type(caught.value).__name__, caught.value.code, caught.value.field))
            if seen[0] != seen[1]:
                differ.append(seen)
        assert differ == []
        rest.delete_collection(name)


def test_a_killed_server_is_found_again_with_all_that_it_acknowledged(server: Server, protocol: str, kind: str) -> None:
    name = new_name()
    patient = RetryPolicy(attempts=60, delay_first=0.05, delay_max=0.5)
    with KINDS[kind](server.address(protocol), protocol=protocol, retry=patient, timeout=60) as client:
        client.create_collection(name, DIMENSION)
        vectors = sample(100)
        client.upsert_vectors(name, list(range(60)), vectors[:60], batch_size=20)
        client.flush(name)
        assert client.upsert_vectors(name, list(range(60, 100)), vectors[60:], batch_size=20).durable
        server.kill()
        try:
            hasty = KINDS[kind](server.address(protocol), protocol=protocol, retry=RetryPolicy(attempts=1))
            with hasty, pytest.raises(proximadb.ConnectionFailedError):
                hasty.count(name)
        finally:
            server.start()
        # The same client, over connections that died under it.
        assert client.count(name) == 100
        assert client.search(name, vectors[77], k=1).ids == ["77"]
        back = client.get_vectors(name, list(range(100)))
        assert all(record.vector.tobytes() == vectors[i].tobytes() for i, record in enumerate(back))
        client.delete_collection(name)
