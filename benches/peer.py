"""What a system must offer to be measured. Knows no system and no clock."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset import Dataset, Filter

THREADS = 2
"""Threads that a build may use."""

Params = dict[str, int]


class Peer:
    """One system over one data set, in this process. The modules it needs are imported by `open`, so that one that is not installed
    is reported by name."""

    name: ClassVar[str]
    kind: ClassVar[str]
    breadths: ClassVar[list[Params]]
    """What is tried in turn, from few rows looked at to many; the first that finds 99.5 % is the last that is tried."""
    filter_breadths: ClassVar[list[Params]] = []
    """The same under a filter; empty where filters are not offered."""
    package: ClassVar[str]
    """The distribution whose version is reported."""

    def __init__(self, data: Dataset, folder: Path) -> None:
        self.data, self.folder = data, folder

    def open(self) -> None:
        """Imports what is needed."""
        raise NotImplementedError

    def build(self) -> None:
        """Takes all rows, and returns when all are indexed."""
        raise NotImplementedError

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        """One query on the calling thread. `allow` is what `allow` made."""
        raise NotImplementedError

    batch: Callable[..., Any] | None = None
    """As `search`, many queries in one call with so many threads (queries, k, params, threads, allow), where a library has that: it saves
    Python's share of each query."""

    def allow(self, allowed: Filter) -> Any:
        """A filter in the system's own form, made once before its queries."""
        return allowed

    def close(self) -> None:
        """Lets go of files."""


def ladder(name: str, *steps: int) -> list[Params]:
    """One parameter in steps."""
    return [{name: step} for step in steps]
