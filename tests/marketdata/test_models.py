import datetime as dt
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from domain.instrument import Instrument as DomainInstrument
from domain.instrument import InstrumentKind
from marketdata.models import Bar, BarFile, CorporateAction, Instrument, Watchlist, WatchlistMember
from tests.marketdata import make

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2024, 1, 2, 15, tzinfo=dt.UTC)


def refused(make_row, **fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        make_row(**fields)


def test_an_instrument_is_a_domain_value():
    row = make.instrument(
        "ES", kind="future", exchange="CME", calendar="CMES", tick="0.25", multiplier="50", margin="9"
    )
    row.refresh_from_db()
    assert row.as_domain() == DomainInstrument(
        "ES", InstrumentKind.FUTURE, "USD", "CMES", tick=0.25, lot=1.0, multiplier=50.0, margin=9.0
    )


def test_a_symbol_is_unique_among_active_instruments_of_one_exchange_currency_and_kind():
    old = make.instrument("WM")
    refused(make.instrument, symbol="WM")
    make.instrument("WM", currency="EUR")
    make.instrument("WM", kind="index")
    old.active = False
    old.save()
    make.instrument("WM")
    assert Instrument.objects.named("WM", currency="USD", kind="stock").pk != old.pk


def test_a_contract_id_belongs_to_one_instrument():
    make.instrument("ONE", con_id=1)
    make.instrument("TWO")
    make.instrument("THREE")
    refused(make.instrument, symbol="FOUR", con_id=1)


@pytest.mark.parametrize("fields", [{"tick": 0}, {"lot": -1}, {"multiplier": 0}, {"margin": 0}, {"kind": "bond"}])
def test_the_database_refuses_an_instrument_that_cannot_be(fields):
    refused(make.instrument, **fields)


def test_the_database_refuses_a_bar_file_that_cannot_be():
    good = {
        "instrument": make.instrument(),
        "timeframe": "1m",
        "partition": 2024,
        "start": NOW,
        "end": NOW + dt.timedelta(minutes=1),
        "rows": 1,
        "bytes": 1,
        "sha256": "0" * 64,
    }
    for number, bad in enumerate(
        ({"rows": 0}, {"end": NOW}, {"version": 0}, {"timeframe": "7m"}, {"adjustment": "x"}, {"what": "LAST"})
    ):
        refused(BarFile.objects.create, **good | bad, path=str(number))
    BarFile.objects.create(**good, path="a")
    refused(BarFile.objects.create, **good, path="b")
    refused(BarFile.objects.create, **good | {"partition": 2025}, path="a")


def test_the_database_refuses_a_corporate_action_that_cannot_be():
    spy = make.instrument()
    create = CorporateAction.objects.create
    day = dt.date(2024, 1, 2)
    for kind, value in (("split", 0), ("split", None), ("dividend", -1), ("delisting", -1), ("merger", 1)):
        refused(create, instrument=spy, ex_date=day, kind=kind, value=value)
    create(instrument=spy, ex_date=day, kind="split", value=2, source="a")
    refused(create, instrument=spy, ex_date=day, kind="split", value=3, source="b")
    create(instrument=spy, ex_date=day, kind="delisting", value=None)


def test_the_database_refuses_a_tape_bar_that_cannot_be():
    prices = dict.fromkeys(("open", "high", "low", "close"), Decimal(10))
    good = {
        "instrument": make.instrument(),
        "timeframe": "1m",
        "start": NOW,
        "end": NOW + dt.timedelta(minutes=1),
        "received_at": NOW,
        "origin": "trader",
        **prices,
    }
    for bad in ({"high": 9}, {"low": 11}, {"low": 0}, {"volume": -1}, {"end": NOW}):
        refused(Bar.objects.create, **good | bad)
    Bar.objects.create(**good)
    refused(Bar.objects.create, **good)


def test_a_watchlist_holds_an_instrument_once():
    spy, watchlist = make.instrument(), Watchlist.objects.create(name="demo")
    WatchlistMember.objects.create(watchlist=watchlist, instrument=spy)
    refused(WatchlistMember.objects.create, watchlist=watchlist, instrument=spy)


def test_an_instrument_with_bars_cannot_be_deleted(bars_root):
    from marketdata import store

    spy = make.instrument()
    store.write_bars(instrument=spy, series=make.minutes(5), source="test")
    with pytest.raises(IntegrityError):
        spy.delete()


def test_no_migration_is_missing():
    call_command("makemigrations", "marketdata", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_the_migration_can_be_taken_back():
    executor = MigrationExecutor(connection)
    leaves = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate([("marketdata", None)])
        assert "marketdata_barfile" not in connection.introspection.table_names()
    finally:
        MigrationExecutor(connection).migrate(leaves)
    assert "marketdata_barfile" in connection.introspection.table_names()
