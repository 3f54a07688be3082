"""The tear sheet as a file: what it holds, what it must never hold, and its empty states."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.errors import BadInput
from reports import tearsheet
from reports.tearsheet import embed, write_report
from tests.reports.factory import edit_summary, make_run

PAYLOAD = "</script><script>document.title='pwned'</script>\u2028<img src=x onerror=alert(1)>{{ 7|add:7 }}"


class Page(HTMLParser):
    """What a browser would see: scripts, text outside of them, and every attribute that could fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.fetches: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = ""
        self.feed(html)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside
        if tag == "script":
            self.scripts.append("")
        self.fetches += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.texts.append(data)

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_the_file_fetches_nothing_and_names_its_own_scripts(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path))
    assert set(page.fetches) == {"data:,", "trades.parquet", "orders.parquet"}
    assert len(page.scripts) == 3
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_the_same_run_gives_the_same_bytes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = {path.name for path in run.iterdir()}
    path = write_report(run)
    first = path.read_bytes()
    assert write_report(run).read_bytes() == first
    assert {path.name for path in run.iterdir()} == before | {"report.html"}


def test_hostile_names_and_reasons_stay_text(tmp_path: Path) -> None:
    run = make_run(tmp_path, instruments=(PAYLOAD, "=1+1"), bars=900, reason=PAYLOAD)
    edit_summary(
        run, strategy={"name": PAYLOAD, "params": {PAYLOAD: PAYLOAD}}, notes=[PAYLOAD], config={PAYLOAD: PAYLOAD}
    )
    html = write_report(run).read_text(encoding="utf-8")
    page = Page(html)
    assert "<script>document.title" not in html
    assert "<img" not in html
    assert "\u2028" not in page.scripts[0]
    assert len(page.scripts) == 3
    assert PAYLOAD in page.data["figures"]["prices"]
    assert "{{ 7|add:7 }}" in page.text
    assert page.text.count("document.title='pwned'") >= 6


def test_embedded_json_cannot_end_its_element() -> None:
    hostile = {"a": "</script><!-- \u2028\u2029 &amp;", "b": [None, 1.5]}
    text = embed(hostile)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == hostile
    with pytest.raises(ValueError, match="not JSON compliant"):
        embed(float("nan"))


def test_trades_in_the_page_are_those_of_the_ledger(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    trades = page_of(run).data["trades"]
    frame = pd.read_parquet(run / "trades.parquet")
    assert len(frame) > 10
    assert trades["number"] == list(range(1, len(frame) + 1))
    assert trades["instrument"] == frame["instrument"].to_list()
    assert trades["entry_time"] == frame["entry_time"].dt.strftime("%Y-%m-%d %H:%M").to_list()
    assert np.allclose(trades["net_pnl"], frame["net_pnl"], atol=0.005)
    assert np.allclose(trades["return"], 100 * frame["return"], atol=0.0005)


def test_a_trade_points_at_the_candles_of_its_entry_and_exit(tmp_path: Path) -> None:
    data = page_of(make_run(tmp_path)).data
    trades = data["trades"]
    assert len(trades["number"]) > 10
    for instrument, entry, exit, entered, left in zip(
        *(trades[name] for name in ("instrument", "entry_bar", "exit_bar", "entry_time", "exit_time")), strict=True
    ):
        labels = data["figures"]["prices"][instrument]["data"][0]["x"]
        assert (labels[entry], labels[exit]) == (entered[:10], left[:10])


def test_only_the_newest_trades_are_shown_where_they_are_many_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tearsheet, "TRADES_SHOWN", 5)
    run = make_run(tmp_path)
    total = len(pd.read_parquet(run / "trades.parquet"))
    page = page_of(run)
    assert page.data["trades"]["number"] == list(range(total - 4, total + 1))
    assert f"The newest 5 of {total} trades;" in page.text
    assert "trades.parquet" in page.text


