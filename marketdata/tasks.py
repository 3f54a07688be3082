from celery import shared_task
from django.utils import timezone

from marketdata import loading, loadplans, loadruns, questions, tapecheck, uploads
from marketdata.models import BarImport, GatewayQuestion, LoadRun
from tradingsite import attempts, runs
from tradingsite.queues import limits


@shared_task(**limits("maintenance"))
def tidy_uploads() -> None:
    uploads.remove_old(timezone.now())


@shared_task(**limits("maintenance"))
def tidy_loads() -> None:
    loadruns.remove_old(timezone.now())


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


@shared_task(**limits("data"))
def ask_gateway(run_id: str) -> None:
    attempts.perform(GatewayQuestion, run_id, questions.answer_question)


@shared_task(**limits("data"))
def load_bars(run_id: str) -> None:
    attempts.perform(LoadRun, run_id, loading.load_bars)
