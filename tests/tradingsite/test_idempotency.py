"""The same POST with the same key has one effect and one answer."""

import datetime as dt
import sqlite3
import threading
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection, connections
from django.utils import timezone

from marketdata.models import BarImport, Instrument
from tests.tradingsite.people import ROOT, person, problem, session
from tradingsite.idempotency import ABANDONED
from tradingsite.models import AnsweredRequest

PATH = f"{ROOT}/instruments"
SPY = {"symbol": "SPY"}


@pytest.fixture
def client(db):
    return session(person("researcher"))


def test_the_same_request_again_gets_the_same_answer_and_no_second_effect(client):
    first = client.post(PATH, SPY, headers={"Idempotency-Key": "a"})
    again = client.post(PATH, SPY, headers={"Idempotency-Key": "a"})
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert Instrument.objects.count() == 1


def test_the_place_to_follow_is_part_of_the_answer(client, tmp_path, settings):
    settings.UPLOADS_DIR = tmp_path / "uploads"

    def send(content: bytes):
        file = SimpleUploadedFile("SPY.csv", content)
        return client.post(
            f"{ROOT}/bar-imports", {"file": file}, format="multipart", headers={"Idempotency-Key": "upload"}
        )

    first, again = send(b"date,close\n"), send(b"date,close\n")
    assert first.status_code == 202
    assert again["Location"] == first["Location"]
    assert BarImport.objects.count() == 1
    problem(send(b"date,open\n"), 422)


def test_an_error_is_answered_again_as_the_problem_that_it_was(client):
    first = client.post(PATH, {"symbol": ""}, headers={"Idempotency-Key": "a"})
    again = client.post(PATH, {"symbol": ""}, headers={"Idempotency-Key": "a"})
    assert problem(first, 400) == problem(again, 400)
    assert again["Idempotent-Replayed"] == "true"


def test_another_request_with_the_key_is_refused_and_another_person_has_keys_of_their_own(client):
    client.post(PATH, SPY, headers={"Idempotency-Key": "a"})
    problem(client.post(PATH, {"symbol": "QQQ"}, headers={"Idempotency-Key": "a"}), 422)
    problem(client.post(f"{PATH}?x=1", SPY, headers={"Idempotency-Key": "a"}), 422)
    other = session(person("researcher"))
    assert other.post(PATH, {"symbol": "QQQ"}, headers={"Idempotency-Key": "a"}).status_code == 201
    for key in ("", "x" * 256, "a\tb"):
        problem(client.post(PATH, SPY, headers={"Idempotency-Key": key}), 400)


def test_a_failure_of_ours_is_not_kept_and_its_effect_is_undone(client, monkeypatch):
    def fail(*_, **__):
        Instrument.objects.create(symbol="HALF")
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("marketdata.api.Instruments.perform_create", fail)
        problem(client.post(PATH, SPY, headers={"Idempotency-Key": "a"}), 503)
    assert not AnsweredRequest.objects.exists()
    assert not Instrument.objects.exists()
    assert client.post(PATH, SPY, headers={"Idempotency-Key": "a"}).status_code == 201


def test_while_the_first_is_being_answered_the_second_waits_outside(client):
    user = client.get(PATH).wsgi_request.user
    client.post(PATH, SPY, headers={"Idempotency-Key": "a"})
    AnsweredRequest.objects.update(status=None, answer=None)
    response = client.post(PATH, SPY, headers={"Idempotency-Key": "a"})
    problem(response, 409)
    assert response["Retry-After"] == "1"
    # Its process died before anything was committed: taken over.
    Instrument.objects.all().delete()
    AnsweredRequest.objects.update(created=timezone.now() - ABANDONED - dt.timedelta(seconds=1))
    assert client.post(PATH, SPY, headers={"Idempotency-Key": "a"}).status_code == 201
    assert AnsweredRequest.objects.get(user=user).status == 201


def test_who_was_taken_over_has_no_effect_any_more(client, monkeypatch):
    from marketdata.api import Instruments

    perform = Instruments.perform_create

    def slow(self, serializer):
        perform(self, serializer)
        AnsweredRequest.objects.update(created=timezone.now() + dt.timedelta(seconds=1))

    monkeypatch.setattr(Instruments, "perform_create", slow)
    response = client.post(PATH, SPY, headers={"Idempotency-Key": "a"})
    problem(response, 409)
    assert not Instrument.objects.exists()


@pytest.fixture
def many_connections(transactional_db, tmp_path):
    """A database that threads use at once: SQLite's in memory is copied to a file for that."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    memory, name = connection.connection, connection.settings_dict["NAME"]
    with sqlite3.connect(tmp_path / "db.sqlite3") as copy:
        memory.backup(copy)
    connection.connection, connection.settings_dict["NAME"] = None, str(tmp_path / "db.sqlite3")
    yield
    connections.close_all()
    connection.connection, connection.settings_dict["NAME"] = memory, name


def test_of_many_at_once_one_has_the_effect_and_all_its_answer(many_connections):
    user = person("researcher")
    for _ in range(5):
        symbol, key = uuid.uuid4().hex[:8], uuid.uuid4().hex
        clients = [session(user) for _ in range(4)]
        answers: list = []
        start = threading.Barrier(len(clients))

        def send(client, symbol=symbol, key=key, start=start, answers=answers) -> None:
            try:
                start.wait(10)
                answers.append(client.post(PATH, {"symbol": symbol}, headers={"Idempotency-Key": key}))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=send, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert Instrument.objects.filter(symbol=symbol).count() == 1
        assert len(answers) == len(clients)
        made = [answer for answer in answers if answer.status_code == 201]
        assert len([answer for answer in made if "Idempotent-Replayed" not in answer]) == 1
        assert len({answer.json()["id"] for answer in made}) == 1
        assert {answer.status_code for answer in answers} <= {201, 409}
