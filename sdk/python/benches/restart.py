"""How soon a server answers again after a restart: the first correct search, and the moment when everything is loaded.

    python benches/restart.py --server PROXIMADB_SERVER [--rows 200000] [--dimension 384] [--data FOLDER] [--folder FOLDER] [--runs 3]

Starts the server on a data directory of its own, ingests, flushes, waits for the graph, asks some queries and stops it. Then, some
times each: with the files in the page cache, and, where /proc/sys/vm/drop_caches may be written, without. FOLDER of --data holds
base.f16.npy and queries.f16.npy; rows beyond those there are copies with a little noise. Without it the rows are random unit vectors.
--folder keeps the data directory, and one that is already there is used as it is, so that two servers can be compared on the same
files. Prints a line of JSON a start; times run from the start of the process.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from proximadb import ProximaDBClient

K = 10
BATCH = 1_000
QUERIES = 20
NOISE = 0.02
SEED = 384
NAME = "restart"
SAVED = "bench-restart.json"


def unit(rows: np.ndarray) -> np.ndarray:
    norms: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / norms)


def data_of(folder: Path | None, rows: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(SEED)
    if folder is None:
        return (
            unit(random.standard_normal((rows, dimension), dtype=np.float32)),
            unit(random.standard_normal((QUERIES, dimension), dtype=np.float32)),
        )
    base = unit(np.load(folder / "base.f16.npy").astype(np.float32))
    queries = unit(np.load(folder / "queries.f16.npy")[:QUERIES].astype(np.float32))
    parts = [base[:rows]]
    while sum(map(len, parts)) < rows:
        copy = base[: rows - sum(map(len, parts))]
        parts.append(unit(copy + NOISE * random.standard_normal(copy.shape, dtype=np.float32)))
    return np.concatenate(parts), queries


class Server:
    def __init__(self, binary: Path, folder: Path) -> None:
        self.rest, self.grpc = free_port(), free_port()
        environment = os.environ | {
            "PROXIMADB_SERVER__REST_LISTEN": f"127.0.0.1:{self.rest}",
            "PROXIMADB_SERVER__GRPC_LISTEN": f"127.0.0.1:{self.grpc}",
        }
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [binary, "--data-dir", folder], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # Read as it comes: a full pipe would stop the server.
        self.said: list[str] = []
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stdout or ()), daemon=True)
        self.reader.start()

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """One request on a connection of its own, tried until the server listens; then it waits for the answer."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.rest, timeout=120)
            try:
                connection.request(method, path, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
            except ConnectionError:
                if self.process.poll() is not None:
                    raise SystemExit(f"the server ended: {''.join(self.said)}") from None
                time.sleep(0.001)
                continue
            finally:
                connection.close()
            if answer.status != 200:
                raise SystemExit(f"{method} {path}: {answer.status} {text!r}")
            return json.loads(text)

    def seconds(self) -> float:
        return round(time.perf_counter() - self.started, 3)

    def memory(self, what: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith(what))


@contextmanager
def serving(binary: Path, folder: Path) -> Iterator[Server]:
    server = Server(binary, folder)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def search(server: Server, body: bytes) -> list[tuple[str, float]]:
    hits = server.ask("POST", f"/v1/collections/{NAME}/search", body)["hits"]
    return [(hit["id"], hit["score"]) for hit in hits]


def same(found: list[tuple[str, float]], before: list[list[Any]]) -> bool:
    """Whether an answer is the one before the restart, up to the rounding of scores."""
    if len(found) != len(before):
        return False
    return all(a[0] == b[0] and abs(a[1] - b[1]) < 1e-5 for a, b in zip(found, before, strict=True))


def wait_ready(server: Server) -> dict[str, Any]:
    while (status := server.ask("GET", f"/v1/collections/{NAME}/index"))["status"] != "ready":
        time.sleep(0.02)
    return dict(status)


def prepare(binary: Path, folder: Path, arguments: argparse.Namespace) -> None:
    base, queries = data_of(arguments.data, arguments.rows, arguments.dimension)
    bodies = [json.dumps({"vector": query.tolist(), "k": K}) for query in queries]
    with serving(binary, folder) as server:
        wait = time.perf_counter()
        while not any("REST on" in line for line in server.said):
            if time.perf_counter() - wait > 60:
                raise SystemExit("the server did not start")
            time.sleep(0.01)
        with ProximaDBClient(f"127.0.0.1:{server.grpc}", protocol="grpc") as client:
            client.create_collection(NAME, base.shape[1], "cosine")
            start = time.perf_counter()
            client.upsert_vectors(NAME, [f"doc_{i}" for i in range(len(base))], base, batch_size=BATCH)
            client.flush(NAME)
        time.sleep(0.5)
        status = wait_ready(server)
        ready = time.perf_counter() - start
        answers = [search(server, body.encode()) for body in bodies]
    (folder.with_name(folder.name + "." + SAVED)).write_text(json.dumps({"bodies": bodies, "answers": answers}))
    print(
        json.dumps(
            {"what": "ingest", "rows": len(base), "segments": len(status["segments"]), "ready_s": round(ready, 1)}
        )
    )


def drop_page_cache() -> bool:
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def restart(binary: Path, folder: Path, cache: str) -> None:
    saved = json.loads((folder.with_name(folder.name + "." + SAVED)).read_text())
    with serving(binary, folder) as server:
        first = search(server, saved["bodies"][0].encode())
        seconds_first, memory_first = server.seconds(), server.memory("VmRSS")
        if not same(first, saved["answers"][0]):
            raise SystemExit(f"the first answer is {first}, before the restart it was {saved['answers'][0]}")
        others = [search(server, body.encode()) for body in saved["bodies"]]
        seconds_all = server.seconds()
        status = wait_ready(server)
        seconds_ready = server.seconds()
        differing = sum(not same(found, before) for found, before in zip(others, saved["answers"], strict=True))
        line = {
            "what": "restart",
            "cache": cache,
            "first_answer_s": seconds_first,
            f"first_{1 + len(others)}_answers_s": seconds_all,
            "ready_s": seconds_ready,
            "differing": differing,
            "segments": len(status["segments"]),
            "rss_first_mb": memory_first,
            "rss_ready_mb": server.memory("VmRSS"),
            "rss_peak_mb": server.memory("VmHWM"),
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()

    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="proximadb-restart-"))
    try:
        if not folder.with_name(folder.name + "." + SAVED).exists():
            folder.mkdir(parents=True, exist_ok=True)
            prepare(arguments.server, folder, arguments)
        for _ in range(arguments.runs):
            restart(arguments.server, folder, "warm")
        for _ in range(arguments.runs):
            if not drop_page_cache():
                print(
                    json.dumps(
                        {"what": "restart", "cache": "cold", "skipped": "the page cache may not be dropped here"}
                    )
                )
                break
            restart(arguments.server, folder, "cold")
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)
            folder.with_name(folder.name + "." + SAVED).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
