"""State."""

from __future__ import annotations


class State:
    def close(self) -> None: ...
