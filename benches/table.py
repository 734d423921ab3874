"""Makes tables of the lines that runs wrote: rates at levels of recall, builds, memory, and ours beside each peer. Measures nothing."""

import json
import math
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LEVELS = (0.90, 0.95, 0.99)
FILTERED_LEVEL = 0.95
OURS = "axis"

Line = dict[str, Any]
Point = tuple[float, float]


class Run:
    """One build of a system, and what was searched after it."""

    def __init__(self, build: Line) -> None:
        self.build = build
        self.curves: dict[str, list[Line]] = {}

    def has(self, line: Line) -> bool:
        return any(known["params"] == line["params"] for known in self.curves.get(line["filter"], []))

    def rate(self, level: float, key: str, label: str) -> float | None:
        return at(level, [(line["recall"], line[key]) for line in self.curves.get(label, []) if line.get(key)])


class System:
    """What is known of one system over one data set; of several runs the median counts."""

    def __init__(self, data: str, name: str, kind: str) -> None:
        self.data, self.name, self.kind = data, name, kind
        self.runs: list[Run] = []
        self.troubles: list[str] = []

    def take(self, line: Line) -> None:
        match line["what"]:
            case "build":
                self.runs.append(Run(line))
            case "search":
                # What is never built, a scan, begins a run with what it was asked before.
                if not self.runs or self.runs[-1].has(line):
                    self.runs.append(Run({}))
                self.runs[-1].curves.setdefault(line["filter"], []).append(line)
            case "missing" | "failed":
                self.troubles.append(f"{line['what']}: {line['why']}")
            case other:
                raise ValueError(f"a line has what = {other!r}, known are build, search, missing, failed")

    @property
    def labels(self) -> list[str]:
        """The filters that were searched with, in the order in which they were."""
        return list(dict.fromkeys(label for run in self.runs for label in run.curves))

    def rate(self, level: float, key: str, label: str = "none") -> float | None:
        """Queries a second where the curve meets a recall; nothing where it never does."""
        return middle(run.rate(level, key, label) for run in self.runs)

    def cost(self, field: str) -> float | None:
        return middle(run.build.get(field) for run in self.runs)

    def best_recall(self, label: str = "none") -> float | None:
        return max((line["recall"] for run in self.runs for line in run.curves.get(label, [])), default=None)


def middle(figures: Iterable[float | None]) -> float | None:
    """The median of those that there are."""
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if known else None


def read(files: Iterable[Path]) -> list[System]:
    """All systems of some files, in the order of their first lines."""
    systems: dict[tuple[str, str], System] = {}
    for path in files:
        for number, text in enumerate(path.read_text().splitlines(), 1):
            try:
                line = json.loads(text)
                key = (line["data"], line["system"])
                systems.setdefault(key, System(*key, line["kind"])).take(line)
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}:{number}: {error!r}") from error
    return list(systems.values())


def at(level: float, points: list[Point]) -> float | None:
    """The rate at a recall: between the nearest points on either side that no other point beats in both, along a straight line of the
    rate's logarithm. Where all points find more, that of the fastest; where none finds as much, nothing."""
    best: list[Point] = []
    for recall, rate in sorted(points, reverse=True):
        if not best or rate > best[-1][1]:
            best.append((recall, rate))
    above = [point for point in best if point[0] >= level]
    below = [point for point in best if point[0] < level]
    if not above:
        return None
    if not below:
        return above[-1][1]
    (recall_above, rate_above), (recall_below, rate_below) = above[-1], below[0]
    share = (level - recall_below) / (recall_above - recall_below)
    return math.exp(math.log(rate_below) + share * (math.log(rate_above) - math.log(rate_below)))


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


Column = tuple[str, Callable[[System], float | None], bool]
"""A heading, what it shows, and whether more is better."""


def rates(key: str, label: str = "none", levels: Iterable[float] = LEVELS) -> list[Column]:
    return [(f"{level:.2f}", lambda system, level=level: system.rate(level, key, label), True) for level in levels]


