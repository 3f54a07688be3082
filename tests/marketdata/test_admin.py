import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from marketdata.models import BarFile, CorporateAction, Instrument, Watchlist
from tests.marketdata.make import instrument
from tests.tradingsite.people import staff
from tradingsite.models import ConfigChange

pytestmark = pytest.mark.django_db


@pytest.fixture
def researcher(client):
    client.force_login(staff("researcher"))
    return client


def add(client, model, **form):
    return client.post(reverse(f"admin:marketdata_{model}_add"), form)


def errors(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


def held(name: str) -> list[str]:
    members = Watchlist.objects.get(name=name).members.select_related("instrument")
    return [each.instrument.symbol for each in members]


def test_a_pasted_list_is_kept_in_its_order(researcher):
    for symbol in ("SPY", "QQQ", "IBM"):
        instrument(symbol)
    assert add(researcher, "watchlist", name="mine", tags="us, us,, etf", symbols="QQQ; IBM\tSPY").status_code == 302
    assert held("mine") == ["QQQ", "IBM", "SPY"]
    assert Watchlist.objects.get().tags == "us, etf"


def test_what_is_shown_can_be_saved_as_it_is_and_edited(researcher):
    for symbol in ("SPY", "QQQ"):
        instrument(symbol)
    add(researcher, "watchlist", name="mine", symbols="SPY QQQ")
    page = reverse("admin:marketdata_watchlist_change", args=[Watchlist.objects.get().pk])
    shown = researcher.get(page).context["adminform"].form.initial["symbols"]
    assert shown == "SPY\nQQQ"
    researcher.post(page, {"name": "mine", "symbols": shown})
    assert held("mine") == ["SPY", "QQQ"]
    researcher.post(page, {"name": "other name", "symbols": "QQQ"})
    assert held("other name") == ["QQQ"]
    assert Watchlist.objects.count() == 1


def test_unknown_symbols_are_named_on_the_field_and_nothing_is_written(researcher):
    instrument("AAPL")
    found = errors(add(researcher, "watchlist", name="mine", symbols="AAPL APPL"))
    assert found == {"symbols": ["unknown instrument 'APPL'; did you mean 'AAPL'?"]}
    assert not Watchlist.objects.exists()


@pytest.mark.parametrize(("name", "text"), [("a.csv", "symbol\nQQQ\nSPY\n"), ("a.yaml", "- QQQ\n- SPY\n")])
def test_a_file_takes_the_place_of_the_symbols(researcher, name, text):
    for symbol in ("SPY", "QQQ"):
        instrument(symbol)
    file = SimpleUploadedFile(name, text.encode())
    assert add(researcher, "watchlist", name="mine", symbols="SPY", file=file).status_code == 302
    assert held("mine") == ["QQQ", "SPY"]


def test_what_is_wrong_with_a_file_is_said_on_its_field(researcher):
    found = errors(add(researcher, "watchlist", name="mine", file=SimpleUploadedFile("a.yaml", b"{")))
    assert found.keys() == {"file"}


def test_a_change_of_a_list_is_recorded_with_its_members(researcher):
    instrument("SPY")
    add(researcher, "watchlist", name="mine", symbols="SPY")
    page = reverse("admin:marketdata_watchlist_change", args=[Watchlist.objects.get().pk])
    researcher.post(page, {"name": "mine", "symbols": ""})
    newest, first = ConfigChange.objects.filter(kind="watchlist")
    assert first.before is None
    assert "SPY" in str(first.after)
    assert "SPY" in str(newest.before)
    assert "SPY" not in str(newest.after)
    assert newest.actor.username == "researcher"


def test_a_viewer_reads_the_symbols_and_saves_nothing(client):
    row = Watchlist.objects.create(name="mine")
    row.members.create(instrument=instrument("SPY"))
    client.force_login(staff("viewer"))
    page = reverse("admin:marketdata_watchlist_change", args=[row.pk])
    assert "SPY" in client.get(page).content.decode()
    assert client.post(page, {"name": "yours", "symbols": ""}).status_code == 403
    assert held("mine") == ["SPY"]


def test_the_list_counts_instruments(researcher):
    row = Watchlist.objects.create(name="mine")
    for symbol in ("SPY", "QQQ"):
        row.members.create(instrument=instrument(symbol))
    shown = researcher.get(reverse("admin:marketdata_watchlist_changelist")).context["cl"].queryset.get()
    assert shown.count == 2


INSTRUMENT = {
    "symbol": "SPY", "kind": "stock", "exchange": "SMART", "currency": "USD", "calendar": "XNYS", "tick": "0.01",
    "lot": "1", "multiplier": "1", "active": "on",
}  # fmt: skip


def test_an_instrument_is_added(researcher):
    assert add(researcher, "instrument", **INSTRUMENT).status_code == 302
    assert Instrument.objects.get().symbol == "SPY"


@pytest.mark.parametrize(
    ("field", "value"), [("calendar", "XNYZ"), ("symbol", "../x"), ("kind", "house"), ("tick", "abc"), ("symbol", "")]
)
def test_what_an_instrument_cannot_be_is_said_on_its_field(researcher, field, value):
    assert errors(add(researcher, "instrument", **{**INSTRUMENT, field: value})).keys() == {field}


@pytest.mark.parametrize(("field", "value"), [("tick", "0"), ("lot", "-1"), ("multiplier", "0"), ("margin", "0")])
def test_steps_must_be_positive(researcher, field, value):
    assert errors(add(researcher, "instrument", **{**INSTRUMENT, field: value})).keys() == {field}
    assert not Instrument.objects.exists()


def test_an_instrument_links_to_its_page_and_says_what_is_held(researcher):
    row = instrument("SPY")
    for timeframe, partition, first in (
        ("1d", 0, "2005-01-03"),
        ("1m", 2023, "2023-01-03"),
        ("1m", 2024, "2024-01-03"),
    ):
        BarFile.objects.create(
            instrument=row, timeframe=timeframe, partition=partition, start=f"{first}T00:00Z", end="2024-12-30T00:00Z",
            rows=1, bytes=1, sha256="0" * 64, path=f"{timeframe}{partition}",
        )  # fmt: skip
    page = researcher.get(reverse("admin:marketdata_instrument_changelist")).content.decode()
    assert "1d 2005-01 to 2024-12, 1m 2023-01 to 2024-12" in page
    page = researcher.get(reverse("admin:marketdata_instrument_change", args=[row.pk])).content.decode()
    assert f'href="/instruments/{row.pk}/"' in page


def test_a_split_needs_a_value(researcher):
    form = {"instrument": instrument("SPY").pk, "ex_date": "2024-01-02", "kind": "split"}
    assert errors(add(researcher, "corporateaction", **form)).keys() == {"value"}
    assert errors(add(researcher, "corporateaction", **form, value="-1")).keys() == {"value"}
    assert add(researcher, "corporateaction", **form, value="2").status_code == 302
    assert CorporateAction.objects.get().value == 2
