"""News of instruments and of the gateway, and scanners."""

from __future__ import annotations

from gateway.simulator import messages, requests, scanner, wire_times
from gateway.simulator.history_request import Refusal
from gateway.simulator.news import PROVIDERS
from gateway.simulator.session import Session, answers

SCAN_SECONDS = 30
"""A scanner's list is told again after so long, exchange time, and not more often than once a second."""
_SCANS = 10
_INVALID_NEWS = "Error validating request.-'cG' : cause - "


@answers(requests.NewsProviders)
def news_providers(session: Session, request: requests.NewsProviders) -> None:
    session.send(messages.news_providers(session.version, PROVIDERS))


@answers(requests.NewsArticle)
def news_article(session: Session, request: requests.NewsArticle) -> None:
    simulator = session.simulator
    body = simulator.news.body(request.provider, request.article_id, simulator.now_ns())
    if body is None:
        session.error(request.req_id, 10172, "Failed to request news article: no such article")
        return
    session.send(messages.news_article(session.version, request.req_id, body))


@answers(requests.HistoricalNews)
def historical_news(session: Session, request: requests.HistoricalNews) -> None:
    simulator = session.simulator
    page = simulator.news.history(
        request.con_id, request.providers, request.start, request.end, request.limit, simulator.now_ns()
    )
    if page is None:
        session.error(request.req_id, 321, f"{_INVALID_NEWS}Invalid provider code or time")
        return
    for article in page.articles:
        when = wire_times.utc_news(article.time_ns)
        payload = messages.historical_news(
            session.version, request.req_id, when, article.provider, article.article_id, article.headline
        )
        session.send(payload)
    session.send(messages.historical_news_end(session.version, request.req_id, has_more=page.has_more))


# Bulletins


@answers(requests.NewsBulletins)
def news_bulletins(session: Session, request: requests.NewsBulletins) -> None:
    """Those to come, and with `all_messages` those of today."""
    session.subscriptions.bulletins = True
    if request.all_messages:
        for number, kind, text, exchange in session.simulator.bulletins:
            session.send(messages.news_bulletin(session.version, number, kind, text, exchange))


@answers(requests.CancelNewsBulletins)
def cancel_news_bulletins(session: Session, request: requests.CancelNewsBulletins) -> None:
    session.subscriptions.bulletins = False


# Scanners


class Scan:
    is_data = True

    def __init__(self, session: Session, request: requests.ScannerSubscription) -> None:
        self._session = session
        self._request = request
        self._next_ns = 0
        self._next_real = 0.0

    def advance(self, now_ns: int, real_seconds: float) -> None:
        if now_ns < self._next_ns or real_seconds < self._next_real:
            return
        self._next_ns, self._next_real = now_ns + SCAN_SECONDS * 1_000_000_000, real_seconds + 1
        session, simulator = self._session, self._session.simulator
        found = scanner.scan(simulator.market, simulator.characters, self._request, now_ns)
        if not isinstance(found, Refusal):
            rows = [messages.ScannerRow(row.listing.contract, row.distance) for row in found]
            session.send(messages.scanner_data(session.version, self._request.req_id, rows))


@answers(requests.ScannerParameters)
def scanner_parameters(session: Session, request: requests.ScannerParameters) -> None:
    session.send(messages.scanner_parameters(session.version, scanner.parameters()))


@answers(requests.ScannerSubscription)
def scanner_subscription(session: Session, request: requests.ScannerSubscription) -> None:
    simulator, request_id = session.simulator, request.req_id
    if session.subscriptions.get("scanner", request_id) is not None:
        session.error(request_id, 102, "Duplicate ticker ID.")
        return
    if len(session.subscriptions.of_kind("scanner")) >= _SCANS:
        session.error(request_id, 162, "Historical Market Data Service error message:Only 10 simultaneous API scanner")
        return
    now_ns = simulator.now_ns()
    found = scanner.scan(simulator.market, simulator.characters, request, now_ns)
    if isinstance(found, Refusal):
        session.error(request_id, *found)
        return
    stream = Scan(session, request)
    session.subscriptions.add("scanner", request_id, stream)
    stream.advance(now_ns, simulator.monotonic())


@answers(requests.CancelScannerSubscription)
def cancel_scanner_subscription(session: Session, request: requests.CancelScannerSubscription) -> None:
    if not session.subscriptions.remove("scanner", request.req_id):
        session.error(request.req_id, 300, f"Can't find EId with tickerId:{request.req_id}")


__all__ = ["Scan"]
