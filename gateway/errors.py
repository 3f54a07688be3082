"""The error root of the gateway, in families by what the caller must do."""

from __future__ import annotations


class GatewayError(Exception):
    """Root of every error that the connection raises.

    `code` is IB's where IB said it, else 0; `remedy` says what a person can do, empty where nothing need be done.
    """

    def __init__(self, words: str, *, code: int = 0, remedy: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.code = code
        self.remedy = remedy


class NotReady(GatewayError):
    """Wait: the connection is not ready for this; it works on it by itself. Nothing was sent."""


class TryLater(GatewayError):
    """Retry: this failed for a reason that passes (pacing, a farm that is down, a lost connection, no answer)."""


class NoAnswer(TryLater):
    """The answer did not come, or did not end, before the deadline."""


class ConnectionLost(TryLater):
    """The connection ended while the answer was awaited."""


class Throttled(TryLater):
    """The message was not sent, as more may not be sent this second, or one is waiting already."""


class Refused(GatewayError):
    """Reject: the same request will be refused again; change it or drop it."""


class OperatorNeeded(GatewayError):
    """Fatal: a person must change something (settings, gateway, account, subscription) before it can work."""


class BadFrame(GatewayError):
    """What came over the wire cannot be what IB means; ends the connection, which then synchronises anew."""
