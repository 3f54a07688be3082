"""Reads the fields of one request from the left to the right; what does not fit is BadRequest."""

from __future__ import annotations

import math
from typing import NamedTuple

from gateway.contract import Contract
from gateway.simulator import wire


class BadRequest(wire.WireError):
    """A request whose fields do not fit: too few, too many, or not what they should be.

    `req_id` is its request or order id, None where it has none or was not reached.
    """

    def __init__(self, request: str, req_id: int | None, why: str) -> None:
        super().__init__(f"{request}: {why}")
        self.request = request
        self.req_id = req_id
        self.why = why


class ComboLeg(NamedTuple):
    """A leg of a BAG, as a data request names it."""

    con_id: int
    ratio: int
    action: str
    exchange: str


class Cursor:
    """The place in a list of fields. A read raises BadRequest with the request's name and, once known, its id."""

    def __init__(self, request: str, fields: list[str], start: int = 0) -> None:
        self.request = request
        self.req_id: int | None = None
        self._fields = fields
        self._at = start

    @property
    def left(self) -> int:
        return len(self._fields) - self._at

    def bad(self, why: str) -> BadRequest:
        return BadRequest(self.request, self.req_id, why)

    def text(self) -> str:
        if self._at >= len(self._fields):
            raise self.bad(f"only {len(self._fields)} fields")
        self._at += 1
        return self._fields[self._at - 1]

    def skip(self, count: int = 1) -> None:
        for _ in range(count):
            self.text()

    def integer(self, unset: int = 0) -> int:
        try:
            return wire.integer(self.text(), unset)
        except wire.BadField as error:
            raise self.bad(f"field {self._at}: {error}") from error

    def set_integer(self) -> int:
        """A number of which 2147483647 too says that it is not given: 0."""
        try:
            return wire.set_integer(self.text())
        except wire.BadField as error:
            raise self.bad(f"field {self._at}: {error}") from error

    def identity(self) -> int:
        """The request's own id, from now on part of every complaint."""
        self.req_id = self.integer()
        return self.req_id

    def real(self, unset: float = math.nan) -> float:
        try:
            return wire.real(self.text(), unset)
        except wire.BadField as error:
            raise self.bad(f"field {self._at}: {error}") from error

    def flag(self) -> bool:
        try:
            return wire.flag(self.text())
        except wire.BadField as error:
            raise self.bad(f"field {self._at}: {error}") from error

    def count(self, fields_each: int = 1) -> int:
        """How many groups of fields follow; more than there are is an error, not a loop."""
        count = self.integer()
        if count < 0 or count * fields_each > self.left:
            raise self.bad(f"field {self._at}: {count} groups of {fields_each} announced, {self.left} fields left")
        return count

    def contract(self, *, primary_exchange: bool = True) -> Contract:
        """The twelve contract fields, or the eleven without the primary exchange. `?` and `0` as right are none."""
        return Contract(
            con_id=self.integer(),
            symbol=self.text(),
            sec_type=self.text(),
            expiry=self.text(),
            strike=self.real(0.0),
            right=self.right(),
            multiplier=self.text(),
            exchange=self.text(),
            primary_exchange=self.text() if primary_exchange else "",
            currency=self.text(),
            local_symbol=self.text(),
            trading_class=self.text(),
        )

    def right(self) -> str:
        right = self.text()
        return "" if right in ("?", "0") else right

    def legs(self, contract: Contract) -> tuple[ComboLeg, ...]:
        """The legs that follow where the contract is a BAG, and only there."""
        if contract.sec_type != "BAG":
            return ()
        return tuple(
            ComboLeg(self.integer(), self.integer(), self.text(), self.text()) for _ in range(self.count(fields_each=4))
        )

    def end(self) -> None:
        if self.left:
            raise self.bad(f"{self.left} fields too many")
