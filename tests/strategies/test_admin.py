import datetime as dt

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from domain.strategy import Strategy
from marketdata.models import Watchlist
from strategies.models import Backtest, RiskProfile, ScheduledBacktest, StrategyConfig
from tests.marketdata.make import instrument
from tests.tradingsite.people import staff
from tradingsite import runs
from tradingsite.models import ConfigChange

pytestmark = pytest.mark.django_db

CONFIG = {"name": "cross", "strategy": "ma_crossover", "timeframe": "1d", "symbols": "SPY", "cash": "100000"}


@pytest.fixture
def researcher(client):
    client.force_login(staff("researcher"))
    return client


@pytest.fixture
def sent(monkeypatch) -> list:
    """The runs that workers were told of."""
    told: list = []
    monkeypatch.setattr(runs, "enqueue", told.append)
    return told


def page(name: str, what: str, *args) -> str:
    return reverse(f"admin:strategies_{name}_{what}", args=args)


def form_of(response):
    assert response.status_code == 200
    return response.context["adminform"].form


def filled(client, url: str, **changes) -> dict:
    """What a browser would send of the form as it is shown, with these changes."""
    form = form_of(client.get(url))
    shown = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    sent = {name: "on" if value is True else value for name, value in shown.items() if value not in (None, False, "")}
    return {**sent, **changes}


def action(client, model: str, name: str, *row_keys, **more):
    return client.post(page(model, "changelist"), {"action": name, "_selected_action": row_keys, **more}, follow=True)


# ---- parameters --------------------------------------------------------------------------------------------------


def test_parameters_are_fields_with_bounds_unit_and_default(researcher):
    fields = form_of(researcher.get(page("strategyconfig", "add") + "?strategy=ma_crossover")).fields
    fast = fields["params__fast"]
    assert (fast.widget.attrs["min"], fast.widget.attrs["max"]) == ("1", "5000")
    assert "in bars" in fast.help_text
    assert fast.initial == "20"


def test_another_strategy_brings_its_own_fields(researcher):
    known = form_of(researcher.get(page("strategyconfig", "add") + "?strategy=breakout")).fields
    assert "params__fast" not in known
    assert any(name.startswith("params__") for name in known)


def test_an_unknown_strategy_in_the_address_is_not_followed(researcher):
    assert "ghost" not in researcher.get(page("strategyconfig", "add") + "?strategy=ghost").content.decode()


def test_a_configuration_is_saved_whole_and_shown_as_it_was(researcher):
    sent = filled(researcher, page("strategyconfig", "add") + "?strategy=ma_crossover", **CONFIG)
    sent |= {"params__fast": "7", "params__slow": "21", "execution__slippage_bps": "1.5"}
    sent |= {"sizes__sizing": "on", "sizes__sizing__kind": "fraction", "sizes__sizing__value": "0.5"}
    assert researcher.post(page("strategyconfig", "add"), sent).status_code == 302
    row = StrategyConfig.objects.get()
    assert row.params == {"fast": 7, "slow": 21, "allow_short": False}
    assert row.execution["slippage_bps"] == 1.5
    assert (row.sizing["kind"], row.sizing["value"]) == ("fraction", 0.5)
    before = StrategyConfig.objects.values().get()
    again = filled(researcher, page("strategyconfig", "change", row.pk))
    assert researcher.post(page("strategyconfig", "change", row.pk), again).status_code == 302
    after = StrategyConfig.objects.values().get()
    assert {**after, "updated": None} == {**before, "updated": None}


def test_without_sizing_there_is_none(researcher):
    sent = filled(researcher, page("strategyconfig", "add") + "?strategy=ma_crossover", **CONFIG)
    researcher.post(page("strategyconfig", "add"), sent)
    assert StrategyConfig.objects.get().sizing is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"params__fast": "0"}, "params__fast"),
        ({"params__fast": "ten"}, "params__fast"),
        ({"execution__slippage_bps": "-1"}, "execution__slippage_bps"),
        ({"execution__volume_cap": "2"}, "execution__volume_cap"),
        (
            {"sizes__sizing": "on", "sizes__sizing__kind": "fraction", "sizes__sizing__value": "0"},
            "sizes__sizing__value",
        ),
        ({"cash": "0"}, "cash"),
        ({"start": "soon"}, "start"),
        ({"end": "2024-13-01"}, "end"),
        ({"symbols": ""}, "symbols"),
        ({"strategy": "ghost"}, "strategy"),
        ({"timeframe": "7m"}, "timeframe"),
        ({"name": ""}, "name"),
        ({"params__fast": "60"}, "__all__"),
        ({"symbols": "SPY, SPY"}, "__all__"),
    ],
)
def test_what_is_wrong_is_said_on_its_field(researcher, change, field):
    sent = filled(researcher, page("strategyconfig", "add") + "?strategy=ma_crossover", **CONFIG) | change
    assert form_of(researcher.post(page("strategyconfig", "add"), sent)).errors.keys() == {field}
    assert not StrategyConfig.objects.exists()


