"""How fast records go in with one, two and three disks, each kept once and twice, beside what the disk itself can do.

    python benches/disks.py --server path/to/proximadb-server --folders /disk1 /disk2 /disk3 [--records 20000] [--runs 3]

Starts a server of its own for each case, in new folders below those given, and removes them. For each disk there is one collection
on it and one process that writes to it over gRPC: batches of 1,000 records of 384 dimensions, each answered once it is durable. The
disk's limits are measured in the same run: writing in one piece, and writing the same batches with an fdatasync after each, into as
many files at once as there are disks. Folders that lie on one device share its limits.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from proximadb import ProximaDBClient

DIMENSION = 384
BATCH = 1_000
BATCH_BYTES = BATCH * DIMENSION * 4
SEED = 384


def ingest(address: str, name: str, records: int, ready: object, go: object) -> None:
    """Writes to one collection, beginning when told."""
    vectors = np.random.default_rng(SEED).standard_normal((records, DIMENSION)).astype(np.float32)
    ids = [f"doc_{i}" for i in range(records)]
    metadata = [{"year": 2000 + i % 25} for i in range(records)]
    with ProximaDBClient(address, protocol="grpc") as client:
        ready.release()  # type: ignore[attr-defined]
        go.wait()  # type: ignore[attr-defined]
        done = client.insert_vectors(name, ids, vectors, metadata, batch_size=BATCH)
        if done.inserted != records or client.count(name) != records:
            raise SystemExit(f"{done.inserted} of {records} records came in")


def together(works: list[Callable[[object, object], multiprocessing.Process]]) -> float:
    """Seconds that processes take which begin at once."""
    ready, go = multiprocessing.Semaphore(0), multiprocessing.Event()
    processes = [work(ready, go) for work in works]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    start = time.perf_counter()
    go.set()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise SystemExit("a client failed")
    return time.perf_counter() - start


def append(folder: str, nbytes: int, each: int, ready: object, go: object) -> None:
    """Writes a file in pieces, each made durable; in one piece where `each` is 0."""
    piece = os.urandom(each or BATCH_BYTES)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        ready.release()  # type: ignore[attr-defined]
        go.wait()  # type: ignore[attr-defined]
        for _ in range(nbytes // len(piece)):
            file.write(piece)
            if each:
                file.flush()
                os.fdatasync(file.fileno())
        file.flush()
        os.fdatasync(file.fileno())


def disk_rate(folders: list[str], nbytes: int, each: int) -> float:
    """Bytes a second into one file for each folder at once."""

    def work(folder: str) -> Callable[[object, object], multiprocessing.Process]:
        return lambda ready, go: multiprocessing.Process(target=append, args=(folder, nbytes, each, ready, go))

    return nbytes * len(folders) / together([work(folder) for folder in folders])


def server_rate(server: Path, folders: list[str], copies: int, records: int) -> float:
    """Records a second that a new server takes durably, over one collection for each folder."""
    roots = [tempfile.mkdtemp(dir=folder, prefix="proximadb-bench-") for folder in folders]
    try:
        config = Path(roots[0]) / "config.toml"
        paths = "".join(f'[[storage.storage_layout.base_paths]]\nbase_dir = "{root}/storage"\n' for root in roots)
        config.write_text(
            '[server]\nrest_listen = "127.0.0.1:0"\ngrpc_listen = "127.0.0.1:0"\n[log]\nfilter = "warn"\n'
            f"[storage.wal_config]\ncopies = {copies}\n{paths}"
        )
        process = subprocess.Popen([server, "--config", config], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("REST on "))
            address = line.strip().rsplit(" ", 1)[1]
            with ProximaDBClient(address, protocol="grpc") as client:
                names = [f"bench-{i}" for i in range(len(folders))]
                for name in names:
                    client.create_collection(name, DIMENSION)
                homes = {assignment.site for assignment in client.assignments()}
                if len(homes) != len(folders):
                    raise SystemExit("the collections are not one on each disk")
                time.sleep(2)

                def work(name: str) -> Callable[[object, object], multiprocessing.Process]:
                    return lambda ready, go: multiprocessing.Process(
                        target=ingest, args=(address, name, records, ready, go)
                    )

                seconds = together([work(name) for name in names])
                if copies == 2:
                    behind = [site.log_copies for site in client.sites() if site.log_copies != "in step"]
                    if behind:
                        raise SystemExit(f"the copies are not in step: {behind}")
                return records * len(folders) / seconds
        finally:
            process.terminate()
            process.wait()
    finally:
        for root in roots:
            shutil.rmtree(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--folders", nargs="+", required=True)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    nbytes = arguments.records * DIMENSION * 4

    def middle(measure: Callable[[], float]) -> str:
        rates = sorted(measure() for _ in range(arguments.runs))
        return f"{statistics.median(rates):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})"

    print(
        "disks | copies | records/s, durable | disk: fdatasync after each batch, records/s | disk: in one piece, records/s"
    )
    record = DIMENSION * 4
    for disks in range(1, len(arguments.folders) + 1):
        folders = arguments.folders[:disks]
        synced = middle(lambda folders=folders: disk_rate(folders, nbytes, BATCH_BYTES) / record)  # type: ignore[misc]
        whole = middle(lambda folders=folders: disk_rate(folders, nbytes, 0) / record)  # type: ignore[misc]
        for copies in (1, 2) if disks > 1 else (1,):
            rate = middle(
                lambda folders=folders, copies=copies: server_rate(arguments.server, folders, copies, arguments.records)
            )  # type: ignore[misc]
            print(f"{disks} | {copies} | {rate} | {synced} | {whole}", flush=True)


if __name__ == "__main__":
    main()
