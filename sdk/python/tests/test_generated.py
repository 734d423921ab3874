"""What is committed as generated is what the generator makes, and both clients have the same methods."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import proximadb
from proximadb import AsyncProximaDBClient, ProximaDBClient

SDK = Path(__file__).resolve().parents[1]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", SDK / "scripts" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sync_client_is_generated_from_the_async_one() -> None:
    files = _generator().sync_files()
    assert len(files) == 4
    for path, text in files.items():
        assert path.read_text() == text, f"{path.name} is stale: python scripts/generate.py --sync"
        assert "await" not in text and "asyncio" not in text and "grpc.aio" not in text


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        found = inspect.getmembers(client, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in found if not name.startswith("_")}

    assert methods(AsyncProximaDBClient) == methods(ProximaDBClient)
    promised = (
        "create_collection get_collection list_collections update_collection delete_collection get_collection_id_by_name "
        "insert_vector insert_vectors upsert_vector upsert_vectors get_vector get_vectors update_vector delete_vector "
        "delete_vectors delete_vectors_by_filter search multi_search scan count flush index_status sites assignments "
        "drain_site cancel_drain fail_over rebalance tasks accept_loss plugins health close"
    )
    assert set(methods(ProximaDBClient)) == set(promised.split())


def test_the_messages_are_those_of_the_proto_files() -> None:
    """Fields and numbers, read from the sources as they are now; a full run of protoc is the generator's."""
    import re

    from proximadb.v1 import (
        admin_pb2,
        collection_pb2,
        filter_pb2,
        record_pb2,
        search_pb2,
        service_pb2,
        value_pb2,
        write_pb2,
    )

    modules = (admin_pb2, collection_pb2, filter_pb2, record_pb2, search_pb2, service_pb2, value_pb2, write_pb2)
    sources = sorted((SDK.parents[1] / "proto" / "proximadb" / "v1").glob("*.proto"))
    assert {m.DESCRIPTOR.name.rpartition("/")[2] for m in modules} == {s.name for s in sources}
    for module in modules:
        source = (SDK.parents[1] / "proto" / module.DESCRIPTOR.name).read_text()
        source = re.sub(r"//[^\n]*", "", source)
        # A field is a name, a number and no brace before its semicolon; an enum's values look the same.
        written = sorted(re.findall(r"(\w+) = (\d+);", source))
        built = [(f.name, str(f.number)) for m in module.DESCRIPTOR.message_types_by_name.values() for f in m.fields]
        built += [(v.name, str(v.number)) for e in module.DESCRIPTOR.enum_types_by_name.values() for v in e.values]
        assert sorted(built) == written, f"{module.DESCRIPTOR.name} has changed: python scripts/generate.py"
    calls = re.findall(r"rpc (\w+)", (sources[-1].parent / "service.proto").read_text())
    assert sorted(service_pb2.DESCRIPTOR.services_by_name["ProximaDb"].methods_by_name) == sorted(calls)


def test_everything_public_is_documented() -> None:
    for name in proximadb.__all__:
        thing = getattr(proximadb, name)
        assert thing.__doc__, name
        for member, value in inspect.getmembers(thing, inspect.isfunction):
            if not member.startswith("_") and thing.__module__.startswith("proximadb"):
                assert value.__doc__, f"{name}.{member}"