def test_symbols_and_a_watchlist_are_one_too_many(researcher):
    sent = filled(researcher, page("strategyconfig", "add") + "?strategy=ma_crossover", **CONFIG)
    sent["watchlist"] = Watchlist.objects.create(name="mine").pk
    assert "not both" in str(form_of(researcher.post(page("strategyconfig", "add"), sent)).errors["symbols"])


def test_parameters_can_be_given_as_yaml(researcher):
    sent = filled(researcher, page("strategyconfig", "add") + "?strategy=ma_crossover", **CONFIG)
    sent |= {"params_edit_as": "yaml", "params_yaml": "fast: 3\nslow: 9\n"}
    assert researcher.post(page("strategyconfig", "add"), sent).status_code == 302
    assert StrategyConfig.objects.get().params == {"fast": 3, "slow": 9, "allow_short": False}


def test_faults_of_yaml_are_said_there(researcher):
    sent = filled(researcher, page("strategyconfig", "add") + "?strategy=ma_crossover", **CONFIG)
    sent |= {"params_edit_as": "yaml", "params_yaml": "fast: [1"}
    assert form_of(researcher.post(page("strategyconfig", "add"), sent)).errors.keys() == {"params_yaml"}


def test_without_script_another_strategy_is_first_shown_with_its_defaults(researcher):
    row = StrategyConfig.objects.create(name="a", strategy="ma_crossover", params={"fast": 3, "slow": 9}, symbols="SPY")
    url = page("strategyconfig", "change", row.pk)
    response = researcher.post(url, filled(researcher, url, strategy="breakout"))
    form = form_of(response)
    assert "check its parameters" in str(form.errors["strategy"])
    names = [name for name in form.fields if name.startswith("params__")]
    assert names and "params__fast" not in names
    again = {name: form[name].value() for name in form.fields}
    again = {name: "on" if value is True else value for name, value in again.items() if value not in (None, False, "")}
    assert researcher.post(url, again).status_code == 302
    row.refresh_from_db()
    assert row.strategy == "breakout"


def test_a_row_whose_strategy_is_gone_is_shown_and_kept(researcher):
    row = StrategyConfig.objects.create(name="a", strategy="gone", params={"x": 3}, symbols="SPY")
    url = page("strategyconfig", "change", row.pk)
    text = researcher.get(url).content.decode()
    assert "gone (not known any more)" in text
    assert "x: 3" in text
    assert "strategy" in form_of(researcher.post(url, filled(researcher, url, notes="n"))).errors
    row.refresh_from_db()
    assert (row.params, row.notes) == ({"x": 3}, "")


def test_a_viewer_reads_parameters_as_text(client):
    row = StrategyConfig.objects.create(name="a", strategy="ma_crossover", params={"fast": 3}, symbols="SPY")
    client.force_login(staff("viewer"))
    assert "fast: 3" in client.get(page("strategyconfig", "change", row.pk)).content.decode()


def test_a_plugin_brings_its_own_form(researcher, settings, tmp_path, known):
    settings.PLUGINS_DIR = tmp_path
    (tmp_path / "mine.py").write_text(
        "from pydantic import Field\nfrom domain import strategy\nfrom strategies.registry import register\n"
        "@register\nclass Mine(strategy.Strategy):\n    name = 'mine'\n"
        "    class Params(strategy.Params):\n        depth: int = Field(4, ge=1, le=9)\n"
        "    def signals(self, bars):\n        raise NotImplementedError\n"
    )
    assert "params__depth" in form_of(researcher.get(page("strategyconfig", "add") + "?strategy=mine")).fields


def test_limits_are_fields_and_only_an_admin_edits_them(client):
    client.force_login(staff("admin"))
    sent = filled(client, page("riskprofile", "add"), name="careful")
    wrong = {**sent, "limits__daily_loss": "-5"}
    assert form_of(client.post(page("riskprofile", "add"), wrong)).errors.keys() == {"limits__daily_loss"}
    assert client.post(page("riskprofile", "add"), {**sent, "limits__daily_loss": "500"}).status_code == 302
    row = RiskProfile.objects.get()
    assert (row.limits["daily_loss"], row.limits["long_only"]) == (500.0, True)
    assert ConfigChange.objects.filter(kind="risk_profile", name="careful", before__isnull=True).exists()
    client.force_login(staff("researcher"))
    url = page("riskprofile", "change", row.pk)
    assert "daily_loss: 500" in client.get(url).content.decode()
    assert client.post(url, {**sent, "limits__daily_loss": "900"}).status_code == 403
    row.refresh_from_db()
    assert row.limits["daily_loss"] == 500.0


# ---- starting runs -----------------------------------------------------------------------------------------------


def test_a_configuration_starts_one_backtest_in_the_name_of_who_asked(researcher, sent):
    instrument("SPY")
    row = StrategyConfig.objects.create(name="a", strategy="ma_crossover", symbols="SPY")
    response = action(researcher, "strategyconfig", "run_backtest", row.pk)
    made = Backtest.objects.get()
    assert sent == [made]
    assert (made.origin, made.started_by.username, made.strategy_config) == ("web", "researcher", row)
    assert response.redirect_chain[-1][0] == page("backtest", "change", made.pk)


