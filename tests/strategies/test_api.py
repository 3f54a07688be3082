"""Strategies and backtests over HTTP; results are compared with the run's own files."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from strategies.backtests import run_directory, run_queued_backtest
from strategies.config import parse_config
from strategies.models import Backtest, RiskProfile, ScheduledBacktest, StrategyConfig
from strategies.services import config_of
from tests.tradingsite.people import ROOT, person, problem, session
from tradingsite import attempts

pytestmark = pytest.mark.django_db
DOCUMENT = {"symbols": ["ABC"], "strategy": {"name": "ma_crossover", "params": {"fast": 3, "slow": 8}}}


@pytest.fixture
def researcher(market, known):
    return session(person("researcher"))


@pytest.fixture
def done(researcher):
    """A backtest that was posted and then run as a worker does."""
    response = researcher.post(f"{ROOT}/backtests", DOCUMENT | {"tag": "first"})
    run = Backtest.objects.get(directory=response.json()["run_id"])
    attempts.perform(Backtest, run.pk, run_queued_backtest)
    run.refresh_from_db()
    assert run.state == "succeeded", run.error
    return run


def test_the_registry_is_listed_with_schemas_and_the_faults_of_plugins(researcher, places):
    (places / "plugins").mkdir()
    (places / "plugins" / "broken.py").write_text("1 / 0")
    listed = researcher.get(f"{ROOT}/strategies").json()
    found = {row["name"]: row for row in listed["results"]}
    assert found["ma_crossover"]["source"] == "library"
    assert found["ma_crossover"]["warmup"] > 0
    assert {"fast", "slow"} <= found["ma_crossover"]["parameters"]["properties"].keys()
    assert listed["faults"] == [{"source": "broken.py", "error": "ZeroDivisionError: division by zero (line 1)"}]
    assert researcher.get(f"{ROOT}/strategies/ma_crossover").json() == found["ma_crossover"]
    problem(researcher.get(f"{ROOT}/strategies/none_such"), 404)


def test_a_posted_configuration_is_queued_and_can_be_followed(researcher):
    response = researcher.post(f"{ROOT}/backtests", DOCUMENT | {"tag": "first", "notes": "why not"})
    assert response.status_code == 202
    assert response["Location"] == f"{ROOT}/backtests/{response.json()['run_id']}"
    row = Backtest.objects.get()
    assert (row.origin, row.tag, row.notes, row.state) == ("api", "first", "why not", "queued")
    assert parse_config(row.config) == parse_config(DOCUMENT)
    detail = researcher.get(response["Location"]).json()
    assert (detail["state"], detail["progress"], detail["log_tail"]) == ("queued", 0.0, "")
    problem(researcher.get(f"{response['Location']}/result"), 409)
    assert researcher.post(f"{response['Location']}/cancel").json()["state"] == "cancelled"
    assert researcher.post(f"{response['Location']}/retry").json()["state"] == "queued"
    problem(researcher.post(f"{response['Location']}/retry"), 409)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "ma_crossover",
        {"strategy_config": "none such"},
        {"strategy_config": {"name": "x"}},
        DOCUMENT | {"symbols": ["NOPE"]},
        DOCUMENT | {"state": "succeeded"},
        DOCUMENT | {"strategy": {"name": "os.system"}},
        DOCUMENT | {"strategy": {"name": "ma_crossover", "params": {"fast": "x"}}},
        DOCUMENT | {"cash": -1},
        DOCUMENT | {"start": "0001-01-01T00:00+23:00"},
        DOCUMENT | {"start": "9999-12-31T23:59-23:00"},
        DOCUMENT | {"run_id": "../../etc"},
        DOCUMENT | {"tag": "x" * 65},
        DOCUMENT | {"archived": True},
    ],
)
def test_what_cannot_be_run_is_refused_and_nothing_is_queued(researcher, document):
    problem(researcher.post(f"{ROOT}/backtests", document), 400)
    assert not Backtest.objects.exists()


def test_a_body_that_is_no_strict_json_is_refused(researcher):
    bodies = (
        b"{", b'{"cash": NaN}', b'{"cash": 1e999}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000, b"9" * 5000,
        b'{"tag": "\\ud800"}', b'{"tag": "\\u0000"}', b'{"params": ' + b"[" * 40 + b"]" * 40 + b"}",
    )  # fmt: skip
    for body in bodies:
        problem(researcher.generic("POST", f"{ROOT}/backtests", body, content_type="application/json"), 400)
    form = researcher.generic("POST", f"{ROOT}/backtests", b"a=1", content_type="application/x-www-form-urlencoded")
    problem(form, 415)


def test_a_backtest_by_the_name_of_a_configuration_is_the_one_that_it_means(researcher):
    made = researcher.post(
        f"{ROOT}/strategy-configs",
        {"name": "mine", "strategy": "ma_crossover", "params": {"fast": 3, "slow": 8}, "symbols": "ABC"},
    )
    assert made.status_code == 201
    assert researcher.post(f"{ROOT}/backtests", {"strategy_config": "mine", "tag": "x"}).status_code == 202
    row = Backtest.objects.get()
    assert row.strategy_config == StrategyConfig.objects.get()
    assert parse_config(row.config) == config_of(StrategyConfig.objects.get())
    problem(researcher.post(f"{ROOT}/backtests", {"strategy_config": "mine", "cash": 1}), 400)
    problem(researcher.delete(f"{ROOT}/risk-profiles/1"), 403)


def test_only_tag_notes_and_archive_of_a_backtest_change(researcher, done):
    path = f"{ROOT}/backtests/{done.run_id}"
    assert researcher.patch(path, {"tag": "kept", "archived": True}).json()["tag"] == "kept"
    for field in ("state", "result_hash", "progress", "config", "final_equity"):
        problem(researcher.patch(path, {field: "x"}), 400)
    problem(researcher.put(path, {}), 405)
    problem(researcher.delete(path), 405)
    done.refresh_from_db()
    assert (done.state, done.tag, done.archived) == ("succeeded", "kept", True)
    assert researcher.get(f"{ROOT}/backtests").json()["count"] == 0
    assert researcher.get(f"{ROOT}/backtests?archived=true").json()["count"] == 1
    assert researcher.get(path).status_code == 200


def test_lists_of_backtests_are_filtered_and_ordered_by_figures(researcher):
    for number, figure in enumerate((0.3, 0.1, 0.2)):
        Backtest.objects.create(
            directory=f"r{number}", strategy="s", timeframe="1d", instruments="ABC", state="succeeded",
            finished=timezone.now(), sharpe=figure, tag="odd" if number % 2 else "even",
        )  # fmt: skip

    def ids(query: str) -> list[str]:
        return [row["run_id"] for row in researcher.get(f"{ROOT}/backtests?{query}").json()["results"]]

    assert ids("ordering=-sharpe") == ["r0", "r2", "r1"]
    assert ids("tag=odd") == ["r1"]
    assert ids("state=queued") == []
    assert ids("strategy=t") == []
    problem(researcher.get(f"{ROOT}/backtests?state=gone"), 400)
    problem(researcher.get(f"{ROOT}/backtests?ordering=config"), 400)


def test_the_result_is_the_summary_of_the_run_to_the_byte(researcher, done):
    response = researcher.get(f"{ROOT}/backtests/{done.run_id}/result")
    assert response.content == (run_directory(done) / "summary.json").read_bytes()
    assert response["Content-Type"] == "application/json"
    assert response.json()["result_hash"] == done.result_hash


@pytest.mark.parametrize("ledger", ["bars", "orders", "fills", "trades", "equity"])
def test_ledgers_in_each_form_hold_what_the_file_holds(researcher, done, ledger):
    path = f"{ROOT}/backtests/{done.run_id}/ledgers/{ledger}"
    file = run_directory(done) / f"{ledger}.parquet"
    table = pq.ParquetFile(file).read()
    whole = researcher.get(path, {"format": "parquet"})
    assert b"".join(whole.streaming_content) == file.read_bytes()
    rows, following = [], f"{path}?limit=200"
    while following:
        page = researcher.get(following).json()
        assert len(page["rows"]) <= 200
        rows, following = rows + page["rows"], page["next"]
    assert len(rows) == table.num_rows > 5
    for name in table.column_names:
        if str(table.schema.field(name).type) == "double":
            assert [row[name] for row in rows] == table.column(name).to_pylist()
    text = b"".join(researcher.get(path, {"format": "csv", "limit": 10_000}).streaming_content).decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == len(rows)
    assert list(lines[0]) == table.column_names
    problem(researcher.get(f"{path}?cursor=x"), 400)
    problem(researcher.get(f"{ROOT}/backtests/{done.run_id}/ledgers/secrets"), 404)


def test_a_lost_ledger_is_a_conflict_that_says_what_to_do(researcher, done):
    (run_directory(done) / "fills.parquet").write_bytes(b"rubbish")
    assert "again" in problem(researcher.get(f"{ROOT}/backtests/{done.run_id}/ledgers/fills"), 409)["detail"]
    (run_directory(done) / "fills.parquet").unlink()
    problem(researcher.get(f"{ROOT}/backtests/{done.run_id}/ledgers/fills"), 404)


def test_the_report_is_shown_in_a_sandbox(researcher, done):
    path = f"{ROOT}/backtests/{done.run_id}/report"
    problem(researcher.get(path), 404)
    (run_directory(done) / "report.html").write_text("<p>hello</p>")
    response = researcher.get(path)
    assert b"".join(response.streaming_content) == b"<p>hello</p>"
    assert response["Content-Security-Policy"].startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in response["Content-Security-Policy"]


def test_risk_profiles_are_checked_rule_by_rule(market):
    admin = session(person("admin"))
    found = problem(admin.post(f"{ROOT}/risk-profiles", {"name": "x", "limits": {"daily_loss": -1, "wish": 1}}), 400)
    assert set(found["errors"]) == {"limits.daily_loss", "limits.wish"}
    for limits in ([], "x", None, 3):
        problem(admin.post(f"{ROOT}/risk-profiles", {"name": "x", "limits": limits}), 400)
    assert admin.post(f"{ROOT}/risk-profiles", {"name": "x", "limits": {"daily_loss": 10}}).status_code == 201
    assert RiskProfile.objects.get().limits == {"daily_loss": 10}


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "none_such"},
        {"params": {"fast": -3}},
        {"params": []},
        {"symbols": ""},
        {"watchlist": "none such"},
        {"cash": "0"},
        {"cash": "NaN"},
        {"execution": {"slippage_bps": "much"}},
        {"sizing": 5},
        {"start": "soon"},
        {"updated": "2020-01-01T00:00Z"},
    ],
)
def test_a_configuration_that_could_not_run_is_not_written(researcher, change):
    good = {"name": "mine", "strategy": "ma_crossover", "params": {"fast": 3, "slow": 8}, "symbols": "ABC"}
    problem(researcher.post(f"{ROOT}/strategy-configs", good | change), 400)
    assert not StrategyConfig.objects.exists()
    made = researcher.post(f"{ROOT}/strategy-configs", good).json()
    problem(researcher.patch(f"{ROOT}/strategy-configs/{made['id']}", change), 400)
    assert StrategyConfig.objects.get().params == {"fast": 3, "slow": 8}


def test_a_schedule_is_planned_anew_with_each_change(researcher):
    config = StrategyConfig.objects.create(name="mine", strategy="ma_crossover", symbols="ABC")
    made = researcher.post(f"{ROOT}/scheduled-backtests", {"name": "daily", "strategy_config": "mine"})
    assert made.status_code == 201
    row = ScheduledBacktest.objects.get()
    assert row.strategy_config == config
    assert made.json()["next_run_at"] == row.next_run_at.isoformat().replace("+00:00", "Z")
    path = f"{ROOT}/scheduled-backtests/{row.pk}"
    later = researcher.patch(path, {"offset_minutes": 90}).json()["next_run_at"]
    assert later != made.json()["next_run_at"]
    assert researcher.patch(path, {"enabled": False}).json()["next_run_at"] is None
    for wrong in ({"offset_minutes": 721}, {"calendar": "NOWHERE"}, {"next_run_at": None}, {"every": "hour"}):
        problem(researcher.patch(path, wrong), 400)
    problem(researcher.delete(f"{ROOT}/strategy-configs/{config.pk}"), 409)


def test_lists_ask_the_same_however_many_rows_there_are(researcher):
    def add(number: int) -> None:
        config = StrategyConfig.objects.create(name=f"c{number}", strategy="ma_crossover", symbols="ABC")
        schedule = ScheduledBacktest.objects.create(name=f"s{number}", strategy_config=config)
        Backtest.objects.create(
            directory=f"r{number}", strategy="s", timeframe="1d", instruments="ABC", strategy_config=config,
            schedule=schedule, started_by=person("viewer", f"v{number}"),
        )  # fmt: skip

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            for prefix in ("backtests", "strategy-configs", "scheduled-backtests", "risk-profiles", "runs"):
                assert researcher.get(f"{ROOT}/{prefix}").status_code == 200
        return len(queries)

    add(0)
    first = count()
    for number in range(1, 9):
        add(number)
    assert count() == first
    assert json.loads(researcher.get(f"{ROOT}/backtests").content)["count"] == 9
