"""Recall and rate of searches through the SDK, over both protocols, on vectors of one's own.

    python benches/search.py FOLDER [--rest localhost:5678] [--grpc localhost:5679] [--ef 32,64,96,128]

FOLDER holds base.f16.npy and queries.f16.npy (rows of 16-bit floats, made unit vectors here) and gt_none.npy (the true
neighbours of each query by row number). Each query is sent once a line; one client waits for each answer.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from uuid import uuid4

import numpy as np

from proximadb import ProximaDBClient

K = 10
BATCH = 1_000


def unit_rows(path: Path) -> np.ndarray:
    rows = np.load(path).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rest", default="localhost:5678")
    parser.add_argument("--grpc", default="localhost:5679")
    parser.add_argument("--ef", default="32,64,96,128")
    arguments = parser.parse_args()

    base, queries = unit_rows(arguments.folder / "base.f16.npy"), unit_rows(arguments.folder / "queries.f16.npy")
    truth = np.load(arguments.folder / "gt_none.npy")[:, :K]
    name = f"bench-{uuid4().hex[:12]}"
    with ProximaDBClient(arguments.grpc, protocol="grpc") as client:
        client.create_collection(name, base.shape[1], "cosine")
        start = time.perf_counter()
        client.upsert_vectors(name, range(len(base)), base, batch_size=BATCH)
        loaded = time.perf_counter()
        client.flush(name)
        while client.index_status(name).unindexed_rows:
            time.sleep(0.05)
        ready = time.perf_counter()
        rate = len(base) / (loaded - start)
        print(f"{len(base)} rows in {loaded - start:.1f} s ({rate:,.0f}/s), indexed after {ready - loaded:.1f} s more")
    for protocol, address in (("grpc", arguments.grpc), ("rest", arguments.rest)):
        with ProximaDBClient(address, protocol=protocol) as client:
            for ef in map(int, arguments.ef.split(",")):
                for metadata in (False, True):
                    start = time.perf_counter()
                    found = [client.search(name, query, k=K, ef=ef, include_metadata=metadata) for query in queries]
                    took = time.perf_counter() - start
                    hits = sum(
                        len({int(i) for i in result.ids} & set(map(int, row)))
                        for result, row in zip(found, truth, strict=True)
                    )
                    walks = sum(result.stats.graph_walks > 0 for result in found)
                    rate = len(queries) / took
                    print(
                        f"{protocol} ef {ef}, metadata {metadata}: recall@{K} {hits / truth.size:.4f}, {rate:,.0f}/s, {walks} walks"
                    )
    with ProximaDBClient(arguments.grpc, protocol="grpc") as client:
        client.delete_collection(name)


if __name__ == "__main__":
    main()
