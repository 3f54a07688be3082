"""A data worker's side of the gateway: a connection to the simulator that tasks find where they look for it."""

from collections.abc import Iterator

import pytest

from gateway.connection import Connection
from marketdata import questions
from marketdata.models import GatewayQuestion
from tests.gateway.gateways import connected, start_gateway
from tradingsite import attempts


@pytest.fixture(scope="module")
def usual() -> Iterator[Connection]:
    """A connection to the built-in market."""
    with start_gateway() as gateway, connected(gateway) as found:
        yield found


@pytest.fixture
def data_worker(usual, monkeypatch) -> Connection:
    """This process holds the data connection."""
    monkeypatch.setattr("tradingsite.links.connection", lambda role: usual if role == "data" else None)
    return usual


def answer_all() -> list[GatewayQuestion]:
    """What the data worker does with what is queued."""
    waiting = list(GatewayQuestion.objects.filter(state="queued"))
    for question in waiting:
        attempts.perform(GatewayQuestion, question.pk, questions.answer_question)
        question.refresh_from_db()
    return waiting
