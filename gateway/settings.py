"""ConnectionSettings: which gateway, as whom, and how patiently."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import BadInput
from gateway.frames import FRAME_BYTES
from gateway.library import NAMES


class AccountKind(StrEnum):
    SIMULATED = "simulated"
    PAPER = "paper"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """One role's connection. BadInput where it cannot be.

    `account` may be left empty where the login has only one. A connection that is `read_only` asks for no orders, as a
    gateway with a read-only API does not answer that, and places none. A heartbeat is sent every `heartbeat_seconds`
    and answered within its deadline; so many misses in a row end the connection, so a stall is noticed after at most
    their sum (20 s as they are). A gateway that is gone is dialled at most once in `attempt_seconds`; the wait doubles
    up to what the kind of failure allows (5 s where nothing listens), never beyond `longest_wait_seconds`.
    `max_clock_skew_seconds` None: 5, or none where the account is simulated, as the simulator has a time of its own.
    IB takes 50 `messages_per_second`; a simulated gateway can be set to take more.
    `market_data_type`: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen.
    """

    host: str = "127.0.0.1"
    port: int = 4002
    client_id: int = 1
    kind: AccountKind = AccountKind.PAPER
    account: str = ""
    library: str = "ib_insync"
    read_only: bool = False
    connect_seconds: float = 5.0
    sync_seconds: float = 10.0
    heartbeat_seconds: float = 10.0
    heartbeat_deadline_seconds: float = 5.0
    heartbeat_misses: int = 2
    attempt_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    max_clock_skew_seconds: float | None = None
    messages_per_second: int = 45
    frame_bytes: int = FRAME_BYTES
    market_data_type: int = 1
    event_limit: int = 50_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _kind(self.kind))
        if not self.host or not self.host.isprintable():
            raise BadInput("the gateway's host is missing")
        for name, low, high in (
            ("port", 1, 65535),
            ("client_id", 0, 2**31 - 1),
            ("heartbeat_misses", 1, 100),
            ("messages_per_second", 10, 10_000 if self.kind is AccountKind.SIMULATED else 50),
            ("frame_bytes", 1024, FRAME_BYTES),
            ("market_data_type", 1, 4),
            ("event_limit", 1, 10_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInput(f"{name} must lie in {low} to {high}, not {value!r}")
        for name in (
            "connect_seconds",
            "sync_seconds",
            "heartbeat_seconds",
            "heartbeat_deadline_seconds",
            "attempt_seconds",
        ):
            if not 0 < getattr(self, name) <= 600:
                raise BadInput(f"{name} must be a positive number of seconds, at most 600")
        if not 1 <= self.longest_wait_seconds <= 600:
            raise BadInput("longest_wait_seconds must lie in 1 to 600")
        if self.library not in NAMES:
            raise BadInput(f"unknown IB library {self.library[:40]!r}; known: {', '.join(NAMES)}")

    @property
    def clock_limit(self) -> float:
        if self.max_clock_skew_seconds is not None:
            return self.max_clock_skew_seconds
        return math.inf if self.kind is AccountKind.SIMULATED else 5.0


def kind_of(account: str, account_type: str) -> AccountKind:
    """What an account is, by IB's rules: paper accounts' numbers begin with D; the simulator marks its own."""
    if account_type.upper() == "SIMULATED":
        return AccountKind.SIMULATED
    return AccountKind.PAPER if account.startswith("D") else AccountKind.LIVE


def _kind(kind: str) -> AccountKind:
    try:
        return AccountKind(kind)
    except ValueError as error:
        raise BadInput(f"unknown kind of account {kind!r}; known: {', '.join(AccountKind)}") from error
