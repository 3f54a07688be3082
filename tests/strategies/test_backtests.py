import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from domain import strategy
from domain.adjustments import Dividend, Split
from domain.bars import Adjustment
from domain.engine import Feed, backtest
from domain.errors import BadInput, UnknownName
from marketdata import calendars, services, store
from marketdata.models import Instrument
from strategies.backtests import plan_backtest, run_backtest, run_directory
from strategies.config import parse_config
from strategies.models import Backtest
from tests.strategies import make

CROSS = {"strategy": {"name": "ma_crossover", "params": {"fast": 5, "slow": 12}}, "symbols": ["ABC", "XYZ"]}


def plan(**changes):
    return plan_backtest(parse_config({**CROSS, **changes}))


def parquet(row, name):
    return pq.read_table(run_directory(row) / f"{name}.parquet").to_pydict()


def log_of(row):
    return [json.loads(line) for line in (run_directory(row) / "log.jsonl").read_text().splitlines()]


def summary_of(row):
    return json.loads((run_directory(row) / "summary.json").read_bytes())


@pytest.fixture(autouse=True)
def _library(known):
    """Every test here needs the library, and its own strategies gone afterwards."""


class Breaks(strategy.Strategy):
    """Raises what it is told to, in the middle of the run."""

    error: BaseException = RuntimeError("no more")

    def on_bar(self, context):
        if context.i == 100:
            raise self.error


def breaking(known, error):
    known.register(type("BreaksNow", (Breaks,), {"name": "breaks", "error": error}))
    return plan(strategy="breaks")


def test_a_run_gives_what_the_engine_gives(market):
    row = run_backtest(plan())
    sessions = calendars.sessions("XNYS")
    feeds = [
        Feed(Instrument.objects.named(symbol).as_domain(), make.bars(seed=seed), (), sessions)
        for seed, symbol in ((1, "ABC"), (2, "XYZ"))
    ]
    expected = backtest(feeds, plan().strategy, plan().settings)
    assert summary_of(row)["result_hash"] == row.result_hash == expected.result_hash
    assert len(expected.fills["time"]) > 20
    fills = pq.read_table(run_directory(row) / "fills.parquet")
    assert fills.column_names == ["time", "instrument", "side", "quantity", "price", "commission", "order_ref"]
    assert fills["time"].cast("int64").to_pylist() == expected.fills["time"].tolist()
    for name in fills.column_names[1:]:
        assert fills[name].to_pylist() == expected.fills[name].tolist()


def test_the_row_tells_how_it_ended_and_the_directory_why(market):
    row = run_backtest(plan(), command="a command")
    row.refresh_from_db()
    summary = summary_of(row)
    assert (row.state, row.progress, row.error, row.strategy, row.instruments) == (
        "succeeded", 1.0, "", "ma_crossover", "ABC, XYZ",
    )  # fmt: skip
    assert row.started <= row.finished
    assert float(row.final_equity) == pytest.approx(summary["final_equity"], abs=1e-4)
    assert row.trades == summary["metrics"]["trades"]
    assert row.config == summary["config"]
    assert {path.name for path in run_directory(row).iterdir()} == {
        "bars.parquet", "orders.parquet", "fills.parquet", "trades.parquet", "equity.parquet",
        "summary.json", "run.json", "log.jsonl",
    }  # fmt: skip
    run = json.loads((run_directory(row) / "run.json").read_bytes())
    assert (run["run_id"], run["command"]) == (str(row.pk), "a command")
    assert run["versions"]["numpy"] == np.__version__
    assert (run["state"], run["error"]) == ("succeeded", "")
    lines = log_of(row)
    assert lines[0]["event"] == "started"
    assert (lines[-1]["event"], lines[-1]["level"]) == ("finished", "info")
    assert all(
        (each["run_id"], each["symbols"], each["timeframe"]) == (str(row.pk), ["ABC", "XYZ"], "1d") for each in lines
    )


