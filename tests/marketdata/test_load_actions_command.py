import json

import pytest
from django.core.management import CommandError, call_command

from domain.adjustments import Dividend, Split
from marketdata import actions, services
from marketdata.errors import ActionsUnavailable
from marketdata.models import CorporateAction
from tests.marketdata import make

pytestmark = pytest.mark.django_db

FILE = "symbol,date,kind,value\nSPY,2023-01-06,dividend,0.5\nSPY,2023-03-06,split,1.5\nSPY,2024-01-02,delisting,\n"


def run(capsys, *words):
    call_command("load_actions", *map(str, words))
    return capsys.readouterr().out


def refused(*words):
    with pytest.raises(CommandError) as caught:
        call_command("load_actions", *map(str, words))
    return caught.value.returncode, str(caught.value)


def test_a_file_s_actions_are_recorded_with_their_source(give, capsys):
    spy, path = make.instrument(), give(FILE, "actions.csv")
    assert run(capsys, "SPY", path, "--from", "csv") == "SPY: 3 new, 0 changed, 0 held already\n"
    assert json.loads(run(capsys, "SPY", path, "--from", "csv", "--json")) == {"added": 0, "changed": 0, "unchanged": 3}
    assert set(CorporateAction.objects.values_list("source", flat=True)) == {"csv"}
    assert len(services.actions_of(spy)) == 3


def test_a_dry_run_shows_them_and_writes_nothing(give, capsys):
    make.instrument()
    out = run(capsys, "SPY", give(FILE, "actions.csv"), "--from", "csv", "--dry-run")
    assert out == "SPY 2023-01-06 dividend 0.5\nSPY 2023-03-06 split 3:2\nSPY 2024-01-02 delisting\n"
    assert not CorporateAction.objects.exists()


def test_a_provider_by_name_is_asked_for_the_instrument(monkeypatch, capsys):
    spy = make.instrument()

    class Known:
        def actions(self, instrument):
            assert instrument == spy
            return [Split(19_000, 2.0), Dividend(19_010, 0.25)]

    monkeypatch.setitem(actions.PROVIDERS, "yahoo", lambda file: Known())
    assert run(capsys, "SPY", "--from", "yahoo") == "SPY: 2 new, 0 changed, 0 held already\n"


def test_wrong_options_end_with_2_and_what_is_not_known_with_1(give, tmp_path, monkeypatch):
    make.instrument()
    assert refused("SPY", "--from", "yaho") == (
        2,
        "unknown provider of corporate actions 'yaho'; did you mean 'yahoo'?",
    )
    assert refused("SPY", "--from", "csv")[0] == 2
    assert refused("SPX", "--from", "ib")[0] == 2
    assert refused("../x", "--from", "ib")[0] == 2
    code, text = refused("SPY", "--from", "ib")
    assert code == 1 and "ib_load SPY 1d" in text
    assert refused("SPY", tmp_path / "none.csv", "--from", "csv")[0] == 1

    class Away:
        def actions(self, instrument):
            raise ActionsUnavailable("Yahoo does not tell now; try later")

    monkeypatch.setitem(actions.PROVIDERS, "yahoo", lambda file: Away())
    assert refused("SPY", "--from", "yahoo") == (1, "Yahoo does not tell now; try later")
