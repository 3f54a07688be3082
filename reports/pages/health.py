"""What works and what does not, with the remedy."""

from __future__ import annotations

import platform
import shutil
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from reports.pages.links import gateway
from reports.pages.parts import Part, live_page
from reports.pages.processes import signs_of_life
from tradingsite.health import checks
from tradingsite.runs import Run, run_models

_PACKAGES = ("ibdesk", "Django", "celery", "numpy", "pandas", "pyarrow", "backtrader", "ib_insync")


@require_safe
@permission_required("tradingsite.view_heartbeat", raise_exception=True)
def health(request: HttpRequest) -> HttpResponse:
    parts = {
        "checks": Part("pages/health/checks.html", _checks),
        "processes": Part("pages/health/processes.html", _processes),
        "gateway": Part("pages/health/gateway.html", partial(gateway, request)),
        "disk": Part("pages/health/disk.html", _disk),
    }
    return live_page(request, "pages/health.html", parts, {"versions": _versions()}, every_seconds=10)


def _checks() -> dict[str, Any]:
    found = checks()
    return {"checks": found, "bad": [each for each in found if not each.ok]}


def _processes() -> dict[str, Any]:
    """Each process' and queue's last sign of life, and how much waits in each queue."""
    signs = signs_of_life()
    waiting: dict[str, int] = {}
    running: dict[str, int] = {}
    for model in run_models():
        rows = model._default_manager.order_by()
        waiting[model.queue] = waiting.get(model.queue, 0) + rows.filter(state=Run.State.QUEUED).count()
        running[model.queue] = running.get(model.queue, 0) + rows.filter(state=Run.State.RUNNING).count()
    for queue in signs["queues"]:
        queue |= {"waiting": waiting.get(queue["name"]), "running": running.get(queue["name"])}
    return signs


def _disk() -> dict[str, Any]:
    usage = shutil.disk_usage(settings.VAR_DIR)
    return {"folder": settings.VAR_DIR, "free": usage.free, "total": usage.total, "used": 1 - usage.free / usage.total}


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version()), (connection.display_name, _database_version())]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:  # ibdesk itself runs from its folder without being installed
            continue
    return found


def _database_version() -> str:
    return ".".join(str(part) for part in connection.get_database_version())
