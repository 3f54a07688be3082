"""`manage.py report`: the files of a run again, from its ledgers."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from strategies.backtests import plan_backtest, run_backtest, run_directory
from strategies.config import parse_config
from strategies.models import Backtest
from tests.strategies.conftest import known, market, places  # noqa: F401

FILES = ("report.html", "report.ipynb")


@pytest.fixture(autouse=True)
def _library(known):  # noqa: F811
    pass


def call(*runs: str) -> str:
    out = io.StringIO()
    call_command("report", *runs, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def run(**config) -> Backtest:
    return run_backtest(plan_backtest(parse_config({"strategy": "momentum", "symbols": ["ABC"], **config})))


def test_the_files_are_written_again_with_the_same_bytes(market):  # noqa: F811
    row, other = run(), run(run_id="mine-1")
    folder = run_directory(row)
    assert not (folder / "report.html").exists()
    assert call(row.directory, "mine-1") == f"{folder / 'report.html'}\n{run_directory(other) / 'report.html'}\n"
    first = [(folder / name).read_bytes() for name in FILES]
    for name in FILES:
        (folder / name).unlink()
    call(row.directory)
    assert [(folder / name).read_bytes() for name in FILES] == first


def test_an_unknown_run_ends_with_2_before_anything_is_written(market):  # noqa: F811
    with pytest.raises(CommandError, match=r"unknown run 'nine-1'; no backtest has been run yet") as error:
        call("nine-1")
    assert error.value.returncode == 2
    row = run(run_id="mine-1")
    with pytest.raises(CommandError, match=r"unknown run '\.\./mine-1'; the newest: mine-1") as error:
        call("mine-1", "../mine-1")
    assert error.value.returncode == 2
    assert not (run_directory(row) / "report.html").exists()


def test_a_run_without_ledgers_ends_with_1_and_the_others_get_theirs(market):  # noqa: F811
    row = run()
    Backtest.objects.create(
        state="failed", directory="broken", started=timezone.now(), finished=timezone.now(), error="no memory"
    )
    with pytest.raises(CommandError, match=r"run broken: .*summary\.json is missing.*; the run failed: no memory") as e:
        call("broken", row.directory)
    assert e.value.returncode == 1
    assert (run_directory(row) / "report.html").exists()
