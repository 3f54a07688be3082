"""Use cases of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.models import Report
from strategies.models import Backtest
from tradingsite.attempts import Attempt
from tradingsite.runs import Run


def queue_report(backtest: Backtest, **about: Any) -> Report:
    """A row that a worker will make the report of; the caller tells one."""
    return Report.objects.create(backtest=backtest, config={"run_id": backtest.directory}, **about)


def make_report(attempt: Attempt) -> None:
    from strategies.backtests import run_directory  # with the engine, which nothing needs when Django starts

    report = attempt.run
    assert isinstance(report, Report)  # nosec B101
    write_files(run_directory(report.backtest))


def write_files(folder: Path) -> Path:
    """Write both files of a run's report; returns the path of the HTML. BadInput or OSError says why not."""
    from reports.notebook import write_notebook
    from reports.tearsheet import write_report

    write_notebook(folder)
    return write_report(folder)


def report_new_result(sender: type[Run], run: Run, **_: Any) -> None:
    """Each backtest that a worker finished gets its report; the row is committed with the end of the backtest.

    A command makes its own.
    """
    assert isinstance(run, Backtest)  # nosec B101
    if run.origin != Run.Origin.COMMAND:
        queue_report(run, origin=Run.Origin.RUN, started_by=run.started_by, effect_key=f"report {run.pk}")
