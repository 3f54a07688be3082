"""What one client has asked to be told of, as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.simulator.session import Session


class Stream(Protocol):
    """`is_data` streams are lost when connectivity comes back without them (1101), and stand still while it is away."""

    @property
    def is_data(self) -> bool: ...

    def advance(self, now_ns: int, real_seconds: float) -> None:
        """Tell what is due by now."""


class Subscriptions:
    """Streams by (kind, request id), and the few subscriptions that a client has at most once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._streams: dict[tuple[str, int], Stream] = {}
        self.positions = False
        self.bulletins = False
        self.auto_open_orders = False

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, kind: str, request_id: int, stream: Stream) -> None:
        self._streams[kind, request_id] = stream

    def get(self, kind: str, request_id: int) -> Stream | None:
        return self._streams.get((kind, request_id))

    def remove(self, kind: str, request_id: int) -> bool:
        return self._streams.pop((kind, request_id), None) is not None

    def of_kind(self, kind: str) -> list[Stream]:
        return [stream for (each, _), stream in self._streams.items() if each == kind]

    def ids(self, kind: str) -> list[int]:
        return [request_id for each, request_id in self._streams if each == kind]

    def names(self) -> list[str]:
        return [f"{kind} {request_id}" for kind, request_id in self._streams]

    def advance(self, now_ns: int, real_seconds: float, *, data_flows: bool) -> None:
        for stream in list(self._streams.values()):
            if data_flows or not stream.is_data:
                stream.advance(now_ns, real_seconds)

    def drop_data(self) -> None:
        self._streams = {key: stream for key, stream in self._streams.items() if not stream.is_data}

    def clear(self) -> None:
        self._streams.clear()
        self.positions = self.bulletins = self.auto_open_orders = False


__all__ = ["Stream", "Subscriptions"]
