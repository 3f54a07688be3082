"""The pages of backtests, asked for as a browser does."""

import csv
import io
import json
import re
from html import escape, unescape

import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.utils import timezone

from marketdata.models import Instrument
from marketdata.services import set_watchlist
from reports import services
from reports.ledgers import read_ledger
from reports.models import Report
from reports.pages import backtests
from strategies.backtests import plan_backtest, run_backtest, run_directory
from strategies.config import parse_config
from strategies.models import Backtest, StrategyConfig
from tests.reports import desk
from tests.strategies.conftest import known, market, places  # noqa: F401
from tests.tradingsite.people import person
from tradingsite import runs

pytestmark = pytest.mark.django_db
ASKED = {"symbols": ["ABC", "XYZ"], "strategy": {"name": "ma_crossover", "params": {"fast": 5, "slow": 12}}}
TOKEN = "a-token-of-one-page-0001"


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """What would have been told to workers."""
    told = []
    monkeypatch.setattr(runs, "send", told.append)
    return told


@pytest.fixture(autouse=True)
def _library(known):  # noqa: F811
    pass


@pytest.fixture
def researcher(client, db):
    client.force_login(person("researcher"))
    return client


@pytest.fixture
def run(market):  # noqa: F811
    return run_backtest(plan_backtest(parse_config(ASKED)))


def text_of(response):
    return response.content.decode()


def shown_ids(response):
    return re.findall(r'href="/backtests/([^/"]+)/"', text_of(response).split("<tbody>")[1])


# ---- the list


def test_the_list_shows_figures_parameters_and_who(client, db):
    user = person("viewer")
    client.force_login(user)
    desk.backtest(tag="first", started_by=user, origin="web")
    desk.backtest(state="failed", total_return=None, max_drawdown=None, sharpe=None, trades=None, origin="schedule")
    text = text_of(client.get("/backtests/"))
    for part in ("momentum", "window 20", "ABC, XYZ", "+12.34", "−8.10", "1.42", "37", "first", "viewer", "schedule"):  # noqa: RUF001
        assert part in text


def test_filters_and_orders_choose_what_is_listed(client, db):
    client.force_login(person("viewer"))
    best = desk.backtest(total_return=0.9, sharpe=0.1, trades=1, max_drawdown=-0.5, tag="x", strategy="breakout")
    calm = desk.backtest(total_return=0.1, sharpe=2.0, trades=9, max_drawdown=-0.1, instruments="QQQ")
    bare = desk.backtest(state="failed", total_return=None, sharpe=None, trades=None, max_drawdown=None)
    gone = desk.backtest(archived=True)
    ids = {row.directory: name for name, row in {"best": best, "calm": calm, "bare": bare, "gone": gone}.items()}

    def listed(**query):
        return [ids[each] for each in shown_ids(client.get("/backtests/", query))]

    assert listed() == ["bare", "calm", "best"]
    assert listed(sort="oldest") == ["best", "calm", "bare"]
    assert listed(sort="return") == ["best", "calm", "bare"]
    assert listed(sort="drawdown") == ["calm", "best", "bare"]
    assert listed(sort="sharpe") == ["calm", "best", "bare"]
    assert listed(sort="trades") == ["calm", "best", "bare"]
    assert listed(strategy="breakout") == listed(tag="x") == listed(q=best.directory[:9]) == ["best"]
    assert listed(q="qqq") == ["calm"]
    assert listed(state="failed") == ["bare"]
    assert listed(archived="1") == ["gone"]
    assert listed(sort="nonsense", page="-3") == ["bare", "calm", "best"]
    assert "No backtest is like that" in text_of(client.get("/backtests/", {"q": "nothing like it"}))


def test_pages_of_the_list_hold_every_row_once(client, db):
    client.force_login(person("viewer"))
    rows = [desk.backtest(total_return=0.5) for _ in range(2 * backtests.ROWS_ON_PAGE + 3)]
    for order in ("newest", "return"):
        seen = []
        for page in (1, 2, 3):
            response = client.get("/backtests/", {"sort": order, "page": page})
            seen += shown_ids(response)
            assert ('rel="next"' in text_of(response)) == (page < 3)
        assert sorted(seen) == sorted(row.directory for row in rows)


