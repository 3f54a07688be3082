"""The sign of life of a run: a lock on `.<run_id>.lock` in RUNS_DIR, held for as long as the run's process lives.

The kernel drops it with the process, however that ends (kill -9 too), and no other process can be taken for its holder,
as it can by a process id. A run of another machine has no such file here, and is left alone.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from strategies.ledgers import partial_folder
from strategies.models import Backtest

DIED = "the process died"


@contextmanager
def claim(run_id: str) -> Iterator[None]:
    """Hold the run's lock; OSError where RUNS_DIR cannot be written."""
    path = _lock_path(run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    unlocked = path.with_name(f"{path.name}.new")
    with unlocked.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        unlocked.rename(path)  # under its name only once it is locked
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def close_dead_runs() -> list[str]:
    """End the runs of this machine whose process is gone as failed, remove what they half wrote; their ids.

    A row that shows `running` without a lock here is of another machine, or of a run just starting: not touched.
    """
    closed = []
    for run_id in Backtest.objects.filter(state=Backtest.State.RUNNING).values_list("directory", flat=True):
        path = _lock_path(run_id)
        try:
            file = path.open()
        except FileNotFoundError:
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            running = Backtest.objects.filter(directory=run_id, state=Backtest.State.RUNNING)
            if running.update(state=Backtest.State.FAILED, finished=timezone.now(), error=DIED):
                closed.append(run_id)
                shutil.rmtree(partial_folder(Path(settings.RUNS_DIR) / run_id), ignore_errors=True)
            path.unlink(missing_ok=True)
    return closed


def _lock_path(run_id: str) -> Path:
    return Path(settings.RUNS_DIR) / f".{run_id}.lock"
