"""The examples of docs/guides/python.adoc, run in order against a real server; and the README's, which is the same promise."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import Server

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "guides" / "python.adoc"
BLOCK = re.compile(r"^\[source,python\]\n----\n(.*?)^----$", re.MULTILINE | re.DOTALL)


def _blocks() -> list[tuple[int, str]]:
    """The line where each example starts, and its text."""
    text = GUIDE.read_text()
    return [(text.count("\n", 0, match.start(1)), match.group(1)) for match in BLOCK.finditer(text)]


def _run(line: int, block: str, names: dict[str, object], server: Server) -> None:
    # The guide's server listens where servers do; that of the tests, somewhere else.
    block = block.replace('"localhost:5678"', f'"{server.rest}"').replace('"localhost:5679"', f'"grpc://{server.grpc}"')
    # Empty lines in front make a traceback point into the guide.
    exec(compile("\n" * line + block, str(GUIDE), "exec"), names)


def test_the_examples_are_python() -> None:
    blocks = _blocks()
    assert len(blocks) == GUIDE.read_text().count("[source,python]") > 8
    for line, block in blocks:
        compile("\n" * line + block, str(GUIDE), "exec")


@pytest.mark.skipif(not os.environ.get("PROXIMADB_BIN"), reason="PROXIMADB_BIN is not set")
def test_the_examples_do_what_they_say(server: Server) -> None:
    names: dict[str, object] = {"__name__": "guide"}
    for line, block in _blocks():
        _run(line, block, names, server)


@pytest.mark.skipif(not os.environ.get("PROXIMADB_BIN"), reason="PROXIMADB_BIN is not set")
def test_the_readme_does_what_it_says(server: Server) -> None:
    text = (ROOT / "sdk" / "python" / "README.md").read_text()
    names: dict[str, object] = {"__name__": "readme"}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        _run(0, block, names, server)
    client = names["client"]
    client.delete_collection("documents")  # type: ignore[attr-defined]
    client.close()  # type: ignore[attr-defined]