def costs() -> list[Column]:
    fields = (("build s", "build_s"), ("build CPU s", "build_cpu_s"), ("RSS MB", "rss_mb"), ("peak MB", "rss_peak_mb"))
    return [(heading, lambda system, field=field: system.cost(field), False) for heading, field in fields]


def over_filters(show: Callable[[System, str], float | None]) -> Callable[[list[System]], list[Column]]:
    """A column for each filter of the systems, in the order in which they were measured."""

    def columns(systems: list[System]) -> list[Column]:
        labels = dict.fromkeys(label for system in systems for label in system.labels if label != "none")
        return [(label, lambda system, label=label: show(system, label), True) for label in labels]

    return columns


def grid(rows: Iterable[list[str]], heading: list[str]) -> list[str]:
    table = [heading, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    return [
        "|"
        + " |".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]


def section(title: str, systems: list[System], columns: list[Column], compared: bool = True) -> list[str]:
    """One table of figures, and where ours is among them one of ratios."""
    shown = [system for system in systems if any(show(system) is not None for _, show, _ in columns)]
    if not shown:
        return []
    headings = [heading for heading, _, _ in columns]
    figures = ([system.name, *(number(show(system)) for _, show, _ in columns)] for system in shown)
    text = [f"=== {title}", "", *grid(figures, ["system", *headings]), ""]
    ours = next((system for system in shown if system.name == OURS), None)
    peers = [system for system in shown if not system.name.startswith(OURS)]
    if ours is None or not peers or not compared:
        return text
    rows = [[peer.name, *(ratio(beside(column, ours, [peer])) for column in columns)] for peer in peers]
    for kind in dict.fromkeys(peer.kind for peer in peers):
        alike = [peer for peer in peers if peer.kind == kind]
        rows.append([f"best {kind}", *(ratio(beside(column, ours, alike)) for column in columns)])
    return [*text, f"{OURS} beside each, above 1 where {OURS} is better:", "", *grid(rows, ["peer", *headings]), ""]


def beside(column: Column, ours: System, peers: list[System]) -> float | None:
    """How much better ours is than the best of some peers: 2 is twice as fast, or half as large."""
    _, show, more_is_better = column
    own, theirs = show(ours), [figure for peer in peers if (figure := show(peer))]
    if not own or not theirs:
        return None
    return own / max(theirs) if more_is_better else min(theirs) / own


def render(systems: list[System]) -> str:
    """All tables of all data sets, as text that a terminal and AsciiDoc's listings show."""
    text: list[str] = []
    level = f"at recall@10 {FILTERED_LEVEL}"
    for data in dict.fromkeys(system.data for system in systems):
        here = [system for system in systems if system.data == data]
        text += [f"== {data}", ""]
        text += section("QPS at recall@10, one thread", here, rates("qps"))
        text += section("QPS at recall@10, two threads", here, rates("qps2"))
        text += section("QPS by processor time at recall@10, one thread", here, rates("cpu_qps"))
        text += section("Build with two threads, memory beyond the caller's own copy of the rows", here, costs())
        for title, key in (("one thread", "qps"), ("two threads", "qps2"), ("one thread by processor time", "cpu_qps")):
            shown = over_filters(lambda system, label, key=key: system.rate(FILTERED_LEVEL, key, label))
            text += section(f"Filters, QPS {level}, {title}", here, shown(here))
        best = over_filters(lambda system, label: system.best_recall(label))
        text += section("Filters, the best recall@10 of what was tried", here, best(here), compared=False)
        text += notes(here)
    return "\n".join(text)


def notes(systems: list[System]) -> list[str]:
    """What the tables do not have, and why."""
    text = [f"- {system.name} {trouble}" for system in systems for trouble in dict.fromkeys(system.troubles)]
    for system in systems:
        if system.runs and not system.troubles and system.labels == ["none"]:
            text.append(f"- {system.name}: measured without filters")
        best = system.best_recall()
        if best is not None and best < max(LEVELS):
            text.append(f"- {system.name}: found {best:.4f} at most of what was tried")
    return [*text, ""]
