"""The error root of the domain, in families by what the caller must do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DomainError(Exception):
    """Root of every error that `domain` raises."""


class BadInput(DomainError, ValueError):
    """What was given cannot be right; the message says which thing and what to do. Never retried."""


class UnknownName(BadInput):
    """A name that is not among the known ones; the message suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif names:
            hint = "known: " + ", ".join(names)
        else:
            hint = f"no {kind} is known yet"
        super().__init__(f"unknown {kind} {name[:80]!r}; {hint}")
        self.kind = kind
        self.name = name
        self.known = names
