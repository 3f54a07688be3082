"""What is stored here as a market to simulate: instruments become listings, their bars the prices of the past.

Instruments without an IB contract id get a number of their own from their name, the same at every start; it is written
nowhere. What the store has no bars of is priced by the seed.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from domain.adjustments import adjust
from domain.bars import Adjustment, BarSeries
from domain.costs import FREE, IB_FIXED, IB_FOREX, IB_FUTURES
from domain.errors import BadInput
from domain.instrument import InstrumentKind
from domain.timeframe import Timeframe
from gateway.contract import Contract
from gateway.simulator import folder
from gateway.simulator.listings import Universe, con_id_of, plain_stock, universe
from gateway.simulator.market import Market
from gateway.simulator.records import NAN, Listing
from gateway.simulator.server import date_of
from gateway.translate import SEC_TYPES
from marketdata import calendars, store
from marketdata.errors import StoreError
from marketdata.models import BarFile, Instrument, What
from marketdata.services import actions_of

log = logging.getLogger(__name__)

_COMMISSIONS = {
    InstrumentKind.STOCK: IB_FIXED,
    InstrumentKind.ETF: IB_FIXED,
    InstrumentKind.FOREX: IB_FOREX,
    InstrumentKind.FUTURE: IB_FUTURES,
    InstrumentKind.INDEX: FREE,
}
# A week says too little of its days.
_FRAMES = (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.D1)


def store_market(seed: int, start_ns: int) -> Market:
    """All active instruments with their stored bars, and the built-in contracts beside them; of each instrument the
    shortest bars count. Raises BadInput where no instrument has bars."""
    known = universe(date_of(start_ns))
    series: dict[Listing, BarSeries] = {}
    for instrument in Instrument.objects.active():
        bars = _bars(instrument)
        if bars is not None:
            series[listing_of(instrument, known)] = bars
    if not series:
        raise BadInput(
            "--prices store: no bars are held; import some with `manage.py import_bars` or `manage.py import_demo`, or "
            "take --prices walk"
        )
    return folder.series_market(series, seed, _without(known, series))


def folder_market(path: Path, seed: int, start_ns: int) -> Market:
    """The built-in contracts with the prices in a folder's files. Raises BadInput."""
    return folder.folder_market(path, seed, universe(date_of(start_ns)))


def listing_of(instrument: Instrument, known: Universe) -> Listing:
    """The built-in listing of the same name under the instrument's id, or one made from the row."""
    kind = InstrumentKind(instrument.kind)
    same = next((each for each in known.listings if _is_same(each, instrument, kind)), None)
    if same is None and kind in (InstrumentKind.STOCK, InstrumentKind.ETF) and instrument.calendar == "XNYS":
        same = plain_stock(instrument.symbol, instrument.primary or "NASDAQ", instrument.name)
    if same is not None:
        con_id = instrument.con_id or same.con_id
        return replace(same, contract=same.contract._replace(con_id=con_id))
    return _made(instrument, kind)


def _made(instrument: Instrument, kind: InstrumentKind) -> Listing:
    hours = calendars.sessions(instrument.calendar)
    sec_type = SEC_TYPES[kind]
    multiplier = float(instrument.multiplier)
    contract = Contract(
        con_id=instrument.con_id or con_id_of(f"{sec_type} {instrument.symbol} {instrument.exchange}"),
        symbol=instrument.symbol,
        sec_type=sec_type,
        multiplier=f"{multiplier:g}" if multiplier != 1 else "",
        exchange=instrument.exchange,
        primary_exchange=instrument.primary,
        currency=instrument.currency,
        local_symbol=instrument.symbol,
        trading_class=instrument.symbol,
    )
    return Listing(
        contract,
        instrument.name or instrument.symbol,
        "UTC",
        hours,
        hours,
        price_steps=((0.0, float(instrument.tick)),),
        size_step=float(instrument.lot),
        min_size=float(instrument.lot),
        valid_exchanges=instrument.exchange,
        stock_type="COMMON" if kind is InstrumentKind.STOCK else "ETF" if kind is InstrumentKind.ETF else "",
        commission=_COMMISSIONS[kind],
        initial_margin=NAN if instrument.margin is None else float(instrument.margin),
        head_ns=int(hours.open[0]),
    )


def _is_same(listing: Listing, instrument: Instrument, kind: InstrumentKind) -> bool:
    contract = listing.contract
    if contract.sec_type != SEC_TYPES[kind] or kind is InstrumentKind.FUTURE:
        return False
    if kind is InstrumentKind.FOREX:
        names = {contract.local_symbol, contract.local_symbol.replace(".", ""), contract.symbol}
        return instrument.symbol in names and instrument.currency == contract.currency
    return contract.symbol == instrument.symbol and contract.currency == instrument.currency


def _without(known: Universe, series: dict[Listing, BarSeries]) -> Universe:
    """The universe without what the store lists itself under another id: two of a name would be ambiguous."""
    taken = {(each.contract.symbol, each.contract.sec_type, each.contract.currency): each.con_id for each in series}
    kept = [
        listing
        for listing in known.listings
        if taken.get((listing.contract.symbol, listing.contract.sec_type, listing.contract.currency), listing.con_id)
        == listing.con_id
    ]
    return Universe(tuple(kept), {each.con_id: known.characters[each.con_id] for each in kept})


def _bars(instrument: Instrument) -> BarSeries | None:
    """The shortest bars held, adjusted for splits; None where there are none that can be read."""
    what = What.MIDPOINT if instrument.kind == InstrumentKind.FOREX else What.TRADES
    held = set(BarFile.objects.filter(instrument=instrument, what=what).values_list("timeframe", flat=True))
    for frame in _FRAMES:
        if frame not in held:
            continue
        try:
            bars = store.read_bars(instrument, frame, what=what)
        except (StoreError, BadInput) as error:
            log.warning("simulator: %s %s is left out: %s", instrument, frame, error)
            continue
        if bars.adjustment is not Adjustment.RAW:
            return bars
        actions = actions_of(instrument)
        if not actions:
            return bars
        days = calendars.sessions(instrument.calendar).trading_dates(bars.start)
        return adjust(bars, days, actions, Adjustment.SPLIT)
    return None


__all__ = ["folder_market", "listing_of", "store_market"]
