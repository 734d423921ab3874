"""Drives the async client with the calls of the sync one, so that one test says what both must do."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from proximadb import AsyncProximaDBClient


class Blocking:
    """An async client, each of whose methods is run to its end in an event loop of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loop = asyncio.new_event_loop()
        # Made outside the loop, as a module-level client would be.
        self._client = AsyncProximaDBClient(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if inspect.isasyncgenfunction(value):
            return lambda *a, **k: self._pages(value(*a, **k))
        if inspect.iscoroutinefunction(value):
            return lambda *a, **k: self._loop.run_until_complete(value(*a, **k))
        return value

    def _pages(self, pages: Any) -> Any:
        while True:
            try:
                yield self._loop.run_until_complete(anext(pages))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
