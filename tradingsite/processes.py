"""The platform's processes as command lines, the same under `manage.py up`, systemd and compose. Needs no Django."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from domain.errors import BadInput, UnknownName
from tradingsite.queues import ALONE, QUEUES

BASE_DIR = Path(__file__).resolve().parent.parent


def web_command(bind: str, *, workers: int = 1, threads: int = 8) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "tradingsite.wsgi:application"),
        *("--bind", bind, "--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads)),
        # A worker is replaced now and then, so that a slow leak never counts; a stuck request ends after a minute.
        *("--timeout", "60", "--graceful-timeout", "20", "--max-requests", "10000", "--max-requests-jitter", "1000"),
        *("--logger-class", "tradingsite.gunicorn_logs.Logger", "--log-level", "warning"),
        *("--no-control-socket", "--chdir", str(BASE_DIR)),
    ]


def simulator_command(port: int, state: Path) -> list[str]:
    return [sys.executable, str(BASE_DIR / "manage.py"), "simulator", "--port", str(port), "--state", str(state)]


def beat_command(run_dir: Path) -> list[str]:
    return [*_CELERY, "beat", "--loglevel", "warning", "--pidfile", "", "--schedule", str(run_dir / "beat")]


def worker_command(queues: Sequence[str], concurrency: int | None = None) -> list[str]:
    """A worker of these queues. Time limits are the tasks' own, so queues of one pool can share a worker."""
    for queue in queues:
        if queue not in QUEUES:
            raise UnknownName("queue", queue, QUEUES)
    chosen = [QUEUES[queue] for queue in queues]
    if not chosen:
        raise BadInput(f"say which queues: {', '.join(QUEUES)}")
    if len(chosen) > 1 and ALONE & set(queues):
        raise BadInput(f"the queue {' '.join(sorted(ALONE & set(queues)))} has a worker of its own; start it by itself")
    pools = {each.pool for each in chosen}
    pool = "threads" if pools == {"threads"} else "prefork"
    command = [
        *(*_CELERY, "worker", "--queues", ",".join(queues), "--hostname", f"{'+'.join(queues)}@%h"),
        *("--pool", pool, "--concurrency", str(concurrency or max(each.concurrency for each in chosen))),
        *("--loglevel", "warning", "--without-gossip", "--without-mingle"),
    ]
    if pool == "prefork":
        smallest_tasks = min(each.max_tasks for each in chosen if each.max_tasks)
        memory_kb = max(each.max_memory_mb for each in chosen) * 1000
        command += ["--max-tasks-per-child", str(smallest_tasks), "--max-memory-per-child", str(memory_kb)]
    return command


_CELERY = [sys.executable, "-m", "celery", "--quiet", "--app", "tradingsite.celery:app", "--workdir", str(BASE_DIR)]
