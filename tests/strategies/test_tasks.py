"""A queued backtest, from the row to its ledgers and the report that follows."""

import json

import pytest

from domain.errors import BadInput
from reports.models import Report
from reports.tasks import make_report
from strategies.backtests import plan_backtest, queue_backtest, run_backtest, run_directory
from strategies.config import parse_config
from strategies.models import Backtest
from strategies.tasks import run_backtest as run_backtest_task
from tests.strategies.conftest import known, market, places  # noqa: F401

ASKED = {"strategy": "ma_crossover", "symbols": ["ABC", "XYZ"], "params": {"fast": 5, "slow": 12}}


@pytest.fixture(autouse=True)
def _library(known):  # noqa: F811
    pass


def test_a_queued_run_gives_what_the_command_gives_and_gets_its_report(market):  # noqa: F811
    row = queue_backtest(parse_config(ASKED), origin="api")
    assert (row.state, row.instruments, row.config_hash) == ("queued", "ABC, XYZ", "")
    run_backtest_task(str(row.pk))
    row.refresh_from_db()
    assert (row.state, row.attempts, row.progress) == ("succeeded", 1, 1.0)
    at_once = run_backtest(plan_backtest(parse_config(ASKED)))
    assert (row.result_hash, row.config_hash, row.data_hash, row.final_equity) == (
        at_once.result_hash, at_once.config_hash, at_once.data_hash, at_once.final_equity,
    )  # fmt: skip
    assert "finished" in row.log_tail
    (report,) = Report.objects.all()
    assert report.backtest == row, "the command makes its own report"
    make_report(str(report.pk))
    report.refresh_from_db()
    assert report.state == "succeeded"
    assert (run_directory(row) / "report.html").stat().st_size > 1_000_000


def test_a_message_that_is_delivered_again_changes_nothing(market):  # noqa: F811
    row = queue_backtest(parse_config(ASKED), origin="api")
    run_backtest_task(str(row.pk))
    before = (run_directory(row) / "run.json").read_bytes()
    run_backtest_task(str(row.pk))
    assert (run_directory(row) / "run.json").read_bytes() == before
    assert Report.objects.count() == 1


def test_a_second_attempt_replaces_what_the_first_published_before_it_died(market):  # noqa: F811
    row = queue_backtest(parse_config(ASKED), origin="api")
    run_directory(row).mkdir(parents=True)
    (run_directory(row) / "half").write_text("of the first attempt")
    run_backtest_task(str(row.pk))
    row.refresh_from_db()
    assert row.state == "succeeded"
    assert not (run_directory(row) / "half").exists()
    summary = json.loads((run_directory(row) / "summary.json").read_bytes())
    assert summary["result_hash"] == row.result_hash


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"strategy": "ma_crosover"}, "unknown strategy 'ma_crosover'"),
        ({"params": {"fast": 0}}, "strategy ma_crossover: fast"),
        ({"symbols": ["NONE"]}, "unknown instrument 'NONE'"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_asked_and_leaves_no_row(market, change, fault):  # noqa: F811
    with pytest.raises(BadInput, match=fault):
        queue_backtest(parse_config(ASKED | change), origin="api")
    assert Backtest.objects.count() == 0


def test_what_only_the_bars_can_tell_ends_the_run_as_failed(market):  # noqa: F811
    row = queue_backtest(parse_config(ASKED | {"timeframe": "1m"}), origin="api")
    run_backtest_task(str(row.pk))
    row.refresh_from_db()
    assert row.state == "failed"
    assert "no 1m bars" in row.error
    assert Report.objects.count() == 0
