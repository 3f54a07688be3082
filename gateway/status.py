"""ConnectionStatus: what a person, a page or a metric wants to know of a connection."""

from __future__ import annotations

from typing import NamedTuple

from gateway.events import Notice
from gateway.session import Farm
from gateway.settings import AccountKind
from gateway.states import State


class ConnectionStatus(NamedTuple):
    """Times are UTC nanoseconds of this machine, 0 for never; NaN where nothing was measured.

    `clock_skew_s` is the gateway's clock minus this machine's. `notices` are the last 50, oldest first; `reconnects`
    counts the sessions after the first; messages and bytes are those of all sessions.
    """

    state: State
    since_ns: int
    cause: str
    remedy: str
    is_fatal: bool
    """Whether a person must act before it can work."""
    host: str
    port: int
    client_id: int
    library: str
    library_version: str
    server_version: int
    account: str
    accounts: tuple[str, ...]
    kind: AccountKind
    session: int
    last_heartbeat_ns: int
    latency_ms: float
    clock_skew_s: float
    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int
    unreadable: int
    attempts: int
    reconnects: int
    subscriptions: int
    events_waiting: int
    events_dropped: int
    notices: tuple[Notice, ...]
    farms: tuple[Farm, ...]
