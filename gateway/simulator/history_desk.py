"""History: bars once or kept up to date, head time stamps, schedules and ticks."""

from __future__ import annotations

from domain.timeframe import DAY_NS, SECOND_NS
from gateway.simulator import history, messages, requests, wire_times
from gateway.simulator.cutting import NO_BARS, Bars
from gateway.simulator.history import HistoryAnswer, bar_dates
from gateway.simulator.history_request import (
    Refusal,
    Wish,
    cancelled,
    no_permission,
    pacing_violation,
    service_error,
    unknown_query,
)
from gateway.simulator.reference_desk import the_listing
from gateway.simulator.service_faults import finds_no_data
from gateway.simulator.session import Session, answers

UPDATE_SECONDS = 1.0
"""A forming bar is told again after so long, real time; at once where the bar before it has ended."""
_CHECK_NS = 5_000_000_000

# Bars


@answers(requests.HistoricalData)
def historical_data(session: Session, request: requests.HistoricalData) -> None:
    simulator, request_id = session.simulator, request.req_id
    if session.subscriptions.get("history", request_id) is not None:
        session.error(request_id, 322, "Error processing request.-'bH' : cause - Duplicate ticker id")
        return
    refusal = _refusal(session, request)
    if refusal is None and simulator.settings.history_pacing and not simulator.pacing.admit(session.number, request):
        refusal = pacing_violation()
    if refusal is not None:
        session.error(request_id, *refusal)
        return
    now_ns = simulator.now_ns()
    answer = history.serve(simulator.market, request, now_ns, strict=simulator.settings.strict_history)
    if answer.warning is not None:
        session.error(request_id, *answer.warning)
    if answer.schedule is not None:
        session.send(messages.historical_schedule(session.version, request_id, *answer.schedule))
        return
    wish = answer.wish
    keeps = request.keep_up_to_date and wish is not None
    if not keeps:
        simulator.pacing.close(session.number, request_id)
    if answer.refusal is not None and not keeps:
        session.error(request_id, *answer.refusal)
        return
    if wish is None:
        return
    _send_bars(session, request, answer, wish)
    if keeps:
        session.subscriptions.add("history", request_id, KeptBars(session, request, wish, answer.bars))


def _send_bars(session: Session, request: requests.HistoricalData, answer: HistoryAnswer, wish: Wish) -> None:
    zone = wish.listing.zone
    start, end = wire_times.zoned(wish.start_ns, zone), wire_times.zoned(wish.end_ns, zone)
    columns = answer.bars if answer.bars is not None else NO_BARS
    body = messages.history_body(
        session.version,
        start,
        end,
        answer.dates(request.date_format),
        columns.open,
        columns.high,
        columns.low,
        columns.close,
        columns.volume,
        columns.average,
        columns.trades,
    )
    session.send(messages.historical_data(session.version, request.req_id, body))


def _refusal(session: Session, request: requests.HistoricalData) -> Refusal | None:
    """What a fault, a permission or the pacing answers in place of history."""
    simulator = session.simulator
    faults, settings = simulator.faults, simulator.settings
    if faults.paced_requests > 0:
        faults.paced_requests -= 1
        return pacing_violation()
    if settings.competing_session:
        return service_error("Trading TWS session is connected from a different IP address")
    if "history" in faults.broken_farms or not faults.connected_to_ib:
        return service_error("HMDS server disconnect occurred.  Attempting reconnection...")
    found = simulator.market.listed(request.contract, simulator.now_ns(), expired=request.include_expired)
    symbol = found[0].contract.symbol if found else request.contract.symbol
    if found and symbol in settings.history_denied:
        return no_permission(found[0])
    if finds_no_data(simulator, symbol):
        venue = request.contract.exchange
        return service_error(f"HMDS query returned no data: {symbol}@{venue} {request.what.capitalize()}")
    return None


