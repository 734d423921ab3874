"""Ten thousand records through the SDK over both protocols; the rates are printed, and nothing is said of how high they must be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from server import Server

pytestmark = pytest.mark.skipif("PROXIMADB_BIN" not in os.environ, reason="PROXIMADB_BIN names no server")

SDK = Path(__file__).parents[2] / "sdk" / "python"


def test_ten_thousand_records_go_in_over_both_protocols(tmp_path, capsys):
    server = Server(tmp_path, "")
    rest, grpc = server.lines[-1].removeprefix("REST on http://").split(", gRPC on ")
    command = [sys.executable, str(SDK / "benches" / "ingest.py"), "--rest", rest, "--grpc", grpc, "--runs", "1"]
    environment = os.environ | {"PYTHONPATH": str(SDK / "src")}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    with capsys.disabled():
        print("\n" + shown)
    assert "grpc" in shown and "rest" in shown, shown
    server.kill()
