"""News: headlines about listings, most of them on the days on which much happened; the same ones for ever."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

import numpy as np

from domain.adjustments import split_factors
from domain.timeframe import SECOND_NS
from gateway.simulator.market import Market
from gateway.simulator.records import Listing

PROVIDERS = (
    ("BRFG", "Briefing.com General Market Columns"),
    ("BRFUPDN", "Briefing.com Analyst Actions"),
    ("DJNL", "Dow Jones Newsletters"),
)
_CODES = tuple(code for code, _ in PROVIDERS)
# A day is worth a headline when its move is one of the largest: of so many days the first.
_LARGE_OF_DAYS, _QUIET_SHARE = 12, 0.02
_MOST = 300
_UP = ("shares climb on strong demand", "raises its outlook", "beats estimates", "wins a large order")
_DOWN = ("shares slide on weak demand", "cuts its outlook", "misses estimates", "loses a large order")
_QUIET = (
    "to present at an industry conference",
    "names a new director",
    "opens an office",
    "announces a dividend date",
)
_RATING = ("upgraded to buy", "downgraded to hold", "reiterated at neutral")


class Article(NamedTuple):
    """`article_id` is the provider's code, a dollar sign and eight hexadecimal digits."""

    time_ns: int
    provider: str
    article_id: str
    headline: str
    con_id: int


class NewsPage(NamedTuple):
    """Newest first; `has_more` says that older ones were left out."""

    articles: tuple[Article, ...]
    has_more: bool


class News:
    """All news of a market, computed for each listing when first asked for."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._articles: dict[int, tuple[Article, ...]] = {}

    def between(self, con_id: int, after_ns: int, until_ns: int) -> list[Article]:
        """Those of (after, until], oldest first."""
        return [article for article in self.of(con_id) if after_ns < article.time_ns <= until_ns]

    def of(self, con_id: int) -> tuple[Article, ...]:
        """All of a listing, oldest first; none of a contract that is not listed."""
        if con_id not in self._articles:
            listing = self._market.by_con_id(con_id)
            self._articles[con_id] = () if listing is None else self._written(listing)
        return self._articles[con_id]

    def history(self, con_id: int, providers: str, start: str, end: str, limit: int, now_ns: int) -> NewsPage | None:
        """The newest `limit` (at most 300) in [start, end) of some providers, `+`-joined; an empty time is open.

        None where a time cannot be read or a provider is not known.
        """
        wanted = providers.split("+") if providers else list(_CODES)
        begins, ends = read_time(start, 0), read_time(end, now_ns + 1)
        if begins is None or ends is None or not set(wanted) <= set(_CODES):
            return None
        ends = min(ends, now_ns + 1)
        found = [
            article
            for article in reversed(self.of(con_id))
            if begins <= article.time_ns < ends and article.provider in wanted
        ]
        most = min(max(limit, 0), _MOST) or _MOST
        return NewsPage(tuple(found[:most]), len(found) > most)

    def body(self, provider: str, article_id: str, now_ns: int) -> str | None:
        """The text of an article, HTML for the newsletters; None where there is none of that id yet (10172)."""
        # Whoever asks has seen the headline, so it is most likely written already.
        for listing in sorted(self._market.listings(), key=lambda each: each.con_id not in self._articles):
            for article in self.of(listing.con_id):
                if (article.provider, article.article_id) == (provider, article_id) and article.time_ns <= now_ns:
                    return _body(article, listing)
        return None

    def _written(self, listing: Listing) -> tuple[Article, ...]:
        if listing.contract.sec_type != "STK":
            return ()
        spans = self._market.tape.spans(listing)
        regular = np.flatnonzero(spans.regular)
        if len(regular) < 2:
            return ()
        days = spans.day[regular]
        splits = split_factors(days, self._market.splits(listing.con_id))
        move = np.diff(np.log(spans.close[regular] * splits))
        rng = np.random.default_rng([self._market.seed & (1 << 63) - 1, listing.con_id, zlib.crc32(b"news")])
        chance, where, which = rng.random((3, len(move)))
        large = np.abs(move) >= np.quantile(np.abs(move), 1 - 1 / _LARGE_OF_DAYS)
        articles = []
        for day in np.flatnonzero(large | (chance < _QUIET_SHARE)).tolist():
            row = int(regular[day + 1])
            # Large moves are known in the first hours, the rest at any time of the day.
            share = where[day] * (0.3 if large[day] else 1.0)
            second = int((spans.end[row] - spans.start[row]) // SECOND_NS * share)
            time_ns = int(spans.start[row]) + second * SECOND_NS
            articles.append(_article(listing, time_ns, float(move[day]) if large[day] else 0.0, float(which[day])))
        return tuple(articles)


def _article(listing: Listing, time_ns: int, move: float, which: float) -> Article:
    provider = _CODES[int(which * 997) % len(_CODES)]
    lines: tuple[str, ...] = _QUIET if move == 0 else _UP if move > 0 else _DOWN
    if provider == "BRFUPDN":
        lines = _RATING
    line = lines[int(which * len(lines))]
    change = f" ({move:+.1%})" if move else ""
    number = zlib.crc32(f"{listing.con_id} {time_ns} {provider}".encode())
    headline = f"{listing.long_name.title()} {line}{change}"
    return Article(time_ns, provider, f"{provider}${number:08x}", headline, listing.con_id)


def _body(article: Article, listing: Listing) -> str:
    when = f"{datetime.fromtimestamp(article.time_ns // SECOND_NS, UTC):%d %B %Y, %H:%M} UTC"
    text = f"{article.headline}. {listing.contract.symbol} trades at {listing.contract.primary_exchange}."
    note = "This is a simulated article about a simulated market."
    if article.provider == "DJNL":
        parts = f"<h1>{escape(article.headline)}</h1><p>{when}</p><p>{escape(text)}</p><p>{note}</p>"
        return f"<html><body>{parts}</body></html>"
    return f"{when}\n\n{text}\n\n{note}"


def read_time(text: str, default_ns: int) -> int | None:
    """Nanoseconds of `yyyy-mm-dd hh:mm:ss` in UTC, with or without tenths; None where it cannot be read."""
    text = text.strip()
    if not text:
        return default_ns
    for layout in ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"):
        try:
            moment = datetime.strptime(text, layout).replace(tzinfo=UTC)
        except ValueError:
            continue
        return int(moment.timestamp()) * SECOND_NS
    return None