def test_long_minute_series_are_drawn_coarser_and_the_page_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, bars=8_000, timeframe="1m", instruments=("AAPL",))
    page = page_of(run)
    shown = page.data["display"]["AAPL"]
    assert (shown["bars"], shown["each"]) == (8_000, "5 minutes")
    assert shown["shown"] == len(page.data["figures"]["prices"]["AAPL"]["data"][0]["x"]) <= 4_000
    assert "lowest and highest point of each stretch" in page.text
    equity = page.data["figures"]["equity"]["data"][1]["y"]
    assert min(equity) == pytest.approx(pd.read_parquet(run / "equity.parquet")["equity"].min(), abs=0.01)


def test_denied_intents_are_listed_with_rule_and_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path, instruments=("AAPL",), bars=600, short=False)
    orders = pd.read_parquet(run / "orders.parquet")
    denied = orders[orders["status"] == "denied"]
    page = page_of(run)
    assert len(denied) > 0
    assert f"symbol_notional {len(denied)}" in page.text
    first = denied.iloc[0]
    assert first["time"].strftime("%Y-%m-%d %H:%M") in page.text
    assert f"{first['rule_value']:,.2f} 25,000.00" in page.text


def test_the_heat_map_has_every_month_with_its_sign_and_the_year_s_total(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    html = write_report(run).read_text(encoding="utf-8")
    rows = re.findall(r'<tr><th scope="row">(\d{4})</th>(.*?)</tr>', html, re.DOTALL)
    curve = pd.read_parquet(run / "equity.parquet").set_index("time")["equity"].tz_localize(None)
    closing = curve.groupby(curve.index.to_period("Y")).last()
    totals = closing / closing.shift(fill_value=100_000.0) - 1
    assert [int(year) for year, _ in rows] == [period.year for period in totals.index]
    for (_, cells), total in zip(rows, totals, strict=True):
        texts = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", cells)]
        assert len(texts) == 13
        assert texts[-1] == f"{100 * total:+.1f}".replace("-", "\u2212")


def test_the_deepest_drawdown_is_the_first_row_with_its_dates(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    html = write_report(run).read_text(encoding="utf-8")
    table = html[html.index('id="h-drawdowns"') :]
    first = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", table)[:5]]
    curve = pd.read_parquet(run / "equity.parquet").set_index("time")["equity"]
    under = curve / curve.cummax().clip(lower=100_000.0) - 1
    assert first[0] == f"{100 * under.min():.2f}\u202f%".replace("-", "\u2212")
    assert first[1] == curve[: under.idxmin()].idxmax().strftime("%Y-%m-%d")
    assert first[2] == under.idxmin().strftime("%Y-%m-%d")


def test_buy_and_hold_begins_with_the_run_not_with_its_warm_up(tmp_path: Path) -> None:
    run = make_run(tmp_path, instruments=("AAPL",), bars=120)
    path = run / "equity.parquet"
    pq.write_table(pq.ParquetFile(path).read().slice(50), path)
    held = page_of(run).data["figures"]["equity"]["data"][0]
    close = pd.read_parquet(run / "bars.parquet")["close"]
    assert (held["name"], len(held["y"]), held["y"][0]) == ("Buy and hold", 70, 100_000.0)
    assert held["y"][-1] == pytest.approx(100_000.0 * close.iloc[-1] / close.iloc[50], abs=0.01)


def test_a_split_is_no_loss_of_buy_and_hold_and_moves_the_fills_before_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, instruments=("AAPL",), bars=300)
    plain = page_of(run).data
    table = pq.ParquetFile(run / "bars.parquet").read()
    at = 200
    factor = np.where(np.arange(300) < at, 2.0, 1.0)
    for name in ("open", "high", "low", "close"):
        column = pa.array(np.frombuffer(table[name].combine_chunks().buffers()[1], float) * factor)
        table = table.set_column(table.column_names.index(name), name, column)
    table = table.append_column("split", pa.array(np.where(np.arange(300) == at, 2.0, 1.0)))
    pq.write_table(table, run / "bars.parquet")
    split = page_of(run).data
    assert split["display"]["AAPL"]["split"] is True
    assert split["figures"]["equity"]["data"][0]["y"] == plain["figures"]["equity"]["data"][0]["y"]
    candles, volume, buys, _ = split["figures"]["prices"]["AAPL"]["data"]
    assert candles["close"] == plain["figures"]["prices"]["AAPL"]["data"][0]["close"]
    assert volume["y"][0] == 2 * plain["figures"]["prices"]["AAPL"]["data"][1]["y"][0]
    assert buys["y"][0] == pytest.approx(plain["figures"]["prices"]["AAPL"]["data"][2]["y"][0] / 2, abs=1e-6)


def test_dividends_are_shown_beside_the_costs_not_in_their_sum(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    edit_summary(run, costs={"commission": 10.0, "slippage": 5.0, "borrow": 0.0, "dividends": 99.0})
    text = page_of(run).text
    assert "Total 15.00" in text
    assert "Dividends received 99.00" in text


@pytest.mark.parametrize(
    ("case", "texts"),
    [
        (
            {"bars": 1, "instruments": ("AAPL",)},
            ["One bar was simulated", "No trade was closed", "Nothing was ever held"],
        ),
        ({"bars": 0, "instruments": ("AAPL",)}, ["No bar was simulated", "No instrument had bars", "No month to show"]),
        ({"bars": 60, "trading": False}, ["No trade was closed", "The strategy wished no order", "Equity never fell"]),
        (
            {"bars": 300, "status": "halted"},
            ["HALTED", "Halted at 2012-07-30 21:00:00 UTC", "A risk rule stopped the run"],
        ),
        ({"bars": 300, "status": "cancelled"}, ["CANCELLED", "The run was stopped by hand"]),
    ],
)
def test_an_empty_or_broken_off_run_says_so(tmp_path: Path, case: dict[str, Any], texts: list[str]) -> None:
    page = page_of(make_run(tmp_path, **case))
    assert [text for text in texts if text not in page.text] == []
    json.dumps(page.data, allow_nan=False)


def test_every_figure_hash_and_version_is_on_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    summary = json.loads((run / "summary.json").read_text())
    text = page_of(run).text
    for expected in (
        *(summary[name] for name in ("config_hash", "data_hash", "result_hash")),
        "BACKTEST",
        "All times are UTC",
        "Max drawdown days 214",
        "slippage_bps",
        "5f1cf83a9c0d4be1b7e2f3a495867768594a3b2c",
        "20261121-114500-ma_crossover-5f1c",
        "pyarrow 26.0.1",
        "Borrow cost is 0",
    ):
        assert expected in text


def test_tables_name_their_columns_and_charts_say_what_they_are(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path))
    headers = [attrs for tag, attrs in page.tags if tag == "th"]
    assert headers
    assert all(attrs.get("scope") in ("col", "row") for attrs in headers)
    charts = [attrs for _, attrs in page.tags if attrs.get("class") == "chart"]
    assert [attrs["id"] for attrs in charts] == ["equity", "price", "exposure"]
    assert all(attrs.get("aria-label") for attrs in charts)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_a_run_directory_that_is_not_complete_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "fills.parquet").unlink()
    with pytest.raises(BadInput, match=r"fills\.parquet is missing"):
        write_report(run)
    assert not list(run.glob("*report*"))


@pytest.mark.slow
def test_a_browser_draws_every_chart_and_runs_nothing_hostile(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    path = write_report(make_run(tmp_path / "run", instruments=(PAYLOAD, "MSFT"), reason=PAYLOAD))
    switches = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    done = subprocess.run(
        [
            browser,
            *switches.split(),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=8000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    page = Page(done.stdout)
    drawn = [attrs for _, attrs in page.tags if "js-plotly-plot" in (attrs.get("class") or "")]
    assert [attrs["id"] for attrs in drawn] == ["equity", "price", "exposure"]
    assert "CONSOLE" not in done.stderr
    assert "<title>pwned" not in done.stdout
    assert len([1 for tag, attrs in page.tags if tag == "td" and attrs.get("class") == "n gain"]) > 3