def test_the_number_of_queries_is_the_same_for_three_rows_and_for_all(client, db, django_assert_num_queries):
    client.force_login(person("viewer"))
    for _ in range(3):
        desk.backtest()
    client.get("/backtests/")
    with django_assert_num_queries(8) as few:
        client.get("/backtests/")
    assert not any("COUNT(" in query["sql"] for query in few.captured_queries)
    user = person("trader")
    for _ in range(60):
        desk.backtest(started_by=user)
    with django_assert_num_queries(8):
        client.get("/backtests/")


def test_open_rows_are_asked_for_again_until_they_end(client, db):
    client.force_login(person("viewer"))
    row = desk.backtest(state="running", progress=0.4, heartbeat=timezone.now(), total_return=None)
    text = text_of(client.get("/backtests/"))
    (address,) = re.findall(r'id="poll" hx-get="([^"]+)"', text)
    answer = text_of(client.get(unescape(address)))
    assert 'hx-swap-oob="true"' in answer and 'value="40"' in answer and "hx-get" in answer
    Backtest.objects.filter(pk=row.pk).update(state="succeeded", finished=timezone.now(), total_return=0.5)
    answer = text_of(client.get(unescape(address)))
    assert "+50.00" in answer and "hx-get" not in answer


def test_ticked_rows_are_archived_tagged_and_compared(researcher, db):
    rows = [desk.backtest() for _ in range(3)]
    ids = [row.directory for row in rows[:2]]
    response = researcher.post("/backtests/selected/", {"action": "compare", "run": ids})
    assert response.url == f"/backtests/compare/?run={ids[0]}&run={ids[1]}"
    researcher.post("/backtests/selected/", {"action": "tag", "tag": " mine ", "run": ids})
    assert [row.tag for row in Backtest.objects.filter(directory__in=ids)] == ["mine", "mine"]
    response = researcher.post("/backtests/selected/", {"action": "archive", "run": ids, "back": "/backtests/?q=1"})
    assert (response.url, Backtest.objects.filter(archived=True).count()) == ("/backtests/?q=1", 2)
    researcher.post("/backtests/selected/", {"action": "restore", "run": ids})
    assert not Backtest.objects.filter(archived=True).exists()
    for back in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        assert researcher.post("/backtests/selected/", {"action": "archive", "back": back}).url == "/backtests/"


# ---- one run


def test_an_open_run_shows_progress_and_its_page_turns_when_it_ends(client, db):
    client.force_login(person("trader"))
    row = desk.backtest(state="running", progress=0.62, heartbeat=timezone.now(), log_tail="120 of 500 bars")
    address = f"/backtests/{row.directory}/"
    text = text_of(client.get(address))
    assert "120 of 500 bars" in text and 'value="62"' in text and f"{address}cancel/" in text
    (part,) = re.findall(r'name="part" value="(progress:[^"]+)"', text)
    asks = {"headers": {"HX-Request": "true"}}
    assert client.get(address, {"part": part}, **asks).status_code == 204
    Backtest.objects.filter(pk=row.pk).update(progress=0.7)
    assert 'value="70"' in text_of(client.get(address, {"part": part}, **asks))
    Backtest.objects.filter(pk=row.pk).update(state="failed", finished=timezone.now(), error="it broke")
    assert client.get(address, {"part": part}, **asks).headers["HX-Refresh"] == "true"
    assert "it broke" in text_of(client.get(address))


def test_a_finished_run_shows_its_figures_and_its_equity(client, run):
    client.force_login(person("viewer"))
    text = text_of(client.get(f"/backtests/{run.directory}/"))
    for part in (run.config_hash, run.data_hash, run.result_hash, "ma_crossover", "fast 5, slow 12"):
        assert part in text
    chart = json.loads(re.search(r'<script id="equity-figure" type="application/json">(.*?)</script>', text, re.S)[1])
    equity = read_ledger(run_directory(run), "equity")
    assert chart["data"][1]["y"] == pytest.approx(equity["equity"].tolist(), abs=0.006)
    for name in ("ABC", "XYZ"):
        assert f'data-label="Instrument">{name}' in text
    assert "hx-trigger" not in text.split("<main")[1]  # nothing will change any more


