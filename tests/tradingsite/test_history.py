"""The history of the configuration: records, differences, reverts."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth import get_user_model

from domain.errors import BadInput
from marketdata.models import Instrument
from marketdata.services import set_watchlist
from strategies.models import RiskProfile, StrategyConfig
from tests.tradingsite.configuration import EXAMPLE, tables
from tradingsite.documents import export_all
from tradingsite.history import changes_of, diff, record_change, recording, revert
from tradingsite.imports import import_documents
from tradingsite.models import ConfigChange

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {"actor": None, "source": ConfigChange.Source.API, "address": "127.0.0.1"}


@pytest.fixture
def example(db):
    import_documents(EXAMPLE, actor=None, source="file")


def test_a_change_is_recorded_with_who_when_and_from_where(example):
    user = get_user_model().objects.create(username="ann")
    profile = RiskProfile.objects.get()
    with recording(profile, actor=user, source="api", address="::1", reason="calmer"):
        profile.limits = {"daily_loss": 500}
        profile.save()
    change = changes_of("risk_profile", "careful")[0]
    assert (change.actor, change.source, change.address, change.reason) == (user, "api", "::1", "calmer")
    assert change.before == {"name": "careful", "limits": {"daily_loss": 1000}}
    assert change.after == {"name": "careful", "limits": {"daily_loss": 500}}
    assert diff(change).splitlines()[2:] == [
        "@@ -1,3 +1,3 @@",
        " - name: careful",
        "   limits:",
        "-    daily_loss: 1000",
        "+    daily_loss: 500",
    ]


def test_a_save_that_changes_nothing_is_no_change(example):
    count = ConfigChange.objects.count()
    with recording(RiskProfile.objects.get(), **ABOUT):
        RiskProfile.objects.get().save()
    record_change(kind="watchlist", name="tech", before={"name": "tech"}, after={"name": "tech"}, **ABOUT)
    assert ConfigChange.objects.count() == count
    record_change(kind="risk_profile", name="x", before={"name": "x"}, after={"name": "x", "limits": {"a": 1}}, **ABOUT)
    record_change(kind="risk_profile", name="x", before={"limits": {"a": 1}}, after={"limits": {"a": True}}, **ABOUT)
    assert ConfigChange.objects.count() == count + 2  # 1 is not true


def test_a_block_that_fails_leaves_neither_change_nor_record(example):
    before = tables()
    with pytest.raises(ZeroDivisionError), recording(RiskProfile.objects.get(), **ABOUT):
        RiskProfile.objects.update(notes="half done")
        raise ZeroDivisionError
    assert tables() == before


def test_a_block_is_watched_by_row_by_name_or_by_what_it_hands_over(example):
    with recording(("watchlist", "tech"), ("watchlist", "new"), **ABOUT):
        set_watchlist(name="tech", instruments=[])
        set_watchlist(name="new", instruments=[])
    with recording(**ABOUT) as touched:
        touched.append(RiskProfile.objects.create(name="made", limits={}))
    newest = ConfigChange.objects.order_by("pk")[7:]
    assert [(each.kind, each.name, each.before is None) for each in newest] == [
        ("watchlist", "new", True),
        ("watchlist", "tech", False),
        ("risk_profile", "made", True),
    ]


def test_what_names_a_row_is_recorded_with_it(example):
    instrument = Instrument.objects.get(symbol="SPY")
    with recording(instrument, **ABOUT):
        instrument.symbol = "SPX"
        instrument.save()
    newest = ConfigChange.objects.order_by("pk")[7:]
    assert [(each.kind, each.name) for each in newest] == [
        ("corporate_action", "SPX"),
        ("instrument", "SPX"),
        ("watchlist", "tech"),
    ]
    assert [each.name for each in changes_of("instrument", "SPX")] == ["SPX", "SPY"]  # through its earlier name
    with recording(instrument, **ABOUT):
        instrument.delete()
    deleted = ConfigChange.objects.filter(after__isnull=True).values_list("kind", flat=True)
    assert sorted(deleted) == ["corporate_action", "instrument"]


def test_a_revert_puts_back_what_stood_before_and_is_a_change_itself(example):
    text = export_all()
    import_documents(EXAMPLE.replace("1000", "5").replace("us\n", "eu\n").replace("1.405617", "2"), **ABOUT)
    for kind, name in (("risk_profile", "careful"), ("watchlist", "tech"), ("corporate_action", "SPY")):
        revert(changes_of(kind, name)[0], actor=None, address="127.0.0.1")
        newest = changes_of(kind, name)[0]
        assert (newest.source, newest.address) == ("revert", "127.0.0.1")
    assert export_all() == text
    revert(changes_of("risk_profile", "careful")[0], actor=None)  # and the revert can be reverted
    assert RiskProfile.objects.get().limits == {"daily_loss": 5}


def test_a_deleted_row_comes_back_and_a_created_one_goes(example):
    text = export_all()
    import_documents("scheduled_backtest: []\nstrategy_config: []", prune=True, **ABOUT)
    assert not StrategyConfig.objects.exists()
    with pytest.raises(BadInput, match="strategy_config: unknown strategy_config 'cross'"):
        revert(changes_of("scheduled_backtest", "nightly")[0], actor=None)
    config = revert(changes_of("strategy_config", "cross")[0], actor=None)
    assert config == StrategyConfig.objects.get()
    revert(changes_of("scheduled_backtest", "nightly")[0], actor=None)
    assert export_all() == text
    with recording(("watchlist", "new"), **ABOUT):
        set_watchlist(name="new", instruments=[])
    created = changes_of("watchlist", "new")[0]
    assert revert(created, actor=None) is None
    assert export_all() == text
    with pytest.raises(BadInput, match="watchlist 'new' is gone"):
        revert(created, actor=None)
    assert revert(created, actor=None, force=True) is None
    assert changes_of("watchlist", "new")[0].after is None


def test_a_row_that_was_changed_again_is_reverted_only_by_force(example):
    import_documents(EXAMPLE.replace("1000", "5"), **ABOUT)
    change = changes_of("risk_profile", "careful")[0]
    import_documents(EXAMPLE.replace("1000", "7"), **ABOUT)
    before = tables()
    with pytest.raises(BadInput, match="risk_profile 'careful' was changed again"):
        revert(change, actor=None)
    assert tables() == before
    revert(change, actor=None, force=True)
    assert RiskProfile.objects.get().limits == {"daily_loss": 1000}
    newest = changes_of("risk_profile", "careful")[0]
    assert newest.before["limits"] == {"daily_loss": 7}


def test_a_created_row_that_others_need_is_not_taken_away(example):
    before = tables()
    with pytest.raises(BadInput, match="risk_profile careful: cannot be deleted; strategy configuration cross need"):
        revert(changes_of("risk_profile", "careful")[0], actor=None)
    assert tables() == before


def test_a_revert_of_a_document_that_is_not_allowed_any_more_is_refused(example):
    profile = RiskProfile.objects.get()
    RiskProfile.objects.update(limits={"of_old": 1})
    with recording(profile, **ABOUT):
        RiskProfile.objects.update(limits={})
    with pytest.raises(BadInput, match="risk_profile 'careful': limits: unknown field 'of_old'"):
        revert(changes_of("risk_profile", "careful")[0], actor=None)


TURNS = """
import sys, django
django.setup()
from strategies.models import RiskProfile
from tradingsite.history import recording
from tradingsite.imports import import_documents
for turn in range(3):
    note = f"{sys.argv[1]}.{turn}"
    with recording(("risk_profile", "x"), actor=None, source="api"):
        RiskProfile.objects.filter(name="x").update(notes=note)
    import_documents(f"risk_profile: [{{name: y, notes: '{note}'}}]", actor=None, source="api")
