"""Charts and the pages of backtests in a real Chromium."""

from __future__ import annotations

import datetime as dt

import pytest

from execution.models import Account, Fill
from marketdata.models import Instrument
from reports import services
from strategies.backtests import plan_backtest, run_backtest, run_directory
from strategies.config import parse_config
from strategies.models import Backtest
from tests.browser.conftest import DESKTOP, PHONE, overflowing, picture
from tests.reports import desk
from tests.strategies import make
from tests.strategies.conftest import known, places  # noqa: F401
from tradingsite import runs

ASKED = {"symbols": ["ABC", "XYZ"], "strategy": {"name": "ma_crossover", "params": {"fast": 5, "slow": 12}}}
LOOKS = {
    "light": (DESKTOP, "light"),
    "dark": (DESKTOP, "dark"),
    "phone": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}


@pytest.fixture
def market(trader, places, known, monkeypatch):  # noqa: F811
    """Two instruments with bars, fills and two runs; nobody is told of new work."""
    monkeypatch.setattr(runs, "send", lambda run: True)
    abc = make.instrument("ABC", make.bars(seed=1), name="Alphabet Soup Company")
    make.instrument("XYZ", make.bars(seed=2))
    account = Account.objects.create(number="DU1")
    Fill.objects.create(
        exec_id="1",
        account=account,
        instrument=abc,
        side="buy",
        quantity=5,
        price="100",
        time=dt.datetime(2020, 12, 1, 15, tzinfo=dt.UTC),
    )
    run_backtest(plan_backtest(parse_config(ASKED)))
    run_backtest(plan_backtest(parse_config(ASKED | {"cash": 50_000, "risk": {"long_only": False}})))
    return abc


def drawn(page, name):
    """The chart's element, once it is drawn."""
    box = page.locator(f"#{name}[data-drawn]")
    box.wait_for()
    return box


def colour_of(page, name, trace):
    return page.evaluate("([id, row]) => document.getElementById(id).data[row].line.color", [name, trace])


def test_candles_indicators_and_marks_are_drawn(visitor, trader, market):
    page = visitor.page(user=trader)
    page.goto(f"/instruments/{market.pk}/?sma=20&rsi=14")
    box = drawn(page, "price-chart")
    names = page.evaluate("document.getElementById('price-chart').data.map(trace => trace.name)")
    assert names == ["Price", "Volume", "SMA 20", "RSI 14", "Buy"]
    assert box.locator(".boxlayer path.box").count() > 400
    assert box.locator(".scatterlayer .points path").count() == 1
    page.get_by_text("of 505 expected 1d bars").wait_for()
    page.get_by_role("link", name="2020", exact=True).click()
    page.get_by_text("Held and missing in 2020").wait_for()
    assert page.locator(".map td.full").count() == 253
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**before=**")
    drawn(page, "price-chart")
    page.goto(f"/instruments/{market.pk}/?run={Backtest.objects.first().run_id}")
    drawn(page, "price-chart")
    names = page.evaluate("document.getElementById('price-chart').data.map(trace => trace.name)")
    assert {"Buy", "Sell"} <= set(names)


def test_a_window_of_the_chart_sets_the_axis_of_its_prices(visitor, trader, market):
    page = visitor.page(user=trader)
    page.goto(f"/instruments/{market.pk}/")
    drawn(page, "price-chart")
    page.evaluate("Plotly.relayout('price-chart', {'xaxis.range': [100, 120]})")
    page.wait_for_function(
        """() => { const box = document.getElementById('price-chart'), candles = box.data[0];
          const low = Math.min(...candles.low.slice(100, 121)), high = Math.max(...candles.high.slice(100, 121));
          const [from, to] = box.layout.yaxis.range, room = (high - low) * 0.061;
          return from <= low && to >= high && from >= low - room && to <= high + room; }"""
    )


def test_the_theme_recolours_what_is_drawn(visitor, trader, market):
    page = visitor.page(user=trader)
    run = Backtest.objects.first()
    page.goto(f"/backtests/{run.run_id}/")
    drawn(page, "equity-chart")
    light = colour_of(page, "equity-chart", 1)
    page.get_by_role("button", name="Light or dark").click()
    page.wait_for_function("light => document.getElementById('equity-chart').data[1].line.color !== light", arg=light)
    page.get_by_role("button", name="Light or dark").click()
    page.wait_for_function("light => document.getElementById('equity-chart').data[1].line.color === light", arg=light)


def test_a_chart_follows_the_width_of_its_box(visitor, trader, market):
    page = visitor.page(user=trader)
    page.goto(f"/backtests/{Backtest.objects.first().run_id}/")
    drawn(page, "equity-chart")
    for width in (700, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            """() => { const box = document.getElementById('equity-chart');
              return Math.abs(box.querySelector('.main-svg').getBoundingClientRect().width - box.clientWidth) < 2; }"""
        )


