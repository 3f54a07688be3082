"""Contract: IB's description of an instrument, as it travels. Nothing beyond `gateway` sees one."""

from __future__ import annotations

from typing import NamedTuple


class Contract(NamedTuple):
    """The twelve fields that name an instrument in a request; empty or 0 is "any".

    `sec_type` is STK, CASH, FUT, IND …; `expiry` is YYYYMMDD or YYYYMM; `multiplier` is text, as IB sends it.
    """

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    expiry: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""