def test_denied_orders_stand_with_the_rules_numbers(client, market):  # noqa: F811
    client.force_login(person("viewer"))
    row = run_backtest(plan_backtest(parse_config(ASKED | {"risk": {"max_order_value": 10}})))
    text = text_of(client.get(f"/backtests/{row.directory}/"))
    denied = [status == "denied" for status in read_ledger(run_directory(row), "orders")["status"]]
    assert sum(denied) and f"{sum(denied)} by order_value" in text.replace("max_order_value", "order_value")


def test_a_run_whose_files_are_gone_says_so(client, run):
    client.force_login(person("viewer"))
    (run_directory(run) / "equity.parquet").unlink()
    response = client.get(f"/backtests/{run.directory}/")
    assert response.status_code == 200
    assert "equity.parquet is missing" in text_of(response)


def test_the_report_is_served_shut_off_from_the_site(client, run):
    client.force_login(person("viewer"))
    address = f"/backtests/{run.directory}/report/"
    assert client.get(address).status_code == 404
    services.write_files(run_directory(run))
    response = client.get(address)
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts;") and "allow-same-origin" not in policy
    assert "default-src 'none'" in policy and "connect-src" not in policy
    assert response.headers["Content-Type"].startswith("text/html")
    assert b"".join(response.streaming_content) == (run_directory(run) / "report.html").read_bytes()


def test_a_missing_report_is_asked_for_once(client, run, sent, django_capture_on_commit_callbacks):
    client.force_login(person("researcher"))
    page = text_of(client.get(f"/backtests/{run.directory}/"))
    assert "Make the report" in page and "Open the report" not in page
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            client.post(f"/backtests/{run.directory}/make-report/")
    (row,) = Report.objects.all()
    assert (row.backtest_id, row.origin, row.started_by.username) == (run.pk, "web", "researcher")
    assert [each.pk for each in sent] == [row.pk]
    page = text_of(client.get(f"/backtests/{run.directory}/"))
    assert "waiting for a worker" in page and "every 2s" in page


def test_ledgers_come_as_they_are_and_as_csv(client, run):
    client.force_login(person("viewer"))
    for name in ("orders", "fills", "trades", "equity", "bars"):
        path = run_directory(run) / f"{name}.parquet"
        response = client.get(f"/backtests/{run.directory}/files/{name}.parquet")
        assert b"".join(response.streaming_content) == path.read_bytes()
        assert f"{run.directory}-{name}.parquet" in response.headers["Content-Disposition"]
        response = client.get(f"/backtests/{run.directory}/files/{name}.csv")
        rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
        assert len(rows) == pq.read_metadata(path).num_rows
    fills = read_ledger(run_directory(run), "fills")
    response = client.get(f"/backtests/{run.directory}/files/fills.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert [float(row["price"]) for row in rows] == fills["price"].tolist()
    for name in ("summary.json", "run.json", "log.jsonl"):
        response = client.get(f"/backtests/{run.directory}/files/{name}")
        assert b"".join(response.streaming_content) == (run_directory(run) / name).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "backtests/../../etc/passwd/",
        "backtests/..%2f..%2fetc/",
        "backtests/%2e%2e/",
        "backtests/%2e%2e/report/",
        "backtests/nothing/report/",
        "backtests/{run}/files/..%2f..%2fsecret_key",
        "backtests/{run}/files/secret_key",
        "backtests/{run}/files/report.html",
        "backtests/{run}/files/bars.exe",
        "backtests/{run}/files/%2e%2e.csv",
    ],
)
def test_no_address_leads_out_of_a_runs_directory(client, run, path):
    client.force_login(person("admin"))
    (run_directory(run).parent / "secret_key").write_text("s3cret")
    response = client.get("/" + path.format(run=run.directory))
    assert response.status_code == 404


def test_a_row_that_names_a_place_outside_serves_nothing(client, run, places):  # noqa: F811
    client.force_login(person("admin"))
    (places / "report.html").write_text("outside")
    Backtest.objects.filter(pk=run.pk).update(directory="..")
    for name in ("report/", "files/summary.json", "files/bars.parquet"):
        assert client.get(f"/backtests/%2e%2e/{name}").status_code == 404


