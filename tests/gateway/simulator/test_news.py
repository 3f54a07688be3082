"""News: the same headlines for whoever asks, never from the future, near the days on which much happened."""

import itertools

import numpy as np

from gateway.simulator.news import PROVIDERS, News
from tests.gateway.simulator.marketplace import market, ns, the

NOW = ns("2026-11-25T17:00")
ALL = "+".join(code for code, _ in PROVIDERS)


def test_most_headlines_are_of_days_with_large_moves():
    listing = the("AAPL")
    spans = market().tape.spans(listing)
    news = News(market()).of(listing.con_id)
    assert len(news) > 300
    days = {int(spans.day[spans.before(article.time_ns)]) for article in news if "%" in article.headline}
    regular = np.flatnonzero(spans.regular)
    moves = dict(
        zip(spans.day[regular][1:].tolist(), np.abs(np.diff(np.log(spans.close[regular]))).tolist(), strict=True)
    )
    assert np.mean([moves[day] for day in days]) > 2 * np.mean(list(moves.values()))
    assert len({article.article_id for article in news}) == len(news)


def test_history_comes_newest_first_in_pages():
    news = News(market())
    con_id = the("AAPL").con_id
    page = news.history(con_id, ALL, "", "", 5, NOW)
    times = [article.time_ns for article in page.articles]
    assert times == sorted(times, reverse=True) and len(times) == 5 and times[0] <= NOW
    assert page.has_more
    older = news.history(con_id, ALL, "", "2005-06-01 00:00:00.0", 300, NOW)
    assert not older.has_more
    assert all(article.time_ns < ns("2005-06-01") for article in older.articles)
    one = news.history(con_id, "BRFG", "2020-01-01 00:00:00", "", 300, NOW)
    assert {article.provider for article in one.articles} == {"BRFG"}


def test_what_cannot_be_read_is_none():
    news = News(market())
    assert news.history(1, "NOBODY", "", "", 5, NOW) is None
    assert news.history(1, ALL, "yesterday", "", 5, NOW) is None
    assert news.history(1, ALL, "", "", 5, NOW).articles == ()


def test_an_article_has_a_body_once_it_is_out():
    news = News(market())
    articles = news.history(the("AAPL").con_id, ALL, "", "", 300, NOW).articles
    for provider, is_html in (("BRFG", False), ("DJNL", True)):
        article = next(each for each in articles if each.provider == provider)
        body = news.body(provider, article.article_id, NOW)
        assert "simulated" in body
        assert body.startswith("<html>") == is_html
        assert news.body(provider, article.article_id, article.time_ns - 1) is None
    assert news.body("BRFG", "BRFG$0", NOW) is None


def test_ticks_get_each_headline_once():
    news = News(market())
    con_id = the("TSLA").con_id
    edges = [ns("2026-01-01") + n * 86_400 * 10**9 for n in range(300)]
    pieces = [each for a, b in itertools.pairwise(edges) for each in news.between(con_id, a, b)]
    assert pieces == news.between(con_id, edges[0], edges[-1])
    assert pieces == News(market()).between(con_id, edges[0], edges[-1])
