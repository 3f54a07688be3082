"""The page of an instrument, asked for as a browser does."""

import datetime as dt
import json
import re
from dataclasses import replace
from decimal import Decimal
from html import escape

import numpy as np
import pytest

from domain.bars import Adjustment
from execution.models import Account, Fill
from marketdata import store
from marketdata.models import BarFile, CorporateAction, Instrument
from reports.ledgers import read_ledger
from strategies.backtests import plan_backtest, run_backtest, run_directory
from strategies.config import parse_config
from tests.reports import desk
from tests.strategies import make
from tests.strategies.conftest import known, market, places  # noqa: F401
from tests.tradingsite.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def abc(places):  # noqa: F811
    return make.instrument("ABC", make.bars(seed=1), name="Alphabet Soup Company")


@pytest.fixture
def viewer(client):
    client.force_login(person("viewer"))
    return client


def figure_of(response):
    text = re.search(
        r'<script id="price-figure" type="application/json">(.*?)</script>', response.content.decode(), re.S
    )
    return json.loads(text[1])


def test_it_shows_the_last_close_the_change_and_what_is_held(viewer, abc):
    bars = make.bars(seed=1)
    text = viewer.get(f"/instruments/{abc.pk}/").content.decode()
    share = 100 * (bars.close[-1] / bars.close[-2] - 1)
    for part in (f"{bars.close[-1]:g}", f"{abs(share):.2f}", "Alphabet Soup Company", "XNYS", "2020-12-31", "505"):
        assert part in text
    assert BarFile.objects.get().path in text


def test_the_chart_ends_with_the_newest_bar_and_keeps_what_was_chosen(viewer, abc):
    response = viewer.get(f"/instruments/{abc.pk}/", {"sma": "20", "range": "3M"})
    figure = figure_of(response)
    assert figure["data"][0]["x"][-1] == "2020-12-31"
    assert figure["data"][1]["name"] == "Volume" and figure["data"][2]["name"] == "SMA 20"
    links = re.findall(r'<a href="(\?[^"]*)"[^>]*>1Y</a>', response.content.decode())
    assert links == ["?sma=20&amp;range=1Y"]


def test_the_exchanges_clock_is_a_switch(viewer, places):  # noqa: F811
    row = make.instrument("MIN", make.bars("30m", first="2020-07-01", last="2020-07-10"))
    assert figure_of(viewer.get(f"/instruments/{row.pk}/"))["data"][0]["x"][0] == "2020-07-01 13:30"
    shown = figure_of(viewer.get(f"/instruments/{row.pk}/", {"zone": "exchange"}))
    assert shown["data"][0]["x"][0] == "2020-07-01 09:30"


def test_adjusted_prices_are_a_switch_where_they_are_held(viewer, abc):
    text = viewer.get(f"/instruments/{abc.pk}/").content.decode()
    assert "Adjusted</span>" not in text
    series = make.bars(seed=3)
    store.write_bars(instrument=abc, series=replace(series, adjustment=Adjustment.TOTAL), source="test")
    response = viewer.get(f"/instruments/{abc.pk}/", {"adjustment": "total"})
    assert "Adjusted</span>" in response.content.decode()
    assert figure_of(response)["data"][0]["close"][-1] == pytest.approx(series.close[-1])


def test_real_fills_are_marked_for_those_who_may_see_them(viewer, abc):
    account = Account.objects.create(number="DU1")
    moments = [dt.datetime(2020, 6, 1, 15, tzinfo=dt.UTC), dt.datetime(2018, 1, 1, tzinfo=dt.UTC)]
    for number, moment in enumerate(moments):
        Fill.objects.create(
            exec_id=str(number),
            account=account,
            instrument=abc,
            side="buy",
            quantity=Decimal(7),
            price=Decimal("99.5"),
            time=moment,
        )
    (bought,) = [trace for trace in figure_of(viewer.get(f"/instruments/{abc.pk}/"))["data"] if trace["name"] == "Buy"]
    assert (bought["x"], bought["y"], bought["customdata"]) == (["2020-06-01"], [99.5], [7.0])


def test_the_fills_of_a_run_are_its_ledgers(viewer, market, known):  # noqa: F811
    asked = {"symbols": ["ABC", "XYZ"], "strategy": {"name": "ma_crossover", "params": {"fast": 5, "slow": 12}}}
    run = run_backtest(plan_backtest(parse_config(asked)))
    row = Instrument.objects.named("ABC")
    response = viewer.get(f"/instruments/{row.pk}/", {"run": run.run_id, "range": "All"})
    shown = {trace["name"]: trace for trace in figure_of(response)["data"]}
    fills = read_ledger(run_directory(run), "fills")
    mine = np.array(fills["instrument"]) == "ABC"
    for name, side in (("Buy", "buy"), ("Sell", "sell")):
        rows = mine & (np.array(fills["side"]) == side)
        assert shown[name]["y"] == pytest.approx(fills["price"][rows].tolist(), abs=1e-6)
        days = fills["time"][rows].astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist()
        assert shown[name]["x"] == days
    assert f"{mine.sum()} of {mine.sum()} fills of run {run.run_id}" in response.content.decode()
    assert viewer.get(f"/instruments/{row.pk}/", {"run": "../../etc"}).status_code == 400


