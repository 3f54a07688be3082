"""Pacing: how often a login may ask IB for history, and who is served first."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Priority(IntEnum):
    """Who gets the next slot where several want one; the smaller the sooner."""

    LIVE = 0
    SCAN = 1
    TAIL = 2
    BACKFILL = 3


class PacingProfile(StrEnum):
    """Which of IB's limits are kept. Bars of 30 seconds and less are strict in all but OFF, which is for a simulated
    gateway alone."""

    STRICT = "strict"
    RELAXED = "relaxed"
    OFF = "off"