def test_steering_changes_the_row_and_tells_a_worker(researcher, db, sent, django_capture_on_commit_callbacks):
    def post(row, action, **data):
        with django_capture_on_commit_callbacks(execute=True):
            response = researcher.post(f"/backtests/{row.directory}/{action}/", data)
        assert response.url == f"/backtests/{row.directory}/"
        row.refresh_from_db()

    queued, failed = desk.backtest(state="queued"), desk.backtest(state="failed")
    post(queued, "cancel")
    assert queued.state == "cancelled"
    post(failed, "retry")
    assert failed.state == "queued" and [each.pk for each in sent] == [failed.pk]
    post(queued, "archive")
    assert queued.archived
    post(queued, "restore")
    assert not queued.archived
    post(queued, "describe", tag=" t " * 50, notes="n" * 5_000)
    assert (len(queued.tag), len(queued.notes)) == (64, 2_000)
    done = desk.backtest()
    post(done, "retry")
    assert done.state == "succeeded" and len(sent) == 1


# ---- comparing


def test_runs_are_compared_side_by_side(client, run):
    client.force_login(person("viewer"))
    other = run_backtest(plan_backtest(parse_config(ASKED | {"cash": 50_000})))
    response = client.get("/backtests/compare/", {"run": [run.directory, other.directory, run.directory]})
    text = text_of(response)
    assert "<strong>Same data:</strong>" in text and "<code>cash</code>" in text
    assert "<code>timeframe</code>" not in text
    chart = json.loads(re.search(r'<script id="compare-figure" type="application/json">(.*?)</script>', text, re.S)[1])
    assert [trace["name"] for trace in chart["data"][::2]] == ["A", "B"]
    Backtest.objects.filter(pk=other.pk).update(data_hash="f" * 64)
    assert "<strong>Different data:</strong>" in text_of(
        client.get("/backtests/compare/", {"run": [run.directory, other.directory]})
    )


def test_what_cannot_be_compared_is_said(client, run):
    client.force_login(person("viewer"))
    queued = desk.backtest(state="queued")
    bare = desk.backtest()
    for wanted, message in (
        ([], "Choose 2 to 8"),
        ([run.directory], "Choose 2 to 8"),
        ([run.directory, run.directory], "Choose 2 to 8"),
        ([f"r{number}" for number in range(9)], "not 9"),
        ([run.directory, "../etc"], "There is no backtest"),
        ([run.directory, queued.directory], "it is queued"),
        ([run.directory, bare.directory], "summary.json is missing"),
    ):
        response = client.get("/backtests/compare/", {"run": wanted})
        assert response.status_code == 400 and message in unescape(text_of(response))


# ---- asking for one


def fields_of(response):
    """What the form would send as it stands."""
    form = response.context["form"]
    data = {}
    for bound in form:
        value = bound.value()
        if value not in (None, False, ""):
            data[bound.name] = "on" if value is True else str(value)
    return data | {"token": TOKEN}


def test_a_form_as_it_stands_is_the_run_it_was_taken_from(researcher, run, sent, django_capture_on_commit_callbacks):
    address = f"/backtests/new/?from={run.directory}"
    data = fields_of(researcher.get(address))
    with django_capture_on_commit_callbacks(execute=True):
        response = researcher.post(address, data | {"tag": "again", "notes": "why"})
    assert response.status_code == 302, response.context["form"].errors
    row = Backtest.objects.exclude(pk=run.pk).get()
    assert response.url == f"/backtests/{row.directory}/"
    assert (row.origin, row.started_by.username, row.tag, row.notes) == ("web", "researcher", "again", "why")
    assert plan_backtest(parse_config({**row.config, "run_id": None})).config_hash == run.config_hash
    assert [each.pk for each in sent] == [row.pk]


def test_the_yaml_half_gives_the_same_run(researcher, run):
    address = f"/backtests/new/?from={run.directory}"
    data = fields_of(researcher.get(address))
    response = researcher.post(
        address, {"edit_as": "yaml", "yaml": data["yaml"], "token": TOKEN, "strategy": "breakout"}
    )
    assert response.status_code == 302, response.context["form"].errors
    row = Backtest.objects.exclude(pk=run.pk).get()
    assert plan_backtest(parse_config({**row.config, "run_id": None})).config_hash == run.config_hash


