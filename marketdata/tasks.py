from celery import shared_task

from marketdata import uploads
from marketdata.models import BarImport
from tradingsite import runs


@shared_task
def import_bars(run_id: str) -> None:
    runs.perform(BarImport, run_id, uploads.import_upload)
