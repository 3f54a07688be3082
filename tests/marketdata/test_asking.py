import datetime as dt

import pytest
from django.contrib import messages

from domain.errors import BadInput
from marketdata import store
from marketdata.asking import MOST, Wish, ask_for, wishes_of
from marketdata.models import BarFile, LoadRun
from marketdata.planning import SIMULATED
from tests.marketdata import loads, make
from tests.tradingsite.people import person

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2023, 7, 1, 12, tzinfo=dt.UTC)  # a Saturday


@pytest.fixture
def tess():
    return person("researcher", "tess")


def held(symbol, last="2023-06-30"):
    row = make.instrument(symbol)
    store.write_bars(instrument=row, series=loads.series("1d", "2023-06-01", last), source=SIMULATED)
    return row


def texts(asked):
    return [(messages.DEFAULT_TAGS[level], text) for level, text in asked.tell()]


@pytest.mark.usefixtures("bars_root")
def test_only_what_has_something_missing_is_queued(tess):
    wishes = [Wish(held("FULL"), "1d"), Wish(held("OLD", "2023-06-20"), "1d"), Wish(make.instrument("NEW"), "1d")]
    asked = ask_for(wishes, mode="tail", person=tess, now=NOW)
    assert [(run.instrument.symbol, run.mode, run.started_by) for run in asked.loads] == [
        ("OLD", "tail", tess), ("NEW", "tail", tess),
    ]  # fmt: skip
    assert asked.complete == wishes[:1] and asked.refused == []
    success, info, warning = texts(asked)
    assert success == ("success", "2 loads are queued: OLD 1d, NEW 1d.")
    assert info == ("info", "Nothing is missing, so nothing was asked for: FULL 1d.")
    assert warning[0] == "warning" and "They wait for the gateway (off)" in warning[1] and "`" not in warning[1]


@pytest.mark.usefixtures("bars_root")
def test_asking_twice_is_asking_once(tess):
    wish = Wish(make.instrument(), "1h")
    (first,) = ask_for([wish], mode="full", person=tess, now=NOW).loads
    (again,) = ask_for([wish], mode="full", person=tess, now=NOW).loads
    assert first == again == LoadRun.objects.get()


@pytest.mark.usefixtures("bars_root")
def test_what_cannot_be_loaded_is_told_and_the_rest_goes_on(tess):
    spy = make.instrument()
    asked = ask_for([Wish(spy, "1m", "ADJUSTED_LAST"), Wish(spy, "1h")], mode="tail", person=tess, now=NOW)
    assert [run.timeframe for run in asked.loads] == ["1h"]
    assert [(wish.timeframe, "ADJUSTED_LAST is loaded for 1d and 1w" in why) for wish, why in asked.refused] == [
        ("1m", True)
    ]
    assert ("error", asked.refused[0][1]) in texts(asked)


def test_more_than_a_load_plan_is_for_is_refused(tess):
    with pytest.raises(BadInput, match="make a load plan"):
        ask_for([Wish(make.instrument(), "1d")] * (MOST + 1), mode="tail", person=tess, now=NOW)
    assert not LoadRun.objects.exists()


@pytest.mark.usefixtures("bars_root")
def test_files_lead_to_their_series_once_and_not_to_those_that_are_imported():
    spy = make.instrument()
    store.write_bars(instrument=spy, series=loads.series("1h", "2022-12-01", "2023-01-10"), source=SIMULATED)
    store.write_bars(instrument=spy, series=make.minutes(10), source=SIMULATED)
    assert BarFile.objects.count() == 3
    assert wishes_of(BarFile.objects.select_related("instrument")) == [Wish(spy, "1h", "TRADES")]