def test_sent_twice_it_is_one_run(researcher, market, sent, django_capture_on_commit_callbacks):  # noqa: F811
    data = fields_of(researcher.get("/backtests/new/?strategy=ma_crossover&symbols=ABC"))
    with django_capture_on_commit_callbacks(execute=True):
        urls = {researcher.post("/backtests/new/", data).url for _ in range(3)}
    assert len(urls) == 1 and Backtest.objects.count() == 1 and len(sent) == 1
    assert researcher.post("/backtests/new/", data | {"token": TOKEN + "2"}).url not in urls
    assert Backtest.objects.count() == 2


def test_a_page_without_its_token_starts_nothing(researcher, market):  # noqa: F811
    data = fields_of(researcher.get("/backtests/new/?strategy=ma_crossover&symbols=ABC"))
    for token in ("", "x", "<script>alert(1)</script>"):
        response = researcher.post("/backtests/new/", data | {"token": token})
        assert response.status_code == 422 and "load it again" in text_of(response)
    assert not Backtest.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"params__fast": "0"}, "params__fast", "greater than or equal to"),
        ({"params__fast": "x"}, "params__fast", "valid integer"),
        ({"symbols": "NOPE"}, "symbols", "unknown instrument 'NOPE'"),
        ({"symbols": ""}, "symbols", "give symbols or a watchlist"),
        ({"symbols": "ABC, ABC"}, "symbols", "listed twice"),
        ({"start": "the day before"}, "start", "is no date"),
        ({"end": "2020-13-01"}, "end", "is no date"),
        ({"cash": "-5"}, "cash", "greater than 0"),
        ({"cash": "much"}, "cash", "number"),
        ({"timeframe": "9d"}, "timeframe", "valid choice"),
        ({"warmup_bars": "-1"}, "warmup_bars", "greater than or equal to 0"),
        ({"risk__daily_loss": "-1"}, "risk__daily_loss", "greater than 0"),
        ({"execution__slippage_bps": "-1"}, "execution__slippage_bps", "greater than or equal to 0"),
        ({"sizing": "on", "sizing__kind": "fraction", "sizing__value": "0"}, "sizing__value", "greater than 0"),
        (
            {
                "edit_as": "yaml",
                "yaml": "timeframe: [",
            },
            "yaml",
            "line 1",
        ),
        ({"edit_as": "yaml", "yaml": "run_id: x\nsymbols: ABC\nstrategy: ma_crossover"}, "yaml", "run_id"),
        ({"edit_as": "yaml", "yaml": "symbols: NOPE\nstrategy: ma_crossover"}, "yaml", "unknown instrument"),
        ({"edit_as": "yaml", "yaml": "symbols: ABC\nstrategy: nope"}, "", "unknown strategy"),
        ({"yaml": "symbols: ABC"}, "edit_as", "the fields count"),
    ],
)
def test_a_fault_stands_on_its_field(researcher, market, changes, field, message):  # noqa: F811
    address = "/backtests/new/?strategy=ma_crossover&symbols=ABC"
    data = fields_of(researcher.get(address)) | changes
    response = researcher.post(address, data)
    errors = response.context["form"].errors
    assert response.status_code == 422
    assert message in " ".join(errors.get(field or "__all__", [])), dict(errors)
    assert list(errors) == [field or "__all__"]
    assert not Backtest.objects.exists()
    assert escape(errors[field or "__all__"][0]) in text_of(response)


def test_a_watchlist_can_stand_for_symbols(researcher, market):  # noqa: F811
    set_watchlist(name="Both", instruments=list(Instrument.objects.all()))
    data = fields_of(researcher.get("/backtests/new/?strategy=momentum"))
    response = researcher.post("/backtests/new/?strategy=momentum", data | {"watchlist": "Both"})
    assert response.status_code == 302, response.context["form"].errors
    assert Backtest.objects.get().instruments == "ABC, XYZ"


