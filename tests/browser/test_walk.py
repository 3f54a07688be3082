"""A new user's first hour, in a browser on the whole stack: pages that ask, workers that do it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Visitor
from tests.faults.stack import STRATEGY, Stack

WORK_MS = 20_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Stack]:
    """An installation that nobody has used yet, with one strategy of the user's own, which is slow."""
    stack = Stack(tmp_path / "state")
    plugins = stack.state / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "brooding.py").write_text(STRATEGY)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def page(browser: Browser, desk: Stack) -> Iterator[Page]:
    someone = Visitor(browser, SimpleNamespace(url=f"http://127.0.0.1:{desk.port}"), client=None)
    yield someone.page()
    someone.close()
    assert someone.faults == []


def test_a_first_hour(page, desk, tmp_path):
    log_in(page, desk)
    page.get_by_role("link", name="Import a CSV or Parquet file").click()
    for number, symbol in enumerate(("ALFA", "BETA")):
        import_prices(page, daily_prices(tmp_path / f"{symbol}.csv", number))
    make_watchlist(page, "mine", "ALFA\nBETA")

    first = run_backtest(page, fast="10")
    expect(page.get_by_role("link", name="Open the report")).to_be_visible(timeout=WORK_MS)
    page.get_by_role("link", name="Run again with edits").click()
    second = run_backtest(page, fast="30")
    compare(page, first, second)
    cancel_a_slow_one(page)

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def log_in(page: Page, desk: Stack) -> None:
    page.goto("/")
    page.get_by_label("Username").fill("admin")
    said = re.search(r"Log in as admin with the password (\S+)", desk.log.read_text())
    assert said is not None, desk.log.read_text()
    page.get_by_label("Password").fill(said[1])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()


def daily_prices(path: Path, seed: int) -> Path:
    """600 weekdays of prices that go up and down in waves, so that averages cross."""
    lines = ["date,open,high,low,close,volume"]
    day, made = dt.date(2021, 1, 4), 0
    while made < 600:
        if day.weekday() < 5:
            close = 100 + seed * 10 + made * 0.05 + abs(made % 120 - 60) * 0.5
            lines.append(f"{day},{close - 0.2:.2f},{close + 1:.2f},{close - 1:.2f},{close:.2f},{100_000 + made}")
            made += 1
        day += dt.timedelta(days=1)
    path.write_text("\n".join(lines) + "\n")
    return path


def import_prices(page: Page, path: Path) -> None:
    page.goto("/imports/new/")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name="What became of the rows")).to_be_visible(timeout=WORK_MS)
    expect(page.get_by_role("link", name=path.stem)).to_be_visible()


def make_watchlist(page: Page, name: str, symbols: str) -> None:
    page.goto("/watchlists/new/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Symbols").fill(symbols)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Backtest it").click()
    expect(page.get_by_label("Watchlist")).to_have_value(name)
    page.wait_for_load_state()  # htmx must listen before something is chosen
    page.get_by_label("Strategy").select_option("ma_crossover")
    expect(page.get_by_role("heading", name="Parameters of ma_crossover")).to_be_visible()


def run_backtest(page: Page, *, fast: str) -> str:
    """Start what the form says, with this fast average; the address of its result."""
    page.get_by_label("Fast").fill(fast)
    page.get_by_role("button", name="Start the backtest").click()
    expect(page.get_by_role("heading", name="Equity and drawdown")).to_be_visible(timeout=WORK_MS)
    expect(page.locator("#equity-chart .main-svg").first).to_be_visible()
    expect(page.locator("main")).to_contain_text(f"fast {fast}, slow 50")
    return page.url


def compare(page: Page, first: str, second: str) -> None:
    page.goto("/backtests/")
    for address in (first, second):
        page.get_by_label(f"Tick {address.rstrip('/').rpartition('/')[2]}").check()
    page.get_by_role("button", name="Compare ticked").click()
    expect(page.get_by_role("row", name=re.compile(r"strategy\.params\.fast"))).to_be_visible()
    expect(page.locator("#compare-chart .main-svg").first).to_be_visible()


def cancel_a_slow_one(page: Page) -> None:
    page.goto("/backtests/new/?strategy=brooding&symbols=ALFA")
    page.get_by_label("Seconds").fill("60")
    page.get_by_role("button", name="Start the backtest").click()
    progress = page.locator("main progress")
    expect(progress).to_be_visible()
    page.wait_for_function("() => document.querySelector('main progress')?.value > 0", timeout=WORK_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=WORK_MS)
    expect(page.locator("main")).to_contain_text("cancelled by the user")
