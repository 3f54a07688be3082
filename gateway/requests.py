"""Requests for data: each a coroutine of the session's loop with a deadline, and a typed answer or an error."""

from __future__ import annotations

from typing import Any

from domain.bars import BarSeries
from domain.sessions import SessionTable
from gateway.answers import (
    ContractDetails,
    NewsArticle,
    NewsItem,
    NewsProvider,
    PriceStep,
    Schedule,
    SymbolMatch,
)
from gateway.contract import Contract
from gateway.data_messages import PROVIDERS, SCANNER_PARAMETERS, TIME, rule_kind
from gateway.errors import Refused, TryLater
from gateway.events import AccountValueReported, ScannerRow
from gateway.history import BAR_SIZES, EPOCH_SECONDS, HistoryRequest, ProvenEmpty, series_of
from gateway.pacer import Priority
from gateway.session import Session
from gateway.translate import clean, exchange_time_ns, ib_time


async def server_time(session: Session, seconds: float) -> int:
    """The gateway's clock, in whole seconds since 1970."""
    answer = await session.ask_kind(TIME, session.requests.reqCurrentTime, seconds, Priority.HEARTBEAT, whole=False)
    return int(answer)


async def history(
    session: Session, request: HistoryRequest, sessions: SessionTable | None, seconds: float
) -> BarSeries | ProvenEmpty:
    """Complete bars, or the proof that there are none; all else is an error."""
    request.check()
    contract = session.library.contract(request.contract)
    answer = await session.ask(
        lambda number: session.requests.reqHistoricalData(
            number,
            contract,
            request.end_text,
            request.duration,
            BAR_SIZES[request.timeframe],
            request.what,
            request.regular_hours,
            EPOCH_SECONDS,
            False,
            [],
        ),
        seconds,
        cancel=session.requests.cancelHistoricalData,
    )
    if isinstance(answer, ProvenEmpty):
        return answer
    if not len(answer):
        if any(farm.kind == "history" and farm.status == "broken" for farm in session.farms.values()):
            raise TryLater("no bars came, and IB's historical data farm is down")
        return ProvenEmpty("an answer without bars")
    return series_of(answer, request, sessions)


async def head_time_ns(session: Session, contract: Contract, what: str, regular_hours: bool, seconds: float) -> int:
    """When the instrument's history begins."""
    found = session.library.contract(contract)
    text = await session.ask(
        lambda number: session.requests.reqHeadTimeStamp(number, found, clean(what), regular_hours, EPOCH_SECONDS),
        seconds,
        cancel=session.requests.cancelHeadTimeStamp,
    )
    moment = None if isinstance(text, ProvenEmpty) else exchange_time_ns(text)
    if moment is None:
        raise Refused(f"no beginning of the history of {contract.symbol} was told: {text!r}")
    return moment


async def schedule(
    session: Session, contract: Contract, duration: str, end_ns: int | None, regular_hours: bool, seconds: float
) -> Schedule | ProvenEmpty:
    """The sessions of the last `duration` (`30 D`)."""
    found = session.library.contract(contract)
    end = "" if end_ns is None else ib_time(end_ns)
    answer = await session.ask(
        lambda number: session.requests.reqHistoricalData(
            number, found, end, clean(duration), "1 day", "SCHEDULE", regular_hours, 1, False, []
        ),
        seconds,
        cancel=session.requests.cancelHistoricalData,
    )
    if isinstance(answer, Schedule | ProvenEmpty):
        return answer
    raise TryLater("bars came where a schedule was asked for")


async def contract_details(session: Session, contract: Contract, seconds: float) -> tuple[ContractDetails, ...]:
    """All contracts that fit; Refused where none does."""
    found = session.library.contract(contract)
    return tuple(await session.ask(lambda number: session.requests.reqContractDetails(number, found), seconds))


async def qualify(session: Session, contract: Contract, seconds: float) -> ContractDetails:
    """The one contract that fits; Refused where none or several do, with their names."""
    found = await contract_details(session, contract, seconds)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"no contract fits {contract.symbol}", code=200)
    some = ", ".join(f"{one.contract.local_symbol} on {one.contract.exchange}" for one in found[:5])
    raise Refused(
        f"{len(found)} contracts fit {contract.symbol}: {some}{', …' if len(found) > 5 else ''}",
        code=200,
        remedy="name the exchange, the expiry or the contract id",
    )


async def matching_symbols(session: Session, pattern: str, seconds: float) -> tuple[SymbolMatch, ...]:
    text = clean(pattern, "a search pattern", 64)
    return tuple(await session.ask(lambda number: session.requests.reqMatchingSymbols(number, text), seconds))


async def market_rule(session: Session, rule: int, seconds: float) -> tuple[PriceStep, ...]:
    """Its steps. IB answers nothing for a rule that it does not know: NoAnswer."""
    steps: tuple[PriceStep, ...] = await session.ask_kind(
        rule_kind(rule), lambda: session.requests.reqMarketRule(rule), seconds, whole=False
    )
    return steps


async def account_summary(session: Session, tags: tuple[str, ...], seconds: float) -> tuple[AccountValueReported, ...]:
    text = clean(",".join(tags), "account tags", 2000)
    number = 0

    def send(request_id: int) -> None:
        nonlocal number
        number = request_id
        session.requests.reqAccountSummary(request_id, "All", text)

    try:
        rows = await session.ask(send, seconds)
    finally:
        if number and session.link.is_open:
            session.later(lambda: session.requests.cancelAccountSummary(number), Priority.REST)
    return tuple(rows)


async def news_providers(session: Session, seconds: float) -> tuple[NewsProvider, ...]:
    found: tuple[NewsProvider, ...] = await session.ask_kind(
        PROVIDERS, session.requests.reqNewsProviders, seconds, whole=False
    )
    return found


async def news_article(session: Session, provider: str, article_id: str, seconds: float) -> NewsArticle:
    names = clean(provider, "a news provider", 32), clean(article_id, "a news article", 128)
    found = await session.ask(lambda number: session.requests.reqNewsArticle(number, *names, []), seconds)
    if isinstance(found, NewsArticle):
        return found
    raise TryLater("the article did not come as one")


async def news_history(
    session: Session,
    con_id: int,
    providers: tuple[str, ...],
    start_ns: int | None,
    end_ns: int | None,
    limit: int,
    seconds: float,
) -> tuple[NewsItem, ...]:
    """Headlines, as IB orders them."""
    names = clean("+".join(providers), "news providers")
    start, end = ("" if moment is None else ib_time(moment).replace("-", " ") for moment in (start_ns, end_ns))
    rows = await session.ask(
        lambda number: session.requests.reqHistoricalNews(number, con_id, names, start, end, limit, []), seconds
    )
    return tuple(rows)


async def scanner_parameters(session: Session, seconds: float) -> str:
    """IB's XML of all scans and filters."""
    return str(await session.ask_kind(SCANNER_PARAMETERS, session.requests.reqScannerParameters, seconds, whole=False))


async def scan(
    session: Session, fields: dict[str, Any], filters: tuple[tuple[str, str], ...], seconds: float
) -> tuple[ScannerRow, ...]:
    """One answer of a scanner, which is then ended."""
    number = 0

    def send(request_id: int) -> None:
        nonlocal number
        number = request_id
        library = session.library
        session.requests.reqScannerSubscription(request_id, library.scanner(fields), [], library.tags(filters))

    try:
        rows = await session.ask(send, seconds)
    finally:
        if number and session.link.is_open:
            session.later(lambda: session.requests.cancelScannerSubscription(number))
    return () if isinstance(rows, ProvenEmpty) else tuple(rows)