def test_the_map_of_coverage_tells_class_and_count(viewer, abc):
    response = viewer.get(f"/instruments/{abc.pk}/coverage/")
    text = response.content.decode()
    assert "505 of 505 expected 1d bars" in text and "<html" not in text
    for name in ("Unexplained", "Before the listing", "After the delisting", "Halt", "No trades"):
        assert name in text
    days = viewer.get(f"/instruments/{abc.pk}/coverage/", {"year": "2020"}).content.decode()
    assert "Dec 31: 1 of 1 bars" in days
    for year in ("-1", "x", "99999", "²"):
        assert viewer.get(f"/instruments/{abc.pk}/coverage/", {"year": year}).status_code == 400


def test_a_damaged_file_is_named_and_the_page_still_stands(viewer, abc, places):  # noqa: F811
    (places / "bars" / BarFile.objects.get().path).write_bytes(b"x")
    text = viewer.get(f"/instruments/{abc.pk}/").content.decode()
    assert "is damaged" in text and "Corporate actions" in text
    assert viewer.get(f"/instruments/{abc.pk}/coverage/").status_code == 200


def test_an_instrument_without_bars_says_what_to_do(client, places):  # noqa: F811
    row = make.instrument("NEW")
    client.force_login(person("researcher"))
    text = client.get(f"/instruments/{row.pk}/").content.decode()
    assert "No bars of NEW are held" in text and "/imports/new/" in text


@pytest.mark.parametrize(
    "query", ["timeframe=9x", "sma=abc", "zone=mars", "range=7Z", "before=x", "adjustment=%F0%9F%98%80"]
)
def test_what_cannot_be_shown_is_said_and_is_no_fault_of_the_server(viewer, abc, query):
    response = viewer.get(f"/instruments/{abc.pk}/?{query}")
    assert response.status_code == 400
    assert 'role="alert"' in response.content.decode()


def test_hostile_names_stay_text(client, places):  # noqa: F811
    row = make.instrument("BAD", make.bars(), name=desk.HOSTILE[:120])
    store.write_bars(instrument=row, series=make.bars(seed=9), source=desk.HOSTILE[:110])
    CorporateAction.objects.create(
        instrument=row, ex_date="2020-01-02", kind="split", value=2, source=desk.HOSTILE[:110]
    )
    client.force_login(person("admin", is_staff=True))
    desk.backtest(strategy=desk.HOSTILE[:64], instruments="BAD", tag=desk.HOSTILE[:64])
    for address in (
        f"/instruments/{row.pk}/",
        f"/instruments/{row.pk}/coverage/?sma=%3Cscript%3E",
        f"/instruments/{row.pk}/?sma=<b>",
    ):
        text = client.get(address).content.decode()
        assert "<script>alert" not in text and "<img src=x" not in text
    assert escape(desk.HOSTILE[:30]) in client.get(f"/instruments/{row.pk}/").content.decode()


def test_only_those_who_may_see_instruments_see_the_page(client, abc):
    for path in ("", "coverage/"):
        address = f"/instruments/{abc.pk}/{path}"
        client.logout()
        assert client.get(address).status_code == 302
        client.force_login(person(None, f"nobody{path[:3]}"))
        assert client.get(address).status_code == 403
        for role in ("viewer", "researcher", "trader", "admin"):
            client.force_login(person(role, f"{role}{path[:3]}"))
            assert client.get(address).status_code == 200
            assert client.post(address).status_code == 405
    assert client.get("/instruments/999999/").status_code == 404


def test_the_number_of_queries_does_not_grow(viewer, abc, django_assert_max_num_queries):
    viewer.get(f"/instruments/{abc.pk}/")
    with django_assert_max_num_queries(24):
        viewer.get(f"/instruments/{abc.pk}/")
    for number in range(30):
        desk.backtest(instruments="ABC")
        CorporateAction.objects.create(instrument=abc, ex_date=f"2020-03-{number + 1:02}", kind="dividend", value=1)
    with django_assert_max_num_queries(24):
        viewer.get(f"/instruments/{abc.pk}/")


def test_corporate_actions_are_listed_with_their_day_kind_and_value(viewer, abc):
    for day, kind, value in ((3, "split", "7"), (4, "dividend", "2.65"), (5, "delisting", None)):
        CorporateAction.objects.create(
            instrument=abc, ex_date=dt.date(2020, 2, day), kind=kind, value=value and Decimal(value), source="exchange"
        )
    text = viewer.get(f"/instruments/{abc.pk}/").content.decode()
    table = text[text.index("Corporate actions") :]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)][1:4]
    assert rows == [
        ["2020-02-05", "delisting", "last price", "exchange"],
        ["2020-02-04", "dividend", "2.65 USD a share", "exchange"],
        ["2020-02-03", "split", "7 new for 1", "exchange"],
    ]
