import io
import json

import pytest
from django.core.management import CommandError, call_command

from marketdata.models import GatewayQuestion, Instrument
from tests.marketdata.gatewayside import answer_all, data_worker, usual  # noqa: F401 - fixtures
from tradingsite import runs

pytestmark = pytest.mark.django_db


@pytest.fixture
def answering(data_worker, monkeypatch):  # noqa: F811
    """Whatever is asked is answered while the command waits."""

    def wait_for(question: GatewayQuestion, seconds: float) -> None:
        answer_all()
        question.refresh_from_db()

    monkeypatch.setattr(runs, "wait_for", wait_for)


def run(*args: str) -> str:
    out = io.StringIO()
    call_command("ib_discover", *args, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("answering")
def test_what_was_found_is_printed_and_asked_once():
    text = run("EURUSD")
    row = Instrument.objects.get()
    assert text.splitlines()[0] == "EURUSD: EUR against USD, forex on IDEALPRO in USD"
    assert f"contract {row.con_id}, calendar FX, step 0.00005, multiplier 1, instrument {row.pk}" in text
    assert run("EURUSD") == text
    assert GatewayQuestion.objects.count() == 1
    found = json.loads(run("TSLA", "--json"))
    assert (found["symbol"], found["kind"], found["primary"]) == ("TSLA", "stock", "NASDAQ")


@pytest.mark.usefixtures("answering")
def test_several_are_listed_and_none_is_written():
    out = io.StringIO()
    with pytest.raises(CommandError, match="name one by --con-id") as raised:
        call_command("ib_discover", "ES", stdout=out)
    assert raised.value.returncode == 3
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("ESH6 (future on CME in USD, expires 20260320, contract ")
    assert not Instrument.objects.exists()
    con_id = lines[0].rpartition("contract ")[2].partition(")")[0]
    assert run("ES", "--con-id", con_id).startswith("ESH6: ")


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize(("args", "code"), [(["QQQX"], 1), (["../X"], 2), (["AAPL", "--currency", "dollar"], 2)])
def test_what_is_not_found_or_cannot_be_asked_ends_with_a_sentence(args, code):
    with pytest.raises(CommandError) as raised:
        run(*args)
    assert raised.value.returncode == code


def test_without_a_worker_it_says_what_it_waits_for():
    with pytest.raises(CommandError, match="is queued and waits for a worker of the queue data"):
        run("TSLA", "--seconds", "0")
    answer_all()
    with pytest.raises(CommandError, match="waits for the gateway is not ready"):
        run("TSLA", "--seconds", "0.01")
    assert GatewayQuestion.objects.get().state == "queued"