def test_the_same_bars_config_and_code_give_the_same_bytes(market):
    rows = [run_backtest(plan(strategy={"name": name})) for name in ("breakout", "breakout", "momentum")]
    once, twice, other = (
        {
            path.name: path.read_bytes()
            for path in run_directory(row).iterdir()
            if path.name not in ("run.json", "log.jsonl")
        }
        for row in rows
    )
    assert len(once) == 6
    assert once == twice
    assert once["fills.parquet"] != other["fills.parquet"]
    assert str(rows[0].pk).encode() not in b"".join(once.values())


def test_the_parts_of_the_instruments_add_up_to_the_whole(market):
    services.record_actions(
        instrument=services.describe_instrument(symbol="ABC"),
        actions=[Split(18_100, 2.0), Dividend(18_200, 0.7), Dividend(18_300, 0.7)],
        source="test",
    )
    summary = summary_of(run_backtest(plan(execution={"commission": "ib_fixed", "slippage_bps": 3})))
    assert summary["costs"]["dividends"] > 0
    parts = summary["by_instrument"].values()
    assert sum(part["profit"] for part in parts) == pytest.approx(summary["final_equity"] - summary["cash"])
    assert sum(part["commission"] for part in parts) == pytest.approx(summary["costs"]["commission"])
    assert sum(part["trades"] for part in parts) == summary["metrics"]["trades"]


def test_a_split_is_marked_at_its_bar(market):
    day = int(np.datetime64("2020-03-02", "D").astype(int))
    services.record_actions(
        instrument=services.describe_instrument(symbol="ABC"), actions=[Split(day, 4.0)], source="test"
    )
    bars = parquet(run_backtest(plan(start="2020-01-02")), "bars")
    marked = [row for row, ratio in enumerate(bars["split"]) if ratio is not None]
    assert [(bars["instrument"][row], f"{bars['start'][row]:%Y-%m-%d}", bars["split"][row]) for row in marked] == [
        ("ABC", "2020-03-02", 4.0)
    ]


def test_the_period_is_dates_of_sessions_both_ends_included(market):
    made = plan(start="2019-06-01", end="2019-06-28")
    bars = parquet(run_backtest(made), "bars")
    assert len(bars["start"]) == 2 * 20
    assert f"{bars['start'][0]:%Y-%m-%d}" == "2019-06-03"
    assert f"{bars['end'][-1]:%Y-%m-%dT%H:%M}" == "2019-06-28T20:00"
    assert [each.warmup for each in made.holdings] == [12, 12]


def test_times_with_a_zone_bound_the_period_exactly(db, places):
    make.instrument("MIN", make.bars("1m", first="2020-03-02", last="2020-03-06"))
    config = {"symbols": ["MIN"], "timeframe": "1m", "start": "2020-03-03T11:00-05:00", "end": "2020-03-03T17:00Z"}
    bars = parquet(run_backtest(plan(**config)), "bars")
    assert len(bars["start"]) == 60
    assert bars["start"][0] == datetime(2020, 3, 3, 16, tzinfo=UTC)


def test_warm_up_bars_before_the_start_let_it_trade_from_the_first_day(market):
    start = "2020-01-02"
    whole, part = run_backtest(plan()), run_backtest(plan(start=start))
    first = datetime(2020, 1, 2, 21, tzinfo=UTC)
    decided = [each for each in parquet(whole, "orders")["time"] if each >= first]
    # A position held when the period begins is not there in the shorter run, so its sale is missing at most.
    found = parquet(part, "orders")["time"]
    assert len(found) > 10
    assert set(found) <= set(decided)
    assert len(decided) - len(found) <= 2
    equity = parquet(part, "equity")
    assert equity["time"][0] == first
    assert equity["equity"][0] == 100_000


def test_a_warm_up_that_is_not_held_is_noted(market):
    made = plan(start="2019-01-10", warmup_bars=30)
    assert "ABC: 6 of 30 warm-up bars are held before 2019-01-10" in made.notes
    assert len(made.feeds[0].bars) == len(make.bars())


def test_sizing_by_volatility_asks_for_its_own_warm_up(market):
    sizing = {"kind": "volatility", "value": 0.1, "window": 60}
    assert plan(start="2020-01-02", sizing=sizing).warmup == 61