class KeptBars:
    """The bars after those of the answer, the forming one again and again. Where many pass between two looks, as at
    high speed, each is told once it is whole."""

    is_data = True

    def __init__(self, session: Session, request: requests.HistoricalData, wish: Wish, bars: Bars | None) -> None:
        self._session = session
        self._request = request
        self._wish = wish
        self._next_real = session.simulator.monotonic() + UPDATE_SECONDS
        self._from_ns = int(bars.start[-1]) if bars is not None and len(bars) else session.simulator.now_ns()
        self._look_ns = _bucket_end(wish, self._from_ns)
        self._told: tuple[object, ...] = ()

    def advance(self, now_ns: int, real_seconds: float) -> None:
        if (real_seconds < self._next_real and now_ns < self._look_ns) or self._is_dark():
            return
        self._next_real = real_seconds + UPDATE_SECONDS
        self._look_ns = now_ns + (_CHECK_NS if self._wish.size.is_intraday else DAY_NS)
        wish = self._wish
        if now_ns <= self._from_ns:
            return
        bars = history.bars_between(
            self._session.simulator.market,
            wish.listing,
            wish.size,
            wish.what,
            wish.use_rth,
            self._from_ns,
            now_ns,
            now_ns,
        )
        if not len(bars):
            return
        dates = bar_dates(bars, wish.size, wish.listing, self._request.date_format)
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.average, bars.trades)
        for row in zip(dates, *(column.tolist() for column in columns), strict=True):
            if row != self._told:
                self._told = row
                date, open_, high, low, close, volume, average, trades = row
                self._session.send(
                    messages.historical_data_update(
                        *(self._session.version, self._request.req_id, date),
                        *(open_, high, low, close, volume, average),
                        int(trades),
                    )
                )
        self._from_ns = int(bars.start[-1])
        self._look_ns = max(now_ns + 1, _bucket_end(wish, self._from_ns))

    def _is_dark(self) -> bool:
        return "history" in self._session.simulator.faults.broken_farms


def _bucket_end(wish: Wish, start_ns: int) -> int:
    """Where the bar that starts there ends at the latest; of days and longer nobody waits for it."""
    if not wish.size.is_intraday:
        return start_ns + DAY_NS
    step = wish.size.seconds * SECOND_NS
    return (start_ns // step + 1) * step


@answers(requests.CancelHistoricalData)
def cancel_historical_data(session: Session, request: requests.CancelHistoricalData) -> None:
    known = session.subscriptions.remove("history", request.req_id)
    session.simulator.pacing.close(session.number, request.req_id)
    session.error(request.req_id, *(cancelled if known else unknown_query)(request.req_id))


# Head time stamps and ticks


@answers(requests.HeadTimestamp)
def head_timestamp(session: Session, request: requests.HeadTimestamp) -> None:
    if the_listing(session, request.req_id, request.contract) is None:
        return
    answer = history.head_timestamp(session.simulator.market, request, session.simulator.now_ns())
    if isinstance(answer, Refusal):
        session.error(request.req_id, *answer)
        return
    session.send(messages.head_timestamp(session.version, request.req_id, answer))


@answers(requests.CancelHeadTimestamp)
def cancel_head_timestamp(session: Session, request: requests.CancelHeadTimestamp) -> None:
    """It was answered at once."""


@answers(requests.HistoricalTicks)
def historical_ticks(session: Session, request: requests.HistoricalTicks) -> None:
    simulator = session.simulator
    answer = history.historical_ticks(simulator.market, request, simulator.now_ns())
    if isinstance(answer, Refusal):
        session.error(request.req_id, *answer)
        return
    version, request_id = session.version, request.req_id
    if answer.what == "BID_ASK":
        quotes = [(int(when), bid, ask, low, high) for when, bid, ask, low, high in answer.rows]
        session.send(messages.historical_ticks_bid_ask(version, request_id, quotes))
    elif answer.what == "MIDPOINT":
        middles = [(int(when), price, size) for when, price, size in answer.rows]
        session.send(messages.historical_ticks(version, request_id, middles))
    else:
        listing = the_listing(session, request_id, request.contract)
        venue = listing.contract.primary_exchange or listing.contract.exchange if listing is not None else ""
        trades = [(int(when), price, size, venue) for when, price, size in answer.rows]
        session.send(messages.historical_ticks_last(version, request_id, trades))


__all__ = ["KeptBars"]