def test_two_runs_are_ticked_and_compared(visitor, trader, market):
    page = visitor.page(user=trader)
    page.goto("/backtests/")
    page.get_by_label("Tick all").check()
    page.get_by_role("button", name="Compare ticked").click()
    page.get_by_role("heading", name="Compare backtests").wait_for()
    drawn(page, "compare-chart")
    assert page.get_by_text("Same data:").is_visible()
    assert page.locator(".best").count() > 3
    assert page.get_by_role("row", name="risk.long_only").is_visible()


def test_a_backtest_is_asked_for_mended_and_followed(visitor, trader, market):
    visitor.meant = {422}
    page = visitor.page(user=trader)
    page.goto("/backtests/new/?symbols=ABC")
    page.get_by_label("Strategy").select_option("ma_crossover")
    page.get_by_role("heading", name="Parameters of ma_crossover").wait_for()
    page.locator("[name=params__fast]").fill("0")
    page.get_by_role("button", name="Start the backtest").click()
    fault = page.locator(".field", has=page.locator("[name=params__fast]")).locator(".errorlist")
    assert "greater than or equal to" in fault.inner_text()
    assert overflowing(page) == []
    picture(page, "backtest-new-fault")
    page.locator("[name=params__fast]").fill("7")
    page.get_by_role("button", name="Start the backtest").click()
    page.get_by_text("Waiting for a worker").wait_for()
    row = Backtest.objects.get(state="queued")
    assert row.config["strategy"]["params"]["fast"] == 7
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("heading", name="Cancelled").wait_for()
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("Waiting for a worker").wait_for()
    # The run ends elsewhere: the page turns by itself.
    Backtest.objects.filter(pk=row.pk).update(
        state="failed", started=row.created, finished=row.created, error="no bars"
    )
    page.get_by_role("heading", name="Why it failed").wait_for(timeout=15_000)


def test_an_open_row_of_the_list_ends_by_itself(visitor, trader, places):  # noqa: F811
    row = desk.backtest(state="running", progress=0.4, total_return=None)
    other = desk.backtest()
    page = visitor.page(user=trader)
    page.goto("/backtests/")
    page.get_by_label(f"Tick {other.directory}").check()
    Backtest.objects.filter(pk=row.pk).update(state="succeeded", finished=row.created, total_return=0.5)
    page.locator(f"#run-{row.pk} .state.succeeded").wait_for(timeout=15_000)
    assert "+50.00" in page.locator(f"#run-{row.pk}").inner_text()
    assert page.get_by_label(f"Tick {other.directory}").is_checked()


def test_the_report_runs_its_charts_and_cannot_touch_the_site(visitor, trader, market):
    run = Backtest.objects.first()
    services.write_files(run_directory(run))
    page = visitor.page(user=trader)
    page.goto(f"/backtests/{run.run_id}/report/")
    page.locator("#equity .main-svg").first.wait_for()
    assert page.evaluate("window.origin") == "null"
    touched = page.evaluate("() => { try { return document.cookie; } catch (error) { return error.name; } }")
    assert touched == "SecurityError"


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_looks_right(visitor, trader, market, look):
    viewport, scheme = LOOKS[look]
    first, second = Backtest.objects.all()
    desk.backtest(state="running", progress=0.6, log_tail="2019-06-28: 120 of 500 bars\n", tag="long")
    failed = desk.backtest(state="failed", error="ZeroDivisionError: division by zero\n" * 3, total_return=None)
    empty = Instrument.objects.create(symbol="NEW", name="Nothing held yet")
    page = visitor.page(viewport=viewport, scheme=scheme, user=trader)
    addresses = {
        "instrument": f"/instruments/{market.pk}/?sma=20&bollinger=20/2&rsi=14&macd=12/26/9&run={first.run_id}",
        "instrument-empty": f"/instruments/{empty.pk}/",
        "backtests": "/backtests/",
        "backtest": f"/backtests/{first.run_id}/",
        "backtest-failed": f"/backtests/{failed.run_id}/",
        "compare": f"/backtests/compare/?run={first.run_id}&run={second.run_id}",
        "backtest-new": f"/backtests/new/?from={first.run_id}",
    }
    problems = {}
    for name, address in addresses.items():
        page.goto(address)
        for box in page.locator("[data-chart]").all():
            drawn(page, box.get_attribute("id"))
        if name == "instrument":
            page.get_by_text("of 505 expected 1d bars").wait_for()
        for section in page.locator("details").all():
            section.evaluate("each => { each.open = true; }")
        picture(page, f"{name}-{look}")
        problems[name] = overflowing(page)
    assert {name: each for name, each in problems.items() if each} == {}
