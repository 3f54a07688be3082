"""The states of a connection and what moves it from one to another: one table."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    DOWN = "down"
    """No connection; the next attempt is waited for."""
    CONNECTING = "connecting"
    SYNCING = "syncing"
    """Connected; positions, orders and executions are being asked for."""
    READY = "ready"
    DEGRADED = "degraded"
    """The gateway answers, but it is cut off from IB or its clock is wrong: no new orders."""
    STALE = "stale"
    """A heartbeat was not answered: no new orders."""


class Signal(StrEnum):
    DIAL = "dial"
    GREETED = "greeted"
    SYNCED = "synced"
    SYNCED_IMPAIRED = "synced impaired"
    """Synchronised, but cut off from IB or with a wrong clock."""
    IMPAIRED = "impaired"
    RESTORED = "restored"
    SILENT = "silent"
    ANSWERED = "answered"
    ENDED = "ended"


_EVERYWHERE = {(state, Signal.ENDED): State.DOWN for state in State}

TRANSITIONS: dict[tuple[State, Signal], State] = {
    **_EVERYWHERE,
    (State.DOWN, Signal.DIAL): State.CONNECTING,
    (State.CONNECTING, Signal.GREETED): State.SYNCING,
    (State.SYNCING, Signal.SYNCED): State.READY,
    (State.SYNCING, Signal.SYNCED_IMPAIRED): State.DEGRADED,
    (State.SYNCING, Signal.SILENT): State.STALE,
    # What was told while cut off or silent may be incomplete, so the way back to READY leads through SYNCING.
    (State.READY, Signal.IMPAIRED): State.DEGRADED,
    (State.READY, Signal.RESTORED): State.SYNCING,
    (State.READY, Signal.SILENT): State.STALE,
    (State.DEGRADED, Signal.RESTORED): State.SYNCING,
    (State.DEGRADED, Signal.SILENT): State.STALE,
    (State.STALE, Signal.ANSWERED): State.SYNCING,
}


def after(state: State, signal: Signal) -> State:
    """The next state; a signal that means nothing in a state leaves it."""
    return TRANSITIONS.get((state, signal), state)