def test_a_strategy_configuration_fills_the_form(researcher, market):  # noqa: F811
    held = StrategyConfig.objects.create(
        name="Mine", strategy="ma_crossover", params={"fast": 7, "slow": 30}, symbols="XYZ", cash=12_345
    )
    data = fields_of(researcher.get(f"/backtests/new/?config={held.pk}"))
    assert (data["params__fast"], data["symbols"], data["cash"]) == ("7", "XYZ", "12345")
    for wrong in ("999", "x", "-1", "9" * 30):
        assert researcher.get(f"/backtests/new/?config={wrong}").status_code == 404


def test_choosing_a_strategy_brings_its_parameters(researcher, run):
    text = text_of(researcher.get(f"/backtests/new/?from={run.directory}&strategy=breakout"))
    assert 'name="params__entry"' in text and 'name="params__fast"' not in text
    assert "ABC, XYZ" in text
    response = researcher.get("/backtests/new/?strategy=nope")
    assert response.status_code == 400 and "unknown strategy" in unescape(text_of(response))
    response = researcher.post("/backtests/new/?symbols=ABC", {"reload": "1", "strategy": "breakout"})
    assert response.url == "/backtests/new/?symbols=ABC&strategy=breakout"


# ---- who may what


def test_hostile_texts_stay_text(client, places):  # noqa: F811
    client.force_login(person("admin"))
    bad = desk.HOSTILE
    params = {"strategy": {"name": bad, "params": {bad: bad}}, "symbols": [bad]}
    rows = [
        desk.backtest(
            strategy=bad[:64], tag=bad[:64], notes=bad, instruments=bad, config=params, log_tail=bad, state=state
        )
        for state in ("succeeded", "failed", "running")
    ]
    Backtest.objects.filter(pk=rows[1].pk).update(error=bad)
    addresses = ["/backtests/", f"/backtests/open/?run={rows[0].directory}", f"/backtests/?q={bad}"]
    addresses += [f"/backtests/{row.directory}/" for row in rows]
    addresses += [f"/backtests/new/?from={rows[0].directory}", f"/backtests/new/?symbols={bad}&strategy={bad}"]
    addresses += [f"/backtests/compare/?run={bad}&run=b"]
    for address in addresses:
        text = text_of(client.get(address))
        assert "<script>alert" not in text and "<img src=x" not in text, address
    assert escape(bad) in text_of(client.get(f"/backtests/{rows[0].directory}/"))


READS = ["", "open/", "compare/?run={run}&run={other}", "{run}/", "{run}/report/", "{run}/files/fills.csv"]
ADDS = ["new/", "new/?from={run}"]
STEERS = ["cancel", "retry", "archive", "restore", "describe"]


@pytest.mark.parametrize("role", [None, "viewer", "researcher", "trader", "admin"])
def test_each_role_may_do_what_the_table_says(client, run, role):
    services.write_files(run_directory(run))
    other = run_backtest(plan_backtest(parse_config(ASKED)))
    names = {"run": run.directory, "other": other.directory}
    for path in [*READS, *ADDS]:
        assert client.get(f"/backtests/{path.format(**names)}").status_code == 302  # to the login
    client.force_login(person(role))
    works = role in ("researcher", "trader", "admin")
    for path in READS:
        assert client.get(f"/backtests/{path.format(**names)}").status_code == (403 if role is None else 200), path
    for path in ADDS:
        assert client.get(f"/backtests/{path.format(**names)}").status_code == (200 if works else 403), path
        assert client.post(f"/backtests/{path.format(**names)}").status_code == (422 if works else 403), path
    for action in [*STEERS, "make-report"]:
        assert client.get(f"/backtests/{run.directory}/{action}/").status_code == 405
        assert client.post(f"/backtests/{run.directory}/{action}/").status_code == (302 if works else 403), action
    for action in ("archive", "tag"):
        answer = client.post("/backtests/selected/", {"action": action, "run": [run.directory]})
        assert answer.status_code == (302 if works else 403)
    if role == "viewer":
        text = text_of(client.get(f"/backtests/{run.directory}/"))
        assert "Run again" not in text and "Archive</button>" not in text and ">Save<" not in text


def test_forms_need_the_token_against_forgery(run):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person("admin"))
    for path in ("selected/", "new/", f"{run.directory}/archive/"):
        assert strict.post(f"/backtests/{path}", {"run": run.directory}).status_code == 403
