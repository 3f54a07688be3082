"""Verbs of the exchange: how orders fill, are refused and corrected, and what people do without this client."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.simulator.policy import FillPolicy, RejectRule
from gateway.simulator.faults import FOREVER, verb

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator


@verb
def fill(
    simulator: Simulator,
    when: str = "touch",
    delay_seconds: float = 0.0,
    slippage_bps: float = 0.0,
    part_size: float = 0.0,
    fractions: list[float] | None = None,
    volume_cap: float = 0.0,
) -> None:
    """How orders fill from now on: `touch` (as soon as the price allows), `next` or `never`; after a delay, in parts of
    a size or in fractions in turn, at most a fraction of what is traded in their second."""
    simulator.exchange.policy = replace(
        simulator.exchange.policy,
        fill=when,
        delay_seconds=delay_seconds,
        slippage_bps=slippage_bps,
        part_size=part_size,
        fractions=tuple(float(each) for each in fractions or ()),
        volume_cap=volume_cap,
    )