def test_a_configuration_that_cannot_run_says_why_and_starts_nothing(researcher, sent):
    row = StrategyConfig.objects.create(name="a", strategy="ma_crossover", symbols="NOPE")
    response = action(researcher, "strategyconfig", "run_backtest", row.pk)
    assert "unknown instrument" in response.content.decode()
    assert not sent
    assert not Backtest.objects.exists()


def test_several_configurations_start_one_backtest_each(researcher, sent):
    instrument("SPY")
    made = [StrategyConfig.objects.create(name=name, strategy="ma_crossover", symbols="SPY") for name in "ab"]
    response = action(researcher, "strategyconfig", "run_backtest", *[row.pk for row in made])
    assert len(sent) == Backtest.objects.count() == 2
    assert response.request["PATH_INFO"] == page("strategyconfig", "changelist")


def test_a_viewer_starts_nothing(client, sent):
    instrument("SPY")
    row = StrategyConfig.objects.create(name="a", strategy="ma_crossover", symbols="SPY")
    client.force_login(staff("viewer"))
    assert "Run a backtest" not in client.get(page("strategyconfig", "change", row.pk)).content.decode()
    action(client, "strategyconfig", "run_backtest", row.pk)
    assert not sent
    assert not Backtest.objects.exists()


def test_a_schedule_runs_now_and_keeps_its_plan(researcher, sent):
    instrument("SPY")
    config = StrategyConfig.objects.create(name="a", strategy="ma_crossover", symbols="SPY")
    due = dt.datetime(2030, 1, 2, tzinfo=dt.UTC)
    row = ScheduledBacktest.objects.create(name="nightly", strategy_config=config, next_run_at=due)
    action(researcher, "scheduledbacktest", "run_now", row.pk)
    made = Backtest.objects.get()
    assert sent == [made]
    assert (made.schedule, made.strategy_config, made.tag) == (row, config, "nightly")
    row.refresh_from_db()
    assert row.next_run_at == due


SCHEDULE = {"name": "nightly", "enabled": "on", "calendar": "XNYS", "every": "session", "at": "close"}


def test_a_schedule_is_planned_when_it_is_saved(researcher):
    config = StrategyConfig.objects.create(name="a", strategy="ma_crossover", symbols="SPY")
    sent = {**SCHEDULE, "strategy_config": config.pk, "offset_minutes": "30"}
    assert researcher.post(page("scheduledbacktest", "add"), sent).status_code == 302
    row = ScheduledBacktest.objects.get()
    assert row.next_run_at is not None
    sent.pop("enabled")
    researcher.post(page("scheduledbacktest", "change", row.pk), sent)
    row.refresh_from_db()
    assert row.next_run_at is None


@pytest.mark.parametrize(("field", "value"), [("calendar", "XNYZ"), ("offset_minutes", "721"), ("every", "hour")])
def test_what_a_schedule_cannot_be_is_said_on_its_field(researcher, field, value):
    config = StrategyConfig.objects.create(name="a", strategy="ma_crossover", symbols="SPY")
    sent = {**SCHEDULE, "strategy_config": config.pk, "offset_minutes": "30", field: value}
    assert form_of(researcher.post(page("scheduledbacktest", "add"), sent)).errors.keys() == {field}


# ---- anything at all ---------------------------------------------------------------------------------------------

ANYTHING = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "0", "-1", "1e309", "NaN", "on", "null", "2024-02-30", "9" * 400, "\0", "{", "[1", "a: &x 1"]),
)


class AnyForm(TestCase):
    """No form, whatever is sent, raises; and what is refused writes nothing."""

    def setUp(self) -> None:
        self.client = Client()
        self.client.force_login(staff("admin"))
        self.forms = {}
        for model, extra in (
            ("strategyconfig", "?strategy=ma_crossover"),
            ("riskprofile", ""),
            ("scheduledbacktest", ""),
        ):
            url = page(model, "add")
            self.forms[url] = filled(self.client, url + extra)

    @bounded(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def test_is_taken_or_refused(self, data):
        url = data.draw(st.sampled_from(sorted(self.forms)))
        sent = dict(self.forms[url], **({k: v for k, v in CONFIG.items() if "strategyconfig" in url}))
        names = data.draw(
            st.lists(st.sampled_from([*sorted(sent), "params__fast", "params_yaml", "limits__daily_loss"]))
        )
        sent |= {name: data.draw(ANYTHING) for name in names}
        models = (StrategyConfig, RiskProfile, ScheduledBacktest)
        before = [model.objects.count() for model in models]
        response = self.client.post(url, sent)
        after = [model.objects.count() for model in models]
        at_the_door = any("\0" in str(value) for value in sent.values())
        assert response.status_code in ((400,) if at_the_door else (200, 302))
        assert (after == before) == (response.status_code != 302)


def test_the_strategies_of_the_library_all_have_a_form(researcher, known):
    for name, entry in known.entries().items():
        assert issubclass(entry.strategy, Strategy)
        assert researcher.get(page("strategyconfig", "add") + f"?strategy={name}").status_code == 200
