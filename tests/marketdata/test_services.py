import pytest

from domain.adjustments import Delisting, Dividend, Split
from domain.errors import BadInput, UnknownName
from marketdata import services
from marketdata.models import CorporateAction, Instrument, Watchlist
from tests.marketdata import make

pytestmark = pytest.mark.django_db


def test_a_described_instrument_is_the_held_one_or_a_new_one_on_its_exchange_calendar():
    held = make.instrument("SPY")
    assert services.describe_instrument(symbol="SPY") == held
    new = services.describe_instrument(symbol="FESX", exchange="EUREX", kind="future", currency="EUR")
    assert new.pk is None and new.calendar == "XEUR"
    services.save_instrument(instrument=new)
    assert services.describe_instrument(symbol="FESX") == new
    with pytest.raises(BadInput, match="SPY is on calendar XNYS, not XLON"):
        services.describe_instrument(symbol="SPY", calendar="XLON")
    with pytest.raises(BadInput, match="instrument NEW: currency: "):
        services.describe_instrument(symbol="NEW", currency="DOLLAR")
    with pytest.raises(UnknownName, match="calendar"):
        services.describe_instrument(symbol="NEW", calendar="MARS")


def test_saving_what_another_process_saved_first_gives_its_row():
    mine, theirs = (services.describe_instrument(symbol="SPY") for _ in range(2))
    theirs.save()
    assert services.save_instrument(instrument=mine) == theirs
    assert Instrument.objects.count() == 1


def test_one_symbol_on_two_exchanges_must_be_told_apart():
    make.instrument("SPY")
    make.instrument("SPY", exchange="LSE")
    with pytest.raises(BadInput, match=r"several instruments .*LSE/USD/stock.*say the exchange"):
        Instrument.objects.named("SPY")
    assert Instrument.objects.named("SPY", exchange="LSE").exchange == "LSE"
    with pytest.raises(UnknownName, match="did you mean 'SPY'"):
        Instrument.objects.named("SPYY")


def test_actions_come_back_as_they_were_recorded_in_date_order():
    spy = make.instrument()
    actions = [Dividend(19000, 0.25), Split(18000, 7.0), Delisting(19500), Split(19000, 1 / 3)]
    assert services.record_actions(instrument=spy, actions=actions, source="test") == (4, 0, 0)
    back = services.actions_of(spy)
    assert back[0] == Split(18000, 7.0)
    assert back[1] == Dividend(19000, 0.25)
    assert back[2] == Split(19000, 0.3333333333)
    assert back[3] == Delisting(19500, None)
    assert services.record_actions(instrument=spy, actions=actions, source="test") == (0, 0, 4)
    assert services.record_actions(instrument=spy, actions=[Dividend(19000, 0.26)], source="b") == (0, 1, 0)
    assert CorporateAction.objects.get(kind="dividend").source == "b"


def test_a_watchlist_keeps_its_order_and_is_rewritten_only_when_it_differs():
    one, two = make.instrument("ONE"), make.instrument("TWO")
    assert services.set_watchlist(name="demo", instruments=[two, one])
    members = Watchlist.objects.named("demo").members
    assert [member.instrument for member in members.all()] == [two, one]
    before = list(members.values_list("pk", flat=True))
    assert not services.set_watchlist(name="demo", instruments=[two, one])
    assert list(members.values_list("pk", flat=True)) == before
    assert services.set_watchlist(name="demo", instruments=[one])
    with pytest.raises(UnknownName, match="did you mean 'demo'"):
        Watchlist.objects.named("dem")
