"""The progress bar of bulk writes, one line on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_WIDTH = 30


class Progress:
    """Shows how many of `total` records are written; shows nothing unless `shown`."""

    def __init__(self, total: int, shown: bool) -> None:
        self._total = total
        self._shown = shown
        self._done = 0
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._done:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def advance(self, count: int) -> None:
        """Counts `count` more records."""
        self._done += count
        if not self._shown:
            return
        seconds = time.monotonic() - self._start
        rate = self._done / seconds if seconds > 0 else 0.0
        bar = "#" * (_WIDTH * self._done // self._total)
        sys.stderr.write(f"\r[{bar:<{_WIDTH}}] {self._done:,}/{self._total:,} records, {rate:,.0f}/s")
        sys.stderr.flush()
