"""How a fault names a request: as the class here (`HistoricalData`) or as clients do (`reqHistoricalData`)."""

from __future__ import annotations

from domain.errors import UnknownName
from gateway.simulator import requests

REQUEST_NAMES = {row.request.__name__.lower(): row.request.__name__ for row in requests.TABLE.values()}


def request_name(given: str) -> str:
    """The class's name; UnknownName with the nearest one."""
    plain = given.lower().removeprefix("req")
    if plain not in REQUEST_NAMES:
        raise UnknownName("request", given, REQUEST_NAMES.values())
    return REQUEST_NAMES[plain]


__all__ = ["REQUEST_NAMES", "request_name"]
