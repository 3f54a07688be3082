"""Instruments, watchlists and corporate actions as documents: their names, and what a name means."""

import pytest

from domain.errors import BadInput
from marketdata.listings import instrument_meant, instrument_named, reference
from marketdata.models import CorporateAction, Instrument, Watchlist
from marketdata.services import set_watchlist
from tests.marketdata import make
from tradingsite.documents import get_kind
from tradingsite.history import changes_of
from tradingsite.imports import import_documents

pytestmark = pytest.mark.django_db
ABOUT = {"actor": None, "source": "file"}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "SPY"),
        ({"kind": "etf"}, "SPY/etf"),
        ({"exchange": "ARCA"}, "SPY@ARCA"),
        ({"exchange": "LSE", "currency": "GBP"}, "SPY@LSE/GBP"),
        ({"exchange": "CME", "currency": "EUR", "kind": "future"}, "SPY@CME/EUR/future"),
    ],
)
def test_a_name_says_what_differs_from_a_stock_on_smart_in_dollars(fields, name):
    row = make.instrument("SPY", **fields)
    make.instrument("SPYX")
    assert reference(row) == name
    assert instrument_named(name) == row
    assert instrument_meant("SPY") == row  # there is only one that it can mean


def test_a_short_name_that_several_can_have_is_refused_unless_it_is_the_full_name_of_one():
    make.instrument("VOD", exchange="LSE", currency="GBP")
    american = make.instrument("VOD", exchange="NASDAQ")
    with pytest.raises(BadInput, match="several instruments have this symbol"):
        instrument_meant("VOD")
    assert instrument_meant("VOD@NASDAQ") == american
    smart = make.instrument("VOD")
    assert instrument_meant("VOD") == smart
    for wrong in ("VOD@", "VOD#2", "VOD#0", "@LSE", "", "VOD@ARCA"):
        with pytest.raises(BadInput, match="unknown instrument"):
            instrument_meant(wrong)


def test_instruments_that_shared_a_listing_keep_names_of_their_own():
    first = make.instrument("META", active=False, name="fund")
    second = make.instrument("META", active=False, name="short-lived")
    held = make.instrument("META", name="company")
    assert [reference(row) for row in (held, first, second)] == ["META", "META#2", "META#3"]
    set_watchlist(name="all", instruments=[second, held, first])
    kind = get_kind("watchlist")
    assert kind.dump(Watchlist.objects.get())["members"] == ["META#3", "META", "META#2"]
    for row in (first, second, held):
        assert instrument_named(reference(row)) == row


def test_a_symbol_that_passed_to_another_contract_never_takes_its_bars_along():
    held = make.instrument("META", con_id=1, name="fund")
    with pytest.raises(BadInput, match="instrument 'META': con_id: the listing is held by contract 1, not 2"):
        import_documents("instrument: [{symbol: META, con_id: 2}]", **ABOUT)
    import_documents("instrument: [{symbol: FB, con_id: 1}]", **ABOUT)
    held.refresh_from_db()
    assert (held.symbol, held.name) == ("FB", "")  # the contract id is the identity, the symbol is not
    assert [each.name for each in changes_of("instrument", "FB")] == ["FB"]


def test_a_watchlist_document_sets_the_order():
    for symbol in ("A", "B", "C"):
        make.instrument(symbol)
    import_documents("watchlist: [{name: x, members: [C, A, B]}]", **ABOUT)
    assert list(Watchlist.objects.get().members.values_list("instrument__symbol", flat=True)) == ["C", "A", "B"]
    import_documents("watchlist: [{name: x, members: [B, C]}]", **ABOUT)
    assert list(Watchlist.objects.get().members.values_list("instrument__symbol", flat=True)) == ["B", "C"]


def test_a_list_of_actions_is_the_whole_list():
    spy = make.instrument("SPY")
    other = make.instrument("QQQ")
    CorporateAction.objects.create(instrument=other, ex_date="2020-01-01", kind="split", value=2)
    text = """
corporate_action:
- instrument: SPY
  actions:
  - {ex_date: 2020-01-02, kind: dividend, value: 1.25, source: hand}
  - {ex_date: 2020-01-02, kind: split, value: '0.3333333333'}
  - {ex_date: 2021-01-02, kind: delisting}
"""
    import_documents(text, **ABOUT)
    kept = CorporateAction.objects.get(kind="split", instrument=spy)
    report = import_documents(
        text.replace("1.25", "1.5").replace("  - {ex_date: 2021-01-02, kind: delisting}\n", ""), **ABOUT
    )
    assert report.changed == ["corporate_action SPY"]
    rows = CorporateAction.objects.of(spy).values_list("kind", "value", "source")
    assert [(kind, str(value), source) for kind, value, source in rows] == [
        ("dividend", "1.5000000000", "hand"),
        ("split", "0.3333333333", ""),
    ]
    assert CorporateAction.objects.get(kind="split", instrument=spy) == kept
    assert CorporateAction.objects.of(other).count() == 1
    twice = text.replace("2021-01-02, kind: delisting", "2020-01-02, kind: dividend, value: 1")
    with pytest.raises(BadInput, match="corporate_action 'SPY': actions: dividend of 2020-01-02 given twice"):
        import_documents(twice, **ABOUT)
    assert import_documents("corporate_action: []", prune=True, **ABOUT).deleted == [
        "corporate_action QQQ",
        "corporate_action SPY",
    ]
    assert Instrument.objects.count() == 2
