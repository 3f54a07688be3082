from celery import shared_task
from django.utils import timezone

from reports import services
from reports.models import Report
from tradingsite import attempts
from tradingsite.queues import limits


@shared_task(**limits("report"))
def make_report(run_id: str) -> None:
    attempts.perform(Report, run_id, services.make_report)


@shared_task(**limits("maintenance"))
def watch_links() -> None:
    services.watch_links(timezone.now())
