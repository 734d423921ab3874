"""The comparison bench reports what it measures: true neighbours, rates at a recall, and what is missing."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHES = Path(__file__).parents[2] / "benches"
sys.path.append(str(BENCHES))
import measure  # noqa: E402
import table  # noqa: E402
from dataset import Dataset, nearest, unit  # noqa: E402
from peer import Peer  # noqa: E402

ROWS, QUERIES, DIMENSION = 300, 40, 12


@pytest.fixture
def directory(tmp_path):
    random = np.random.default_rng(4)
    directory = tmp_path / "tiny"
    directory.mkdir()
    base = random.standard_normal((ROWS, DIMENSION)).astype(np.float16)
    queries = random.standard_normal((QUERIES, DIMENSION)).astype(np.float16)
    year = np.arange(ROWS)
    np.save(directory / "base.f16.npy", base)
    np.save(directory / "queries.f16.npy", queries)
    np.savez(directory / "payload.npz", year=year)
    filters = {"few": {"field": "year", "gte": 10, "lte": 14}, "half": {"field": "year", "gte": 150, "lte": 299}}
    meta = {"metric": "cos", "n": ROWS, "dim": DIMENSION, "nq": QUERIES, "filters": filters}
    (directory / "meta.json").write_text(json.dumps(meta))
    np.save(directory / "gt_none.npy", nearest(unit(base), unit(queries)))
    for label, bounds in filters.items():
        mask = (year >= bounds["gte"]) & (year <= bounds["lte"])
        np.save(directory / f"gt_{label}.npy", nearest(unit(base), unit(queries), mask))
    return directory


class Scan(Peer):
    """Compares all rows, and misses the nearest of every query when told to."""

    name, kind, package = "scan", "library", "numpy"
    breadths = [{"skip": 1}, {"skip": 0}]
    filter_breadths = [{"skip": 0}]

    def open(self):
        self.asked = []

    def build(self):
        self.rows = self.data.base.copy()

    def search(self, query, k, params, allow=None):
        self.asked.append(query.tobytes())
        scores = self.rows @ query
        if allow is not None:
            scores[~allow] = -2
        return np.argsort(-scores)[params["skip"] : k + params["skip"]].tolist()

    def allow(self, allowed):
        return self.data.mask(allowed)


def test_the_true_neighbours_are_those_of_comparing_all(directory):
    data = Dataset(directory, rows=200)
    few = next(allowed for allowed in data.filters if allowed.label == "few")
    for query in range(QUERIES):
        scores = data.base @ data.queries[query]
        assert data.truth["none"][query][:10].tolist() == np.argsort(-scores)[:10].tolist()
        among = sorted(range(10, 15), key=lambda row: -scores[row])
        assert data.truth["few"][query][:6].tolist() == [*among, -1]
    assert few.share == 5 / 200


def test_a_peer_is_measured_with_and_without_filters(directory, tmp_path):
    lines = []
    run = measure.Run(Scan(Dataset(directory), tmp_path), repeats=2, seconds=5, emit=lambda **line: lines.append(line))
    run.build()
    run.searches()
    asked = run.peer.asked
    run.filtered()
    assert [line["what"] for line in lines] == ["build"] + ["search"] * 4
    # The nearest is missing, and the eleventh does not count.
    assert [(line["filter"], line["recall"]) for line in lines[1:]] == [("none", 0.9), ("none", 1), ("few", 1), ("half", 1)]
    assert all(line["qps"] > 0 and line["qps2"] > 0 and line["cpu_qps"] > 0 for line in lines[1:])
    # Ten to warm up, then a pass over others, each once.
    first = asked[10:QUERIES]
    assert len(set(first)) == len(first) == QUERIES - 10


def test_a_rate_is_read_where_the_curve_meets_a_recall():
    points = [(0.8, 1000.0), (0.9, 400.0), (1.0, 100.0), (0.85, 50.0)]
    assert table.at(0.95, points) == pytest.approx(200)
    assert table.at(0.9, points) == pytest.approx(400)
    assert table.at(0.7, points) == 1000
    assert table.at(0.99, points[:2]) is None


def test_ours_stands_beside_the_best_of_each_kind(tmp_path):
    lines = []
    for system, kind, qps, build in (("axis", "library", 300, 2), ("a", "library", 200, 1), ("b", "library", 100, 8), ("c", "embedded", 30, 4)):
        common = {"system": system, "kind": kind, "data": "tiny"}
        lines.append(common | {"what": "build", "build_s": build})
        lines.append(common | {"what": "search", "filter": "none", "params": {}, "recall": 0.99, "qps": qps})
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    rows = [[cell.strip() for cell in line.split("|")[1:]] for line in table.render(table.read([path])).splitlines()]
    assert ["best library", "1.50", "1.50", "1.50"] in rows
    assert ["best embedded", "10.00", "10.00", "10.00"] in rows
    assert ["best library", "0.50", "-", "-", "-"] in rows


def test_what_is_not_installed_is_reported(directory, tmp_path, monkeypatch):
    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    out = tmp_path / "lines.jsonl"
    monkeypatch.setattr(importlib.metadata, "version", gone)
    monkeypatch.setattr(sys, "argv", ["measure.py", "hnswlib", str(directory), "--out", str(out)])
    assert measure.main() == 0
    text = table.render(table.read([out]))
    assert "- hnswlib missing: not installed" in text and "hnswlib" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--systems", "axis,nothing"], "--systems: no system 'nothing'"), (["--rows", "5"], "--rows"), (["--repeats", "0"], "--repeats")],
)
def test_a_bad_argument_is_named(directory, arguments, named):
    command = [sys.executable, str(BENCHES / "compare.py"), "--data", str(directory), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and named in done.stderr