"""


def test_four_at_once_wait_for_each_other_and_the_history_has_no_gap(tmp_path):
    """In processes of their own, on a database of their own: SQLite, or PostgreSQL beside the tests' one."""
    with own_database(tmp_path) as environ:
        run(environ, "manage.py", "migrate", "-v0")
        file = tmp_path / "x.yaml"
        file.write_text("risk_profile: [{name: x}, {name: y}]")
        run(environ, "manage.py", "config", "import", str(file))
        started = [
            subprocess.Popen([sys.executable, "-c", TURNS, str(number)], env=environ, cwd=ROOT, stderr=subprocess.PIPE)
            for number in range(4)
        ]
        said = [each.communicate(timeout=300)[1].decode() for each in started]
        assert [each.returncode for each in started] == [0] * 4, said
        printed = run(environ, "-c", PRINT)
    changes = json.loads(printed)
    for name in ("x", "y"):
        of_it = [change for change in changes if change["name"] == name]
        assert len(of_it) == 13
        for earlier, later in itertools.pairwise(of_it):
            assert later["before"] == earlier["after"]


PRINT = """
import json, django
django.setup()
from tradingsite.models import ConfigChange
print(json.dumps(list(ConfigChange.objects.order_by("pk").values("name", "before", "after"))))
"""


def run(environ: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def own_database(folder: Path):
    environ = {**os.environ, "VAR_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "tradingsite.settings"}
    url = environ.pop("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield environ
        return
    name = f"history_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as desk:
        desk.execute(f"create database {name}")
        try:
            yield environ | {"DATABASE_URL": url.rpartition("/")[0] + f"/{name}"}
        finally:
            desk.execute(f"drop database {name} with (force)")
