"""One data set on disk: vectors, held-out queries, attributes, filters and the true neighbours. Knows no system.

A directory holds `meta.json` (dim, n, nq, metric "cos", filters), `base.f16.npy`, `queries.f16.npy`, `gt_none.npy`, for each filter
of meta.json a `gt_<label>.npy`, and `payload.npz` with one integer column for each attribute. A row of `gt_*` has the nearest rows
of a query in order, filled up with -1 where fewer match.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DEPTH = 50
"""Neighbours that are kept for each query."""


@dataclass(frozen=True)
class Filter:
    """The rows whose `field` is in `least..=most`."""

    label: str
    field: str
    least: int
    most: int
    share: float


class Dataset:
    """Unit vectors in float32; with `rows`, only that many of them, for which the true neighbours are found anew."""

    def __init__(self, directory: Path, rows: int | None = None) -> None:
        meta = json.loads((directory / "meta.json").read_text())
        if meta["metric"] != "cos":
            raise ValueError(f"{directory}: metric is {meta['metric']}, only cos is compared")
        self.name: str = directory.name
        self.directory = directory
        self.base = unit(np.load(directory / "base.f16.npy")[:rows])
        self.queries = unit(np.load(directory / "queries.f16.npy"))
        with np.load(directory / "payload.npz") as columns:
            self.payload = {field: columns[field][:rows] for field in columns.files}
        self.rows, self.dimension = self.base.shape
        self.filters: list[Filter] = []
        for label, spec in meta["filters"].items():
            bounds = Filter(label, spec["field"], spec["gte"], spec["lte"], 0.0)
            share = float(self.mask(bounds).mean())
            self.filters.append(Filter(label, spec["field"], spec["gte"], spec["lte"], share))
        self.truth = {}
        for label, allowed in {"none": None, **{f.label: f for f in self.filters}}.items():
            if self.rows == meta["n"]:
                self.truth[label] = np.load(directory / f"gt_{label}.npy")
            else:
                self.truth[label] = nearest(self.base, self.queries, None if allowed is None else self.mask(allowed))

    def mask(self, allowed: Filter) -> np.ndarray:
        """Whether each row passes."""
        column = self.payload[allowed.field]
        return (column >= allowed.least) & (column <= allowed.most)

    def recall(self, found: dict[int, list[int]], label: str, k: int) -> float:
        """The share of true neighbours among the answers, which are keyed by the number of the query."""
        hits = wanted = 0
        for query, ids in found.items():
            true = {int(row) for row in self.truth[label][query][:k] if row >= 0}
            hits += len(true & {int(row) for row in ids[:k]})
            wanted += len(true)
        return hits / max(wanted, 1)

    def export(self, directory: Path) -> None:
        """Writes what a program without a reader of zip files needs: the rows as they are, and the filters as truth values."""
        directory.mkdir()
        np.save(directory / "base.f16.npy", np.load(self.directory / "base.f16.npy")[: self.rows])
        np.save(directory / "queries.f16.npy", np.load(self.directory / "queries.f16.npy"))
        for label, rows in self.truth.items():
            np.save(directory / f"gt_{label}.npy", rows)
        for allowed in self.filters:
            np.save(directory / f"mask_{allowed.label}.npy", self.mask(allowed))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Float32 rows of norm one."""
    vectors = vectors.astype(np.float32)
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def nearest(base: np.ndarray, queries: np.ndarray, mask: np.ndarray | None = None, depth: int = DEPTH) -> np.ndarray:
    """The true neighbours by cosine among the rows of the mask: compared all, in float64 where the order is settled."""
    rows = np.arange(len(base)) if mask is None else np.flatnonzero(mask)
    answer = np.full((len(queries), depth), -1, dtype=np.int32)
    kept = min(depth, len(rows))
    if kept == 0:
        return answer
    among = base[rows]
    # Some more than are kept, so that rounding in float32 puts none out.
    wider = min(kept + 16, len(rows))
    for start in range(0, len(queries), 200):
        scores = queries[start : start + 200] @ among.T
        ahead = np.argpartition(-scores, wider - 1, axis=1)[:, :wider]
        for number, candidates in enumerate(ahead, start):
            exact = among[candidates].astype(np.float64) @ queries[number].astype(np.float64)
            answer[number, :kept] = rows[candidates[np.lexsort((candidates, -exact))][:kept]]
    return answer
