"""How the exchange treats orders beyond the rules of matching: what is late, partial, doubled or refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from domain.errors import BadInput
from gateway.simulator.records import Listing, WireOrder

INF = math.inf
FILLS = ("touch", "next", "never")


@dataclass(frozen=True, slots=True)
class FillPolicy:
    """`fill`: "touch" fills as soon as the price allows, "next" from the piece of the path after that one on, "never"
    not at all. `delay_seconds` is what an order needs to reach the market. One execution takes at most `part_size`
    units, or a `volume_cap` fraction of what its second trades; `fractions` are the parts of an order in turn, the last
    of which takes the rest. 0 and () are "no limit".

    Commissions come `commission_delay_seconds` after their execution, infinity is never. `status_first` tells of a fill
    before its execution; `statuses_told` and `executions_told` say how often. With `tif_preset` a DAY order is
    told that a preset made it one (10349); with `locate_seconds` a short sale waits so long for its shares (404).
    """

    fill: str = "touch"
    delay_seconds: float = 0.0
    slippage_bps: float = 0.0
    part_size: float = 0.0
    fractions: tuple[float, ...] = ()
    volume_cap: float = 0.0
    commission_delay_seconds: float = 0.0
    status_first: bool = False
    statuses_told: int = 1
    executions_told: int = 1
    cancel_delay_seconds: float = 0.0
    tells_pending_cancel: bool = False
    tells_inactive: bool = False
    tif_preset: bool = False
    locate_seconds: float = 0.0
    denied_types: tuple[str, ...] = ()
    """Security types for which the account has no permission (460)."""

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise BadInput(f"policy: fill is one of {', '.join(FILLS)}, not {self.fill!r}")
        for name in ("delay_seconds", "slippage_bps", "part_size", "volume_cap", "cancel_delay_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(f"policy: {name} must be a number >= 0, not {value!r}")
        for name in ("commission_delay_seconds", "locate_seconds"):
            if not getattr(self, name) >= 0:
                raise BadInput(f"policy: {name} must be a number >= 0, not {getattr(self, name)!r}")
        if self.statuses_told < 0 or self.executions_told < 1:
            raise BadInput("policy: statuses_told must be >= 0 and executions_told >= 1")
        if any(not 0 < part <= 1 for part in self.fractions):
            raise BadInput(f"policy: fractions lie in (0, 1], not {self.fractions!r}")


@dataclass(slots=True)
class RejectRule:
    """Refuse the next `times` orders that match; empty matches all."""

    code: int = 201
    text: str = "Order rejected - reason:Rejected by rule"
    symbol: str = ""
    action: str = ""
    order_type: str = ""
    account: str = ""
    times: int = 1

    def matches(self, order: WireOrder, listing: Listing) -> bool:
        pairs = (
            (self.symbol, listing.contract.symbol),
            (self.action, order.action),
            (self.order_type, order.order_type),
            (self.account, order.account),
        )
        return self.times > 0 and all(not wanted or wanted == given for wanted, given in pairs)


__all__ = ["FILLS", "FillPolicy", "RejectRule"]
