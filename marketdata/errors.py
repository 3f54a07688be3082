"""Errors of the bar store, in families by what the caller must do. Bad input is `domain.errors.BadInput`."""

from domain.errors import BadInput


class NoBarsInRange(BadInput):
    """Nothing is held between two times; `held` says what is, as text."""

    def __init__(self, message: str, held: str) -> None:
        super().__init__(f"{message}; held: {held}")
        self.held = held


class StoreError(Exception):
    """Root of the store's own errors; the message says what to do."""


class CorruptBarFile(StoreError):
    """A bar file is damaged or gone. It is out of service until its bars are imported or fetched again."""


class StoreUnavailable(StoreError):
    """Nothing could be read or written at BARS_URL; what is held is unchanged."""


class ActionsUnavailable(Exception):
    """A source of corporate actions on the internet did not answer, or not as it did; it may work later."""
