"""What a simulated gateway is like: its accounts, limits, permissions and manners. All but the first few can be changed
while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from domain.errors import BadInput, UnknownName

OLDEST_VERSION = 157
NEWEST_VERSION = 178
DEFAULT_ACCOUNTS = ("DU1000001",)
DELAYED_CODES = frozenset({10167, 10090, 10091})
"""Refusals of live data that are followed by data all the same."""


@dataclass(slots=True)
class Settings:
    """Limits are per client unless they say otherwise; 0 switches a limit off. `denied` maps a symbol to the code that
    answers a request for its market data (354, 10089, 10090, 10091, 10167, 10168, 10186, 10197)."""

    accounts: tuple[str, ...] = DEFAULT_ACCOUNTS
    cash: float = 1_000_000.0
    currency: str = "USD"
    seed: int = 1
    max_version: int = 176

    read_only: bool = False
    resend_orders: bool = True
    competing_session: bool = False
    farm_notices: bool = True
    delayed_only: set[str] = field(default_factory=set)
    denied: dict[str, int] = field(default_factory=dict)
    history_denied: set[str] = field(default_factory=set)

    message_rate: int = 50
    market_data_lines: int = 100
    clients: int = 32
    history_pacing: bool = True
    strict_history: bool = False
    sample_seconds: float = 0.25
    """How often, in real time, a changed quote is told."""
    restart_at: str = ""
    """HH:MM in New York: a restart of the gateway each day."""
    restart_seconds: float = 120.0

    handshake_seconds: float = 15.0
    output_limit: int = 64 * 1024 * 1024
    """Bytes that may wait for a client that does not read; beyond it the client is ended."""
    frame_limit: int = 1024 * 1024
    """The longest frame taken from a client."""

    def change(self, name: str, value: object) -> None:
        """Set one switch by name; UnknownName and BadInput say what could be set, and to what."""
        if name not in SWITCHES:
            raise UnknownName("setting", name, SWITCHES)
        kept = getattr(self, name)
        setattr(self, name, _converted(name, value, kept))


_FIXED = ("accounts", "cash", "currency", "seed", "max_version")
SWITCHES = tuple(each.name for each in fields(Settings) if each.name not in _FIXED)


def _converted(name: str, value: object, kept: object) -> object:
    if isinstance(kept, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(kept, int | float):
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return type(kept)(value)
    elif isinstance(kept, set):
        if isinstance(value, list | tuple | set) and all(isinstance(each, str) for each in value):
            return set(value)
    elif isinstance(kept, dict):
        if isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, int) for k, v in value.items()):
            return dict(value)
    elif isinstance(value, str):
        return value
    raise BadInput(f"{name} is {value!r}: expected what {kept!r} is")


__all__ = ["DEFAULT_ACCOUNTS", "DELAYED_CODES", "NEWEST_VERSION", "OLDEST_VERSION", "SWITCHES", "Settings"]
