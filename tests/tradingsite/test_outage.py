"""A page without its database says so and when to come back; another fault is a plain 500."""

import pytest
from django.db import DataError, InterfaceError, OperationalError

from tests.tradingsite.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def failing(client, monkeypatch):
    """A logged-in client whose pages meet the error: in the view, or in the middleware that asks who it is."""
    client.force_login(person("viewer", "vera"))
    client.raise_request_exception = False

    def fail(error, where):
        def refuse(*_, **__):
            raise error

        monkeypatch.setattr(where, refuse)
        return client.get("/account/")

    return fail


VIEW, MIDDLEWARE = "tradingsite.account.pages.role_of", "django.contrib.sessions.backends.db.SessionStore.load"


@pytest.mark.parametrize("where", [VIEW, MIDDLEWARE])
@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_503_with_a_time_to_come_back(failing, kind, where):
    answer = failing(kind("connection to 10.1.2.3 refused"), where)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    text = answer.content.decode()
    assert "The database does not answer" in text
    assert "10.1.2.3" not in text
    assert "Traceback" not in text
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("kind", [DataError, ValueError])
def test_another_fault_is_a_500_that_says_nothing_of_itself(failing, kind):
    answer = failing(kind("details-canary"), VIEW)
    assert answer.status_code == 500
    assert "Retry-After" not in answer
    assert "details-canary" not in answer.content.decode()
    assert "<h1>Something failed on this page</h1>" in answer.content.decode()


def test_a_real_connection_that_cannot_be_made_is_such_an_outage(client, monkeypatch):
    from django.db import connection

    def refuse(*_):
        raise OperationalError("could not connect")

    client.force_login(person(None))
    client.raise_request_exception = False
    with monkeypatch.context() as within:
        within.setattr(connection, "cursor", refuse)
        assert client.get("/account/").status_code == 503
        assert client.get("/healthz/live").status_code == 200
