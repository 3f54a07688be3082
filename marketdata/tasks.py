from celery import shared_task
from django.utils import timezone

from marketdata import loadplans, tapecheck, uploads
from marketdata.models import BarImport
from tradingsite import attempts, runs
from tradingsite.queues import limits


@shared_task(**limits("maintenance"))
def tidy_uploads() -> None:
    uploads.remove_old(timezone.now())


@shared_task(**limits("maintenance"))
def compare_tape() -> None:
    tapecheck.check_tape(timezone.now())


@shared_task(**limits("maintenance"))
def start_due_loads() -> None:
    for run in loadplans.start_due(timezone.now()):
        runs.enqueue(run)


@shared_task(**limits("import"))
def import_bars(run_id: str) -> None:
    attempts.perform(BarImport, run_id, uploads.import_upload)