def test_missing_bars_are_noted(db, places):
    bars = make.bars()
    make.instrument("GAP", bars[:100])
    store.write_bars(instrument=Instrument.objects.named("GAP"), series=bars[103:], source="test")
    made = plan(symbols=["GAP"])
    assert made.holdings[0].missing == 3
    assert "GAP: 3 expected bars are missing" in made.notes


def test_a_watchlist_is_traded_in_its_order(market):
    members = [services.describe_instrument(symbol=symbol) for symbol in ("XYZ", "ABC")]
    services.set_watchlist(name="pair", instruments=members)
    assert plan(symbols=[], watchlist="pair").symbols == ["XYZ", "ABC"]
    assert plan(symbols=[], watchlist="pair").config_hash == plan(symbols=["XYZ", "ABC"]).config_hash


def test_an_exchange_behind_the_symbol_chooses_among_several(market):
    make.instrument("ABC", make.bars(seed=9), exchange="LSE")
    with pytest.raises(BadInput, match="several instruments"):
        plan(symbols=["ABC"])
    assert plan(symbols=["ABC@LSE"]).data_hash != plan(symbols=["ABC@SMART"]).data_hash


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"strategy": "ma_crosover"}, UnknownName, "did you mean 'ma_crossover'"),
        ({"params": {"fats": 3}, "strategy": "ma_crossover"}, UnknownName, "did you mean 'fast'"),
        ({"params": {"fast": 30, "slow": 20}, "strategy": "ma_crossover"}, BadInput, "fast must be below slow"),
        ({"symbols": ["ABD"]}, BadInput, "unknown instrument 'ABD'; did you mean 'ABC'?; `manage.py import_bars`"),
        ({"symbols": ["../../x"]}, BadInput, "unknown instrument '../../x'"),
        ({"symbols": [], "watchlist": "none"}, UnknownName, "unknown watchlist 'none'"),
        ({"timeframe": "1m"}, BadInput, "ABC: no 1m bars of TRADES are held (held: 1d)"),
        ({"start": "2030-01-02"}, BadInput, "ABC 1d: no bars from 2030-01-02 to now; held: 2019-01-02 to 2020-12-31"),
        ({"start": "2021-01-04", "end": "2021-02-01"}, BadInput,
         "ABC 1d: no bars from 2021-01-04 to 2021-02-01; held: 2019-01-02 to 2020-12-31"),
        ({"end": "2018-01-02"}, BadInput,
         "ABC 1d: no bars from the beginning to 2018-01-02; held: 2019-01-02 to 2020-12-31"),
        ({"start": "2020-01-02", "end": "2019-01-02"}, BadInput, "the period is empty"),
        ({"data": {"adjustment": "total"}}, BadInput, "no total prices are held (held: raw)"),
        ({"risk": {"flat_at_close": True}}, BadInput, "flat_at_close needs intraday bars"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_before_there_is_a_row(market, changes, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        plan(**changes)
    assert not Backtest.objects.exists()


def test_an_empty_watchlist_is_refused(market):
    services.set_watchlist(name="nothing", instruments=[])
    with pytest.raises(BadInput, match="watchlist 'nothing' is empty"):
        plan(symbols=[], watchlist="nothing")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RuntimeError("no more"), "failed"),
        (SystemExit("no more"), "failed"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_a_run_that_stops_leaves_its_row_its_evidence_and_its_log(market, known, error, state):
    with pytest.raises(type(error)):
        run_backtest(breaking(known, error), command="a command")
    row = Backtest.objects.get()
    assert row.state == state
    assert row.finished is not None
    assert row.error == (f"{type(error).__name__}: no more" if state == "failed" else "cancelled by the user")
    assert [path.name for path in (market / "runs").iterdir()] == [row.directory]
    assert {path.name for path in run_directory(row).iterdir()} == {"run.json", "log.jsonl"}
    run = json.loads((run_directory(row) / "run.json").read_bytes())
    assert (run["state"], run["error"], run["command"]) == (state, row.error, "a command")
    lines = log_of(row)
    assert [each["event"] for each in lines] == ["started", state]
    assert (lines[-1]["level"], lines[-1]["error"]) == ("error" if state == "failed" else "warning", row.error)


def test_an_end_just_after_the_ledgers_leaves_none_of_them(market, monkeypatch):
    def interrupt(summary):
        raise KeyboardInterrupt

    monkeypatch.setattr("strategies.backtests._figures", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_backtest(plan())
    row = Backtest.objects.get()
    assert row.state == "cancelled"
    assert {path.name for path in run_directory(row).iterdir()} == {"run.json", "log.jsonl"}


def test_a_directory_that_cannot_be_written_fails_the_run(market):
    (market / "runs").write_text("a file in the way")
    with pytest.raises(OSError):
        run_backtest(plan())
    assert Backtest.objects.get().state == "failed"


def test_a_run_id_is_used_once(market):
    first = run_backtest(plan(run_id="mine-1"))
    assert run_directory(first).name == "mine-1"
    before = (run_directory(first) / "run.json").read_bytes()
    with pytest.raises(BadInput, match="run_id 'mine-1' has been used"):
        plan(run_id="mine-1")
    made = plan(run_id="left-over")
    (market / "runs" / "left-over").mkdir()
    for attempt in (lambda: plan(run_id="left-over"), lambda: run_backtest(made)):
        with pytest.raises(BadInput, match="has been used"):
            attempt()
    assert list((market / "runs" / "left-over").iterdir()) == []
    assert Backtest.objects.count() == 1
    assert (run_directory(first) / "run.json").read_bytes() == before


def test_somebody_elses_end_of_a_run_is_not_overwritten(market, known):
    class Patient(Breaks):
        name = "patient"

        def on_bar(self, context):
            if context.i == 50:
                Backtest.objects.update(state="cancelled", finished=datetime.now(UTC), error="from the web")

    known.register(Patient)
    run_backtest(plan(strategy="patient", symbols=["ABC"]))
    row = Backtest.objects.get()
    assert (row.state, row.error) == ("cancelled", "from the web")


def test_progress_goes_to_the_caller(market):
    shares = []
    run_backtest(plan(strategy="mean_reversion"), progress=shares.append)
    assert shares
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_denied_orders_are_counted_by_rule_with_a_hint(market):
    shorting = {"strategy": {"name": "ma_crossover", "params": {"fast": 5, "slow": 12, "allow_short": True}}}
    row = run_backtest(plan(**shorting))
    summary, orders = summary_of(row), parquet(row, "orders")
    first = orders["status"].index("denied")
    (line,) = [each for each in log_of(row) if each["event"] == "denied"]
    assert (line["level"], line["rule"], line["count"]) == ("warning", "long_only", summary["denied"]["long_only"])
    assert line["first"] == f"{orders['time'][first]:%Y-%m-%dT%H:%M:%SZ}"
    assert (line["instrument"], line["value"], line["limit"]) == (
        orders["instrument"][first], orders["rule_value"][first], orders["rule_limit"][first],
    )  # fmt: skip
    assert line["value"] is not None
    assert summary["denied"]["long_only"] == summary["orders"]["denied"] > 5
    assert any("risk.long_only" in note for note in summary["notes"])
    summary = summary_of(run_backtest(plan(**shorting, risk={"long_only": False})))
    assert summary["denied"] == {}


def test_the_kill_switch_is_told_in_the_summary(market):
    row = run_backtest(plan(risk={"daily_loss_fraction": 0.002}))
    summary = summary_of(row)
    assert (row.state, summary["status"]) == ("succeeded", "halted")
    last = pq.read_table(run_directory(row) / "equity.parquet")["time"][-1].as_py()
    assert summary["halted_at"] == f"{last:%Y-%m-%dT%H:%M:%SZ}"
    line = log_of(row)[-1]
    assert (line["event"], line["level"], line["halted_at"]) == ("halted", "warning", summary["halted_at"])


def test_adjusted_prices_are_not_adjusted_again(db, places):
    row = make.instrument("ADJ", replace(make.bars(), adjustment=Adjustment.SPLIT))
    services.record_actions(instrument=row, actions=[Split(18_100, 2.0)], source="test")
    assert not any(value for value in parquet(run_backtest(plan(symbols=["ADJ"])), "bars")["split"])
