"""The dashboard: what it says when there is nothing, what it shows, and how little it costs."""

import datetime as dt
import re

import pytest
from django.test import Client
from django.utils import timezone

from execution.models import Account, AccountValue, KillSwitch, Position
from marketdata.models import Instrument
from reports.models import Alert
from reports.pages import books
from reports.pages.schedules import exchange_time, in_words
from strategies.models import ScheduledBacktest, StrategyConfig
from tests.reports import desk
from tests.strategies.conftest import places  # noqa: F401
from tests.tradingsite.people import person
from tradingsite.models import Heartbeat

HTMX = {"HX-Request": "true"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy")]


@pytest.fixture
def trader(client: Client):
    user = person("trader")
    client.force_login(user)
    return user


def parts_of(html: str) -> list[str]:
    return re.findall(r'name="part" value="([a-z]+:[0-9a-f]+)"', html)


def test_an_empty_desk_says_what_to_do_next(client, trader):
    shown = client.get("/").content.decode()
    for words in ("Bring in bars.", "/imports/new/", "import_demo", "No account has reported yet", "No open position"):
        assert words in shown
    for words in ("Nothing runs.", "No backtest yet.", "Nothing needs attention.", "Nothing is scheduled."):
        assert words in shown


def test_the_first_steps_leave_once_a_backtest_is_there(client, trader):
    desk.backtest()
    assert "First steps" not in client.get("/").content.decode()


def test_the_badge_says_where_the_desk_trades_and_whether_it_is_halted(client, trader, settings):
    settings.TRADING_MODE = "paper"
    assert '<a class="badge paper" href="/#kill-switch">PAPER</a>' in client.get("/").content.decode()
    KillSwitch.objects.create(engaged=timezone.now())
    assert '<a class="badge halted" href="/#kill-switch">HALTED</a>' in client.get("/").content.decode()


def test_a_full_desk_shows_everything(client, trader, places):  # noqa: F811
    desk.full_desk(trader)
    shown = client.get("/").content.decode()
    for words in ("41,250.10", "\N{MINUS SIGN}312.40", "120 long", "\N{MINUS SIGN}40 short", "62\u202f%", "first try"):
        assert words in shown
    for words in ("worker:scan@attic", "Each evening", "30 minutes after the close of XNYS", "prices look wrong"):
        assert words in shown
    assert "2 of 6 without a worker" not in shown
    assert "4 of 7 without a worker" in shown  # scan is silent; import, notify and maintenance have none


def test_unrealised_profit_counts_side_and_multiplier():
    account = Account.objects.create(number="DU1")
    future = Instrument.objects.create(symbol="ES", kind="future", multiplier=50)
    short = Position(account=account, instrument=future, quantity=-2, average_price=4000, last_price=4010)
    assert books.priced(short)["pnl"] == -1000  # two contracts, ten points, 50 a point, against us
    assert books.priced(short)["value"] == -401_000
    unpriced = Position(account=account, instrument=future, quantity=1, average_price=4000)
    assert books.priced(unpriced)["pnl"] is None


def test_the_curve_is_the_value_at_even_moments_and_ends_at_the_latest():
    account = Account.objects.create(number="DU1")
    other = Account.objects.create(number="DU2")
    last = dt.datetime(2026, 3, 2, 21, tzinfo=dt.UTC)
    for number in range(3_000):
        time = last - dt.timedelta(minutes=20 * number)
        AccountValue.objects.create(account=account, time=time, equity=50_000 - number, cash=0)
        AccountValue.objects.create(account=other, time=time - dt.timedelta(minutes=1), equity=9_999_999, cash=0)
        AccountValue.objects.create(account=other, time=time + dt.timedelta(minutes=1), equity=9_999_999, cash=0)
    chosen = next(each for each in books.accounts() if each.number == "DU1")
    curve = books.equity_curve(chosen, "month")
    assert curve["last"] == last
    assert curve["line"].highest == 50_000
    assert last - curve["first"] <= dt.timedelta(days=30)
    steps = curve["line"].path.count("L")
    assert 150 <= steps < 160
    # Worth at the begin of the span, 30 days of 72 values each: what a plain filter finds.
    begin = AccountValue.objects.filter(account=account, time__gte=last - dt.timedelta(days=30)).earliest("time")
    assert abs(curve["line"].lowest - float(begin.equity)) <= 72 * 30 / 160


def test_one_value_draws_no_curve(client, trader):
    account = Account.objects.create(number="DU1")
    AccountValue.objects.create(account=account, time=timezone.now(), equity=10, cash=5)
    assert "no curve to draw yet" in client.get("/").content.decode()


def test_nothing_changed_is_an_empty_204(client, trader, places):  # noqa: F811
    desk.full_desk(trader)
    known = parts_of(client.get("/").content.decode())
    assert len(known) == 9
    answer = client.get("/", {"part": known}, headers=HTMX)
    assert (answer.status_code, answer.content) == (204, b"")


def test_only_what_changed_is_sent_again(client, trader):
    known = parts_of(client.get("/").content.decode())
    Alert.objects.create(level="critical", subject="disk is full")
    answer = client.get("/", {"part": known}, headers=HTMX)
    assert re.findall(r'<div id="part-(\w+)" hx-swap-oob="true">', answer.content.decode()) == ["alerts"]
    assert "disk is full" in answer.content.decode()


def test_hostile_names_stay_text(client, trader, places):  # noqa: F811
    found = desk.full_desk(trader)
    Alert.objects.create(level="info", subject=desk.HOSTILE, text=desk.HOSTILE)
    desk.backtest(tag=desk.HOSTILE[:64], state="queued")
    Account.objects.update(name=desk.HOSTILE[:64])
    KillSwitch.objects.update(reason=desk.HOSTILE)
    ScheduledBacktest.objects.update(name=desk.HOSTILE[:64])
    StrategyConfig.objects.update(name=desk.HOSTILE[:64])
    Heartbeat.objects.create(name=desk.HOSTILE, started=timezone.now(), seen=timezone.now())
    Instrument.objects.filter(pk=found["abc"].pk).update(symbol="<b>S</b>", name=desk.HOSTILE)
    for address in ("/", "/runs/", "/instruments/", "/watchlists/", "/health/", "/search/?q=<script>"):
        shown = client.get(address).content.decode()
        assert "<script>alert" not in shown, address
        assert "<img src=x" not in shown, address
        assert "<b>S</b>" not in shown, address


def test_marking_one_alert_leaves_the_others(client, trader):
    first, second = (Alert.objects.create(level="info", subject=each) for each in "ab")
    client.post("/alerts/seen/", {"alert": first.pk})
    assert list(Alert.objects.filter(seen__isnull=True)) == [second]
    first.refresh_from_db()
    assert first.seen_by == trader


def test_the_dashboard_asks_the_same_questions_however_much_there_is(
    client,
    trader,
    places,  # noqa: F811
    django_assert_num_queries,
):
    desk.full_desk(trader)
    client.get("/")
    with django_assert_num_queries(23):
        client.get("/")
    for number in range(12):
        desk.backtest(tag=f"t{number}")
        desk.backtest(state="queued")
        desk.bar_import(state="queued", started=None, finished=None)
        Alert.objects.create(level="info", subject=str(number))
        row = Instrument.objects.create(symbol=f"I{number}")
        Position.objects.create(account=Account.objects.first(), instrument=row, quantity=1)
        Account.objects.create(number=f"U{number}")
        Heartbeat.objects.create(name=f"worker:data@{number}", started=timezone.now(), seen=timezone.now())
    with django_assert_num_queries(23):
        client.get("/")


def test_schedules_in_plain_words():
    schedule = ScheduledBacktest(calendar="XNYS", every="week", at="open", offset_minutes=-1)
    assert in_words(schedule) == "last session of the week, 1 minute before the open of XNYS"
    schedule.offset_minutes, schedule.every = 0, "session"
    assert in_words(schedule) == "every session, at the open of XNYS"


def test_exchange_time_follows_its_summer_time():
    winter, summer = dt.datetime(2025, 1, 15, 21, 30, tzinfo=dt.UTC), dt.datetime(2025, 7, 15, 20, 30, tzinfo=dt.UTC)
    assert exchange_time("XNYS", winter) == "Wed 15 Jan 2025, 16:30 (UTC\N{MINUS SIGN}05:00)"
    assert exchange_time("XNYS", summer) == "Tue 15 Jul 2025, 16:30 (UTC\N{MINUS SIGN}04:00)"
    assert exchange_time("NOWHERE", winter) == "Wed 15 Jan 2025, 21:30 UTC"
    assert exchange_time("XNYS", None).startswith("not planned")
