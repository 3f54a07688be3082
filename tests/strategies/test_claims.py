import uuid
from datetime import UTC, datetime

import pytest

from strategies.claims import claim, close_dead_runs
from strategies.models import Backtest


def running(run_id: str) -> Backtest:
    return Backtest.objects.create(directory=run_id, state="running", started=datetime.now(UTC))


def test_a_run_whose_lock_nobody_holds_is_closed_with_what_it_half_wrote(db, places):
    row = running("dead.1")
    (places / "runs" / ".dead.1.partial").mkdir(parents=True)
    (places / "runs" / ".dead.1.lock").touch()
    assert close_dead_runs() == ["dead.1"]
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "the process died")
    assert row.finished is not None
    assert list((places / "runs").iterdir()) == []
    assert close_dead_runs() == []


def test_a_run_whose_lock_is_held_goes_on(db, places):
    row = running("alive")
    with claim("alive"):
        assert [path.name for path in (places / "runs").iterdir()] == [".alive.lock"]
        assert close_dead_runs() == []
    row.refresh_from_db()
    assert row.state == "running"
    assert list((places / "runs").iterdir()) == []


def test_a_run_of_another_machine_is_left_alone(db, places):
    running(str(uuid.uuid4()))
    assert close_dead_runs() == []


def test_a_lock_ends_with_an_exception_too(places):
    with pytest.raises(ZeroDivisionError), claim("broken"):
        raise ZeroDivisionError
    assert list((places / "runs").iterdir()) == []
