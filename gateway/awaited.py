"""Requests under way: one future each, and the rows that came so far."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from gateway.errors import GatewayError


class Awaited:
    """The requests of one session, by request number or, where IB gives none, by their kind. Belongs to one loop."""

    def __init__(self) -> None:
        self._futures: dict[Hashable, asyncio.Future[Any]] = {}
        self._rows: dict[Hashable, list[Any]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._futures

    def __len__(self) -> int:
        return len(self._futures)

    def open(self, key: Hashable) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._futures[key] = future
        self._rows[key] = []
        return future

    def add(self, key: Hashable, row: Any) -> None:
        """A row of an answer; one that nobody waits for any more is dropped."""
        rows = self._rows.get(key)
        if rows is not None:
            rows.append(row)

    def end(self, key: Hashable, answer: Any = None) -> None:
        """The answer is complete: `answer`, or the rows."""
        future = self._futures.get(key)
        if future is not None and not future.done():
            future.set_result(self._rows[key] if answer is None else answer)

    def fail(self, key: Hashable, error: GatewayError) -> None:
        future = self._futures.get(key)
        if future is not None and not future.done():
            future.set_exception(error)

    def drop(self, key: Hashable) -> None:
        future = self._futures.pop(key, None)
        self._rows.pop(key, None)
        if future is not None and future.done() and not future.cancelled():
            future.exception()  # seen: nobody waits for it any more

    def close(self, error: GatewayError) -> None:
        for key in list(self._futures):
            self.fail(key, error)
