import uuid
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from strategies.models import Backtest

NOW = datetime(2024, 1, 2, tzinfo=UTC)


def row(**fields) -> Backtest:
    return Backtest.objects.create(directory=str(uuid.uuid4()), **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "queued", "started": NOW},
        {"state": "running"},
        {"state": "running", "started": NOW, "finished": NOW},
        {"state": "succeeded", "started": NOW},
        {"state": "cancelled"},
        {"state": "lost", "finished": NOW},
        {"progress": 1.1},
        {"progress": -0.1},
    ],
)
def test_a_run_that_cannot_be_is_refused_by_the_database(db, fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        row(**fields)


def test_a_run_may_be_cancelled_before_it_starts(db):
    assert row(state="cancelled", finished=NOW).started is None


def test_a_directory_belongs_to_one_run(db):
    held = row()
    with pytest.raises(IntegrityError), transaction.atomic():
        Backtest.objects.create(directory=held.directory)
