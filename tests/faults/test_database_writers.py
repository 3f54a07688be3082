"""Sixteen processes that read and then write: on SQLite none is told that the database is locked."""

from __future__ import annotations

import pytest

from tests.faults import processes

PROCESSES, EACH = 16, 60

WRITE = """
import time
from django.db import OperationalError, transaction
from django.utils import timezone
from marketdata.models import BarImport
from tradingsite import heartbeats, runs
faults, longest = [], 0.0
for number in range(int(sys.argv[2])):
    began = time.monotonic()
    try:
        with transaction.atomic():  # reads first, so that a deferred transaction would have to upgrade its lock
            BarImport.objects.count()
            run = BarImport.objects.create(name=f"{sys.argv[1]}-{number}", origin="web")
        claimed = runs.claim(BarImport, run.pk)
        heartbeats.beat(f"worker:{sys.argv[1]}")
        assert runs.finish(claimed, runs.Run.State.SUCCEEDED)
    except OperationalError as error:
        faults.append(str(error))
    longest = max(longest, time.monotonic() - began)
print(len(faults), faults[:1], round(longest, 2))
"""
COUNT = "from marketdata.models import BarImport; print(BarImport.objects.filter(state='succeeded').count())"


@pytest.mark.slow
def test_sixteen_processes_write_and_none_is_locked_out(tmp_path):
    where = processes.environment(tmp_path)
    processes.migrate(where)
    writers = [processes.start(WRITE, where, str(number), str(EACH)) for number in range(PROCESSES)]
    said = [writer.communicate(timeout=300) for writer in writers]
    assert [errors for _, errors in said if "Error" in errors] == []
    print("longest wait in seconds:", max(float(out.split()[-1]) for out, _ in said))
    assert [out for out, _ in said if not out.startswith("0 ")] == []
    assert int(processes.run(COUNT, where)) == PROCESSES * EACH
