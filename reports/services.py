"""Use cases of reports."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from reports.models import Alert, Report
from strategies.models import Backtest
from tradingsite.attempts import Attempt
from tradingsite.linkrows import standings
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


def watch_links(now: datetime) -> list[Alert]:
    """New alerts about connections to the gateway that have not been ready for LINK_ALERT_SECONDS.

    While one is unseen there is no second one about the same connection; once it is seen, the next only follows where
    the connection was ready in between.
    """
    made = []
    for each in standings(now):
        if each.ok or not each.wanted or each.since is None:
            continue
        if (now - each.since).total_seconds() < settings.LINK_ALERT_SECONDS:
            continue
        if Alert.objects.filter(key=f"link:{each.role}", created__gte=each.since).exists():
            continue
        with suppress(IntegrityError), transaction.atomic():  # an older one is still unseen
            text = ". ".join(part for part in (each.cause, each.remedy and f"What to do: {each.remedy}") if part)
            subject = f"The gateway connection {each.role} is {each.state} since {each.since:%Y-%m-%d %H:%M} UTC"
            made.append(
                Alert.objects.create(level=Alert.Level.CRITICAL, subject=subject, text=text, key=f"link:{each.role}")
            )
    return made


def report_new_result(sender: type[Run], run: Run, **_: Any) -> None:
    """Each backtest that a worker finished gets its report; the row is committed with the end of the backtest.

    A command makes its own.
    """
    assert isinstance(run, Backtest)  # nosec B101
    if run.origin != Run.Origin.COMMAND:
        queue_report(run, origin=Run.Origin.RUN, started_by=run.started_by, effect_key=f"report {run.pk}")
