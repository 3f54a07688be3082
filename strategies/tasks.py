from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from strategies import registry, services
from strategies.backtests import run_queued_backtest
from strategies.ledgers import remove_leftovers
from strategies.models import Backtest
from tradingsite import attempts, runs
from tradingsite.queues import limits


@shared_task(**limits("backtest"))
def run_backtest(run_id: str) -> None:
    registry.load(settings.PLUGINS_DIR)
    attempts.perform(Backtest, run_id, run_queued_backtest)


@shared_task(**limits("maintenance"))
def tidy_runs() -> None:
    remove_leftovers(Path(settings.RUNS_DIR), older_than_seconds=86_400)


@shared_task(**limits("maintenance"))
def start_due_backtests() -> None:
    registry.load(settings.PLUGINS_DIR)
    for run in services.start_due(now=timezone.now()):
        runs.enqueue(run)
