"""What the server writes is open: the log's payloads to fastavro, segments to pyarrow, DuckDB and Polars."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest
from read_wal import SCHEMA, batches
from server import Server

pytestmark = pytest.mark.skipif("PROXIMADB_BIN" not in os.environ, reason="PROXIMADB_BIN names no server")


def record(i):
    metadata = {"text": f"sentence {i}", "year": 2000 + i, "tags": ["a", "b"], "nested": {"big": 2**63 + i}}
    return {"id": f"r{i}", "vector": [i + 0.5, -1.0, 0.25], "metadata": metadata}


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path, '[storage.wal_config]\ncodec = "Avro"\n')
    server.call("POST", "/v1/collections", {"name": "open", "dimension": 3, "metric": "euclidean"})
    server.call("POST", "/v1/collections/open/records", {"upsert": [record(i) for i in range(50)]})
    server.call("POST", "/v1/collections/open/records", {"delete": ["r7"]})
    yield server
    server.kill()


def test_fastavro_reads_the_log(server, tmp_path):
    schema = fastavro.parse_schema(json.loads(Path(SCHEMA).read_text()))
    files = sorted((tmp_path / "data" / "wal").glob("*.wal"))
    found = [operation for file in files for batch in batches(file.read_bytes(), schema) for operation in batch["operations"]]
    text = json.dumps(found)
    assert len(found) == 51, text
    assert all(f'"r{i}"' in text for i in range(50)) and "sentence 49" in text and str(2**63 + 49) in text


def test_other_readers_open_a_segment(server, tmp_path):
    server.call("POST", "/v1/collections/open/flush", {})
    (segment,) = (tmp_path / "data" / "storage").glob("shards/*/segments/*.parquet")
    import pyarrow.parquet as pq

    rows = pq.read_table(segment).to_pylist()
    assert {row["id"] for row in rows} == {f"r{i}" for i in range(50) if i != 7}
    for row in rows:
        want = record(int(row["id"][1:]))
        assert struct.pack("<3f", *row["vector"]) == struct.pack("<3f", *want["vector"])
        assert row["m.text"] == want["metadata"]["text"] and row["m.year"] == want["metadata"]["year"]
        assert json.loads(row["metadata_json"])["nested"] == want["metadata"]["nested"]
    script = Path(__file__).with_name("read_segment.py")
    shown = subprocess.run([sys.executable, str(script), str(segment)], capture_output=True, text=True, check=True).stdout
    assert "pyarrow: 49 rows" in shown and "duckdb: 49 rows" in shown and "polars: 49 rows" in shown, shown
