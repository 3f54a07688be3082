"""What the API writes of the configuration is kept in its history."""

import pytest

from marketdata.models import CorporateAction, Instrument
from tests.tradingsite.configuration import EXAMPLE, tables
from tests.tradingsite.people import ROOT, by_token, person
from tradingsite.history import changes_of
from tradingsite.imports import import_documents
from tradingsite.models import ConfigChange

pytestmark = pytest.mark.django_db

# Each kind: its address, what makes one, a change, and the field of its document that the change is seen in.
KINDS = {
    "instrument": ("instruments", {"symbol": "IWM"}, {"name": "Russell"}, "IWM"),
    "watchlist": ("watchlists", {"name": "new", "members": ["SPY"]}, {"members": ["QQQ", "SPY"]}, "new"),
    "corporate_action": (
        "corporate-actions",
        {"ex_date": "2021-01-04", "kind": "split", "value": "2"},
        {"value": "3"},
        "QQQ@ARCA",
    ),
    "risk_profile": (
        "risk-profiles",
        {"name": "new", "limits": {"daily_loss": 5.0}},
        {"limits": {"daily_loss": 6.0}},
        "new",
    ),
    "strategy_config": (
        "strategy-configs",
        {"name": "new", "strategy": "ma_crossover", "symbols": "SPY"},
        {"params": {"fast": 3}},
        "new",
    ),
    "scheduled_backtest": (
        "scheduled-backtests",
        {"name": "new", "strategy_config": "cross"},
        {"enabled": False},
        "new",
    ),
}


@pytest.fixture
def admin():
    import_documents(EXAMPLE, actor=None, source="file")
    client = by_token(person("admin", "anna"), "admin")
    client.credentials(**client._credentials, REMOTE_ADDR="10.0.0.7")
    return client


def newest(skipped: int = 7) -> list[tuple]:
    return list(ConfigChange.objects.order_by("pk").values_list("kind", "name")[skipped:])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_changed_and_deleted_is_recorded_with_who_and_from_where(admin, kind):
    prefix, made, changed, name = KINDS[kind]
    if kind == "corporate_action":
        made = made | {"instrument": Instrument.objects.get(symbol="QQQ").pk}
    answer = admin.post(f"{ROOT}/{prefix}", made)
    assert answer.status_code == 201, answer.content
    path = f"{ROOT}/{prefix}/{answer.json()['id']}"
    assert admin.patch(path, changed).status_code == 200
    assert admin.patch(path, changed).status_code == 200  # changes nothing
    assert admin.delete(path).status_code == 204
    assert newest() == [(kind, name)] * 3
    deleted, between, created = changes_of(kind, name)
    assert created.before is None
    assert created.after == between.before != between.after == deleted.before
    assert deleted.after is None
    assert {(each.source, each.actor.username, each.address) for each in (created, between, deleted)} == {
        ("api", "anna", "10.0.0.7")
    }


def test_an_action_more_or_moved_to_another_instrument_is_a_change_of_what_each_instrument_has(admin):
    action, other = CorporateAction.objects.get(), Instrument.objects.get(symbol="QQQ")
    asked = {"instrument": other.pk, "ex_date": "2021-01-04", "kind": "split", "value": "2"}
    assert admin.post(f"{ROOT}/corporate-actions", asked).status_code == 201
    assert admin.patch(f"{ROOT}/corporate-actions/{action.pk}", {"instrument": other.pk}).status_code == 200
    assert newest() == [("corporate_action", "QQQ@ARCA"), ("corporate_action", "QQQ@ARCA"), ("corporate_action", "SPY")]
    more, gone = changes_of("corporate_action", "QQQ@ARCA")[0], changes_of("corporate_action", "SPY")[0]
    assert [len(side["actions"]) for side in (more.before, more.after)] == [1, 2]
    assert gone.after is None


def test_what_named_a_row_is_recorded_with_it(admin):
    instrument = Instrument.objects.get(symbol="SPY")
    assert admin.delete(f"{ROOT}/instruments/{instrument.pk}").status_code == 204
    assert newest() == [("corporate_action", "SPY"), ("instrument", "SPY"), ("watchlist", "tech")]


@pytest.mark.parametrize(
    ("method", "path", "asked", "status"),
    [
        ("post", "watchlists", {"name": "new", "members": ["NONE"]}, 400),
        ("post", "watchlists", {"name": "tech"}, 400),
        ("patch", "risk-profiles", {"limits": {"no_such_rule": 1}}, 400),
        ("patch", "strategy-configs", {"strategy": "no_such"}, 400),
        ("delete", "strategy-configs", None, 409),
        ("delete", "risk-profiles", None, 409),
    ],
)
def test_what_is_refused_changes_and_records_nothing(admin, method, path, asked, status):
    address = f"{ROOT}/{path}"
    if method != "post":
        address += f"/{admin.get(address).json()['results'][0]['id']}"
    before = tables()
    assert getattr(admin, method)(address, asked).status_code == status
    assert tables() == before


def test_where_the_history_cannot_be_written_nothing_is_changed(admin, monkeypatch):
    def refuse(*args, **about):
        raise RuntimeError("no history")

    monkeypatch.setattr("tradingsite.history.save_changes", refuse)
    before = tables()
    for prefix, made, changed, _ in KINDS.values():
        admin.post(f"{ROOT}/{prefix}", made)
        address = f"{ROOT}/{prefix}/{admin.get(f'{ROOT}/{prefix}').json()['results'][0]['id']}"
        admin.patch(address, changed)
        admin.delete(address)
    assert tables() == before
