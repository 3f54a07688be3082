"""Instruments, watchlists, imports, search, health."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from marketdata.models import BarFile, BarImport, Instrument, Watchlist
from marketdata.services import set_watchlist
from reports.pages import holdings
from tests.reports import desk
from tests.strategies import make
from tests.strategies.conftest import places  # noqa: F401
from tests.tradingsite.people import person
from tradingsite import runs
from tradingsite.health import Check
from tradingsite.models import ConfigChange

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy")]


@pytest.fixture
def researcher(client):
    user = person("researcher")
    client.force_login(user)
    return user


def symbols_in(html: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/instruments/\d+/">([^<]+)</a>', html)


# ---- instruments -------------------------------------------------------------------------------------------------


def test_pages_of_instruments_hold_each_once_in_order(client, researcher):
    for number in range(120):
        Instrument.objects.create(symbol=f"S{number % 40:02}", exchange=f"X{number // 40}")
    seen, address = [], "/instruments/?q=s"
    while address:
        html = client.get(address).content.decode()
        seen += symbols_in(html)
        more = re.search(r'href="(\?[^"]+)" rel="next"', html)
        address = "/instruments/" + more[1].replace("&amp;", "&") if more else ""
    assert seen == sorted(f"S{number % 40:02}" for number in range(120))


def test_instruments_are_found_by_symbol_name_kind_and_bars(client, researcher, places):  # noqa: F811
    make.instrument("ABC", make.bars(), name="Alphabet Soup")
    Instrument.objects.create(symbol="ESZ6", kind="future", name="E-mini")

    def found(query: str) -> list[str]:
        return symbols_in(client.get(f"/instruments/?{query}").content.decode())

    assert found("q=ab") == ["ABC"]
    assert found("q=mini") == ["ESZ6"]
    assert found("kind=future") == ["ESZ6"]
    assert (found("bars=held"), found("bars=none"), found("bars=bad")) == (["ABC"], ["ESZ6"], [])
    BarFile.objects.update(quarantined="2026-01-01T00:00Z", fault="torn")
    assert found("bars=bad") == ["ABC"]
    assert "1 damaged" in client.get("/instruments/").content.decode()


def test_a_list_of_instruments_opens_no_file(client, researcher, places, monkeypatch):  # noqa: F811
    make.instrument("ABC", make.bars())
    monkeypatch.setattr("marketdata.store.load_file", lambda *_: pytest.fail("opened"))
    monkeypatch.setattr(holdings, "load_file", lambda *_: pytest.fail("opened"))
    assert "2019-01-02 to 2020-12-31" in client.get("/instruments/").content.decode()


@pytest.mark.parametrize("address", ["/instruments/?after=x", f"/instruments/?after={'9' * 30}~A"])
def test_a_place_that_is_none_is_a_bad_request(client, researcher, address):
    assert client.get(address).status_code == 400


def test_lists_ask_the_same_questions_however_long_they_are(
    client,
    researcher,
    places,  # noqa: F811
    django_assert_num_queries,
):
    rows = [make.instrument(f"S{number}", make.bars(last="2019-02-01", seed=number)) for number in range(3)]
    set_watchlist(name="w", instruments=rows)
    address = f"/watchlists/{Watchlist.objects.get().pk}/"
    asked = {"/instruments/": 7, "/watchlists/": 6, address: 9, "/search/?q=S": 8, "/imports/new/": 6}
    for each, questions in asked.items():
        client.get(each)
        with django_assert_num_queries(questions, info=each):
            client.get(each)
    rows += [make.instrument(f"T{number}", make.bars(last="2019-02-01", seed=number)) for number in range(9)]
    set_watchlist(name="w", instruments=rows)
    desk.bar_import()
    for each, questions in asked.items():
        with django_assert_num_queries(questions, info=each):
            client.get(each)


# ---- watchlists --------------------------------------------------------------------------------------------------


def test_a_watchlist_shows_last_close_change_and_picture(client, researcher, places):  # noqa: F811
    bars = make.bars(seed=5)
    row, bare = make.instrument("ABC", bars), Instrument.objects.create(symbol="NEW")
    set_watchlist(name="w", instruments=[row, bare])
    shown = client.get(f"/watchlists/{Watchlist.objects.get().pk}/").content.decode()
    change = 100 * (bars.close[-1] / bars.close[-2] - 1)
    assert f"{bars.close[-1]:.2f}" in shown
    assert f"{abs(change):.2f}\u202f%" in shown
    assert ('class="gain"' in shown) is bool(change > 0)
    assert shown.count('<svg class="spark"') == 1
    assert "no bars held" in shown


def test_a_damaged_file_is_said_and_hides_nothing_else(client, researcher, places):  # noqa: F811
    good, bad = make.instrument("GOOD", make.bars(seed=1)), make.instrument("BAD", make.bars(seed=2))
    path = places / "bars" / BarFile.objects.get(instrument=bad).path
    path.write_bytes(path.read_bytes()[:-20])
    set_watchlist(name="w", instruments=[good, bad])
    shown = client.get(f"/watchlists/{Watchlist.objects.get().pk}/").content.decode()
    assert "not readable" in shown
    assert shown.count('<svg class="spark"') == 1


def test_daily_closes_go_before_others_and_new_files_show_at_once(places):  # noqa: F811
    row = make.instrument("ABC", make.bars("1h", last="2019-03-01"))
    assert holdings.last_closes([row.pk])[row.pk].timeframe == "1h"
    first = make.bars(last="2019-03-01", seed=3)
    make.store.write_bars(instrument=row, series=first, source="test")
    assert holdings.last_closes([row.pk])[row.pk].close == first.close[-1]
    longer = make.bars(last="2019-04-01", seed=4)
    make.store.write_bars(instrument=row, series=longer, source="test")
    assert holdings.last_closes([row.pk])[row.pk].close == longer.close[-1]


def test_pasted_symbols_become_a_watchlist_in_their_order(client, researcher):
    for symbol in ("AAA", "BBB", "CCC"):
        Instrument.objects.create(symbol=symbol)
    Instrument.objects.create(symbol="CCC", exchange="LSE")
    answer = client.post(
        "/watchlists/new/", {"name": "mine", "tags": "a, b", "symbols": "BBB aaa\n\nCCC@LSE;BBB"}, follow=True
    )
    watchlist = Watchlist.objects.get(name="mine")
    assert answer.redirect_chain == [(f"/watchlists/{watchlist.pk}/", 302)]
    assert "mine: 3 instruments." in answer.content.decode()
    members = watchlist.members.select_related("instrument")
    assert [(each.instrument.symbol, each.instrument.exchange) for each in members] == [
        ("BBB", "SMART"),
        ("AAA", "SMART"),
        ("CCC", "LSE"),
    ]
    edit = client.get(f"/watchlists/{watchlist.pk}/edit/")
    assert "BBB\nAAA\nCCC@LSE</textarea>" in edit.content.decode()


def test_what_is_no_symbol_is_said_on_the_field_and_nothing_is_saved(client, researcher):
    for exchange in ("SMART", "LSE"):
        Instrument.objects.create(symbol="CCC", exchange=exchange)
    answer = client.post("/watchlists/new/", {"name": "mine", "symbols": f"CCD, CCC, {desk.HOSTILE}"})
    (fault,) = answer.context["form"].errors["symbols"]
    assert "did you mean" in fault
    assert "several instruments have this symbol; write CCC@LSE or CCC@SMART" in fault
    assert "<script>alert" not in answer.content.decode()
    assert not Watchlist.objects.exists()


def test_a_name_is_taken_once_and_renaming_keeps_the_list(client, researcher):
    Instrument.objects.create(symbol="AAA")
    other = Watchlist.objects.create(name="other")
    mine = Watchlist.objects.create(name="mine")
    form = {"name": "other", "symbols": "AAA"}
    assert "name" in client.post(f"/watchlists/{mine.pk}/edit/", form).context["form"].errors
    client.post(f"/watchlists/{mine.pk}/edit/", form | {"name": "renamed"})
    mine.refresh_from_db()
    assert (mine.name, mine.members.count(), other.members.count()) == ("renamed", 1, 0)
    change = ConfigChange.objects.get()
    assert (change.kind, change.before["name"], change.after["name"]) == ("watchlist", "mine", "renamed")
    assert change.actor == researcher
    assert Watchlist.objects.count() == 2


# ---- imports -----------------------------------------------------------------------------------------------------


@pytest.fixture
def uploads(settings, tmp_path, monkeypatch):
    settings.UPLOADS_DIR = tmp_path / "uploads"
    monkeypatch.setattr(runs, "send", lambda run: None)
    return settings.UPLOADS_DIR


def upload(client, name: str = "ABC.csv", **fields):
    file = SimpleUploadedFile(name, b"date,open,high,low,close,volume\n2024-01-02,1,2,1,2,10\n")
    return client.post("/imports/new/", {"file": file, **fields})


def test_a_file_handed_in_becomes_a_queued_run_with_its_options(client, researcher, uploads):
    answer = upload(client, timeframe="1d", symbol="ABC", adjustment="raw", since="2024-01-01", strict="on")
    run = BarImport.objects.get()
    assert answer["Location"] == f"/runs/barimport/{run.pk}/"
    assert (run.state, run.origin, run.started_by) == ("queued", "web", researcher)
    wanted = {"symbol": "ABC", "timeframe": "1d", "adjustment": "raw", "since": "2024-01-01", "strict": True}
    assert run.config.items() >= wanted.items()
    assert (uploads / run.path).read_bytes().startswith(b"date,open")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"columns": "close"}, "columns"),
        ({"since": "yesterday"}, "since"),
        ({"timeframe": "7m"}, "timeframe"),
        ({"calendar": "NOWHERE"}, "calendar"),
    ],
)
def test_an_option_that_cannot_be_is_said_on_its_field(client, researcher, uploads, fields, where):
    answer = upload(client, **fields)
    assert answer.status_code == 400
    assert where in answer.context["form"].errors
    assert "<details open>" in answer.content.decode() or where == "timeframe"
    assert not BarImport.objects.exists()
    assert not list(uploads.glob("*/*"))


def test_a_file_that_is_too_large_is_refused(client, researcher, uploads, monkeypatch):
    monkeypatch.setattr("marketdata.uploads.MAX_UPLOAD_BYTES", 10)
    answer = upload(client)
    assert "command line" in answer.content.decode()
    assert not BarImport.objects.exists()


def test_no_file_is_said_on_the_field(client, researcher):
    assert "file" in client.post("/imports/new/", {"symbol": "A"}).context["form"].errors


def test_the_symbol_may_come_with_the_address_and_stays_text(client, researcher):
    shown = client.get("/imports/new/", {"symbol": '"><script>'}).content.decode()
    assert "&quot;&gt;&lt;script&gt;" in shown


# ---- search, health ----------------------------------------------------------------------------------------------


def test_search_finds_instruments_lists_backtests_and_pages(client, researcher):
    Instrument.objects.create(symbol="MOMO", name="Momentum Motors")
    Watchlist.objects.create(name="mom and pop")
    desk.backtest(tag="momentum one", directory="run-1")
    shown = client.get("/search/?q=mom").content.decode()
    for words in ("MOMO", "mom and pop", "momentum one", 'href="/backtests/run-1/"'):
        assert words in shown
    hits = client.get("/search/?q=health", headers={"HX-Request": "true"}).content.decode()
    assert 'href="/health/"' in hits
    assert "<html" not in hits


def test_health_says_cause_and_remedy(client, researcher, monkeypatch):
    bad = Check("queue server", False, "", "refused <now>", "start it: `manage.py up`")
    monkeypatch.setattr("reports.pages.health.checks", lambda: [Check("database", True, "answers"), bad])
    shown = client.get("/health/").content.decode()
    assert "1 of 2 not in order" in shown
    assert "refused &lt;now&gt;" in shown
    assert "start it: <code>manage.py up</code>" in shown
    assert "backtest" in shown
    assert "Django" in shown
