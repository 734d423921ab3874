"""Log and segments in a bucket: the server writes nothing of them to disk, and finds everything there after a kill."""

import os
import sys
from pathlib import Path

import pytest
from server import Server

sys.path.append(str(Path(__file__).parents[2] / "adapters" / "filesystem" / "tests"))
import emulators  # noqa: E402

pytestmark = [
    pytest.mark.skipif("PROXIMADB_BIN" not in os.environ, reason="PROXIMADB_BIN names no server"),
    pytest.mark.skipif(emulators.S3.missing is not None, reason=f"{emulators.S3.missing} not installed"),
]


def test_everything_survives_in_a_bucket(tmp_path):
    s3 = emulators.S3(None)
    try:
        options = dict(option.split("=", 1) for option in s3.options.split(";"))
        lines = "\n".join(f'{name} = "{value}"' for name, value in options.items())
        config = f'[storage.wal_config]\nwal_urls = ["{s3.url}/wal"]\n\n[storage.object_store.s3]\n{lines}\n'
        server = Server(tmp_path, config)
        server.call("POST", "/v1/collections", {"name": "cloud", "dimension": 3})
        upsert = [{"id": i, "vector": [1, i, 2], "metadata": {"n": i}} for i in range(30)]
        answer = server.call("POST", "/v1/collections/cloud/records", {"upsert": upsert})
        assert answer["durable"] and answer["upserted"] == 30
        server.call("POST", "/v1/collections/cloud/flush", {})
        server.call("POST", "/v1/collections/cloud/records", {"delete": ["3"], "upsert": [{"id": "late", "vector": [9, 9, 9]}]})
        server.kill()

        keys = [o["Key"] for page in s3.client.get_paginator("list_objects_v2").paginate(Bucket=emulators.BUCKET) for o in page["Contents"]]
        assert any("/segments/" in key and key.endswith(".parquet") for key in keys) and any(key.endswith(".wal") for key in keys), keys
        assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file()], "nothing is kept on the disk"

        server = Server(tmp_path, config)
        assert server.call("POST", "/v1/collections/cloud/count", {})["count"] == 30
        hits = server.call("POST", "/v1/collections/cloud/search", {"vector": [1, 5, 2], "k": 1, "filter": {"n": {"$gte": 5}}})["hits"]
        assert hits[0]["id"] == "5"
        server.call("POST", "/v1/collections/cloud/records", {"upsert": [{"id": "again", "vector": [1, 1, 1]}]})
        assert server.call("POST", "/v1/collections/cloud/count", {})["count"] == 31
        server.kill()
    finally:
        s3.process.terminate()
        s3.process.wait()
