"""Regenerates what is committed as generated: the protobuf modules from proto/, the sync client from the async one.

python scripts/generate.py            # needs grpcio-tools, in the version that pyproject.toml names
python scripts/generate.py --sync     # the sync client alone
"""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src"
PROTO = Path(__file__).resolve().parents[3] / "proto"
NOTE = "# Generated from ../_async/{name} by scripts/generate.py; edit that file.\n"

# What a sync client says in place of an async one; whole words, in this order.
WORDS = [
    (r"\bAsyncProximaDBClient\b", "ProximaDBClient"),
    (r"\basync (def|with|for) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\bAsync(Iterator|Client|BaseTransport|HTTPTransport)\b", r"\1"),
    (r"\baclose\b", "close"),
    (r"\bgrpc\.aio\.AioRpcError\b", "grpc.RpcError"),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\bclose\(None\)", "close()"),
    (r"^import asyncio\n", ""),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\bAsync(Link|HttpLink|RpcLink)\b", r"\1"),
]


def to_sync(source: str) -> str:
    """The sync twin of an async module."""
    for word, other in WORDS:
        source = re.sub(word, other, source, flags=re.MULTILINE)
    return source


def sync_files() -> dict[Path, str]:
    """The modules of the sync client, by path."""
    files = sorted((PACKAGE / "proximadb" / "_async").glob("*.py"))
    return {f.parents[1] / "_sync" / f.name: NOTE.format(name=f.name) + to_sync(f.read_text()) for f in files}


def protobuf() -> None:
    """The messages with their types, and the stubs."""
    from grpc_tools import protoc

    well_known = resources.files("grpc_tools") / "_proto"
    out = f"{PACKAGE}"
    files = sorted(str(f.relative_to(PROTO)) for f in (PROTO / "proximadb" / "v1").glob("*.proto"))
    options = [f"-I{PROTO}", f"-I{well_known}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *options, *files]) != 0:
        raise SystemExit("protoc failed")
    v1 = PACKAGE / "proximadb" / "v1"
    (v1 / "__init__.py").write_text('"""Generated from proto/proximadb/v1 by scripts/generate.py."""\n')
    # Only the service has a stub; the other files would say nothing.
    for stub in v1.glob("*_pb2_grpc.py"):
        if stub.name != "service_pb2_grpc.py":
            stub.unlink()


def main() -> None:
    if "--sync" not in sys.argv[1:]:
        protobuf()
    for path, text in sync_files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
