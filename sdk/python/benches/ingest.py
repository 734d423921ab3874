"""How fast records go in: 10,000 of 384 dimensions, a thousand a request, over both protocols, each request durable.

    python benches/ingest.py [--rest localhost:5678] [--grpc localhost:5679]

Prints a line a run; the first of each protocol warms up connections and is printed too.
"""

from __future__ import annotations

import argparse
import time
from uuid import uuid4

import numpy as np

from proximadb import ProximaDBClient

RECORDS = 10_000
DIMENSION = 384
BATCH = 1_000
SEED = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rest", default="localhost:5678")
    parser.add_argument("--grpc", default="localhost:5679")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()

    vectors = np.random.default_rng(SEED).standard_normal((RECORDS, DIMENSION)).astype(np.float32)
    ids = [f"doc_{i}" for i in range(RECORDS)]
    metadata = [{"text": f"document {i}", "year": 2000 + i % 25} for i in range(RECORDS)]
    for protocol, address in (("grpc", arguments.grpc), ("rest", arguments.rest)):
        with ProximaDBClient(address, protocol=protocol) as client:
            for run in range(arguments.runs):
                name = f"bench-{uuid4().hex[:12]}"
                client.create_collection(name, DIMENSION)
                start = time.perf_counter()
                done = client.insert_vectors(name, ids, vectors, metadata, batch_size=BATCH)
                seconds = time.perf_counter() - start
                if done.inserted != RECORDS or client.count(name) != RECORDS:
                    raise SystemExit(f"{protocol}: {done.inserted} of {RECORDS} records came in")
                megabytes = vectors.nbytes / seconds / 1e6
                print(
                    f"{protocol} run {run}: {RECORDS / seconds:,.0f} records/s, {megabytes:.0f} MB/s of vectors, {seconds:.2f} s"
                )
                client.delete_collection(name)


if __name__ == "__main__":
    main()
