"""Measures one peer over one data set in this process, and writes lines of JSON. Refuses to compare: that is table.py's."""

import argparse
import contextlib
import ctypes
import fcntl
import gc
import importlib.metadata
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataset import Dataset
from engines import ENGINES
from libraries import LIBRARIES
from peer import Params, Peer

K = 10
RECALL_ENOUGH = 0.995
"""Beyond the highest level that is compared, so that the curve brackets it."""
QUERIES_MIN = 50
"""A pass has at least so many queries, however long they take."""
TURN = os.environ.get("PROXIMADB_BENCH_TURN")
"""A file that systems lock which run at once and take turns."""
TURN_ENDS_S = 0.005
"""For so long a library's threads may still look for work, and another process has time to begin its turn."""
PEERS = {peer.name: peer for peer in [*LIBRARIES, *ENGINES]}


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Nothing else is measured meanwhile, where systems take turns."""
    if TURN is None:
        yield
        return
    with open(TURN, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        time.sleep(TURN_ENDS_S)
    time.sleep(TURN_ENDS_S)


class Run:
    """One peer over one data set. No query is asked twice within a pass; each pass has an order of its own."""

    def __init__(self, peer: Peer, repeats: int, seconds: float, emit: Callable[..., None]) -> None:
        self.peer, self.data = peer, peer.data
        self.repeats, self.seconds, self.emit = repeats, seconds, emit
        self.random = np.random.default_rng(20260101)

    def build(self) -> None:
        version = importlib.metadata.version(self.peer.package)
        self.peer.open()
        before = resident()
        reset_peak()
        with turn():
            load, cpu, started = os.getloadavg()[0], time.process_time(), time.perf_counter()
            self.peer.build()
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        self.emit(
            what="build",
            version=version,
            rows=self.data.rows,
            dimension=self.data.dimension,
            build_s=round(seconds, 3),
            build_cpu_s=round(cpu, 3),
            rss_mb=round((resident() - before) / 1e6, 1),
            rss_peak_mb=round((status("VmHWM:") - before) / 1e6, 1),
            load1=round(load, 2),
        )

    def searches(self) -> None:
        for params in self.peer.breadths:
            if self.curve_point(params, "none", None) >= RECALL_ENOUGH:
                break

    def filtered(self) -> None:
        for allowed in self.data.filters if self.peer.filter_breadths else []:
            prepared = self.peer.allow(allowed)
            for params in self.peer.filter_breadths:
                if self.curve_point(params, allowed.label, prepared, share=allowed.share) >= RECALL_ENOUGH:
                    break

    def curve_point(self, params: Params, label: str, allow: Any, **more: Any) -> float:
        found: dict[int, list[int]] = {}
        calls = [self.calls(params, allow, found) for _ in range(self.repeats)]
        recall = self.data.recall(found, label, K)
        rate = statistics.median(wall for wall, _ in calls)
        measured = {"call_qps": rate, "call_cpu_qps": statistics.median(cpu for _, cpu in calls)}
        if self.peer.batch is not None:
            batches = [self.batch(params, allow, 1, rate, found, label) for _ in range(self.repeats)]
            measured |= {
                "batch_qps": statistics.median(wall for wall, _ in batches),
                "batch_cpu_qps": statistics.median(cpu for _, cpu in batches),
            }
            two = [self.batch(params, allow, 2, 2 * rate, found, label)[0] for _ in range(self.repeats)]
        else:
            two = [self.two_callers(params, allow, rate) for _ in range(self.repeats)]
        # A library is given the better of its two ways to be called.
        measured["qps"] = max(measured["call_qps"], measured.get("batch_qps", 0))
        measured["cpu_qps"] = max(measured["call_cpu_qps"], measured.get("batch_cpu_qps", 0))
        measured["qps2"] = statistics.median(two)
        rounded = {key: round(value, 1) for key, value in measured.items()}
        self.emit(
            what="search",
            filter=label,
            params=params,
            recall=round(recall, 5),
            **rounded,
            queries=len(found),
            repeats=self.repeats,
            **more,
        )
        return recall

    def calls(self, params: Params, allow: Any, found: dict[int, list[int]]) -> tuple[float, float]:
        """One pass of single calls on this thread: rates by the clock and by processor time."""
        order = self.random.permutation(len(self.data.queries))
        answers = []
        with turn():
            for query in self.data.queries[order[-10:]]:
                self.peer.search(query, K, params, allow)
            cpu, started = time.process_time(), time.perf_counter()
            for query in self.data.queries[order[:-10]]:
                answers.append(self.peer.search(query, K, params, allow))
                if len(answers) >= QUERIES_MIN and time.perf_counter() - started > self.seconds:
                    break
            took, cpu = time.perf_counter() - started, time.process_time() - cpu
        found.update((int(query), list(ids)) for query, ids in zip(order, answers, strict=False))
        return len(answers) / took, len(answers) / cpu

    def portion(self, rate: float) -> np.ndarray:
        """Queries for one pass, as many as take about the time of a pass."""
        count = max(QUERIES_MIN, min(len(self.data.queries), int(rate * self.seconds)))
        return self.random.permutation(len(self.data.queries))[:count]

    def batch(
        self, params: Params, allow: Any, threads: int, rate: float, found: dict[int, list[int]], label: str
    ) -> tuple[float, float]:
        """One pass in one call, which must find what single calls found."""
        order = self.portion(rate)
        queries = np.ascontiguousarray(self.data.queries[order])
        with turn():
            # Starts the library's threads.
            self.peer.batch(queries[:threads], K, params, threads, allow)
            cpu, started = time.process_time(), time.perf_counter()
            ids = self.peer.batch(queries, K, params, threads, allow)
            took, cpu = time.perf_counter() - started, time.process_time() - cpu
        answers = {int(query): list(row) for query, row in zip(order, ids, strict=True)}
        both = [query for query in answers if query in found]
        recall, alone = (self.data.recall({query: of[query] for query in both}, label, K) for of in (answers, found))
        if len(both) >= 50 and recall < alone - 0.05:
            raise RuntimeError(f"a batch finds {recall:.3f} where single calls find {alone:.3f}: not the same search")
        return len(order) / took, len(order) / cpu

    def two_callers(self, params: Params, allow: Any, rate: float) -> float:
        halves = np.array_split(self.portion(rate), 2)
        failures: list[BaseException] = []

        def ask(numbers: np.ndarray) -> None:
            try:
                for query in self.data.queries[numbers]:
                    self.peer.search(query, K, params, allow)
            except BaseException as failure:  # raised again below, on the thread that counts
                failures.append(failure)

        threads = [threading.Thread(target=ask, args=(half,)) for half in halves]
        with turn():
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took = time.perf_counter() - started
        if failures:
            raise failures[0]
        return sum(len(half) for half in halves) / took


def resident() -> int:
    """Bytes of this process in memory, after what was freed has been given back. Refuses to count when others serve for it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    children = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    if any(children):
        raise RuntimeError(f"the memory of processes {' '.join(children)} would not count")
    return status("VmRSS:")


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def status(field: str) -> int:
    """Bytes that the kernel tells of this process: VmRSS now, VmHWM at most since `reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=sorted(PEERS))
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.25, help="the longest that one pass of single calls takes")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    chosen = PEERS[options.system]

    def emit(**fields: Any) -> None:
        line = json.dumps({"system": chosen.name, "kind": chosen.kind, "data": options.data.name, **fields})
        with options.out.open("a") as out:
            out.write(line + "\n")
        print(line, flush=True)

    folder = Path(tempfile.mkdtemp(prefix=f"bench-{chosen.name}-"))
    try:
        peer = chosen(Dataset(options.data, options.rows), folder)
        run = Run(peer, options.repeats, options.seconds, emit)
        run.build()
        run.searches()
        run.filtered()
        peer.close()
    except (ImportError, importlib.metadata.PackageNotFoundError) as failure:
        emit(what="missing", why=f"not installed: {failure}")
    except Exception as failure:
        emit(what="failed", why=f"{type(failure).__name__}: {failure}"[:300])
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
