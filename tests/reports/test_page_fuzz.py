"""Forms filled in by chance and by malice: no 5xx, only a redirect has written, and what it wrote can be shown."""

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from execution.models import KillSwitch
from marketdata.models import BarImport, Watchlist
from strategies.models import Backtest
from tests.reports import desk, loaddesk
from tests.strategies.conftest import places  # noqa: F401
from tests.tradingsite.people import staff
from tests.tradingsite.test_api_fuzz import snapshot

CSV = b"timestamp,open,high,low,close,volume\n2020-01-02,1,2,0.5,1.5,100\n"
YAML = b"risk_profile:\n- name: careful\n"
# What people, spreadsheets and attackers put into fields.
HOSTILE = [
    "",
    " ",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "inf",
    "1e308",
    "-1e308",
    "1e309",
    "1e999999999",
    "1" * 5_000,
    "9223372036854775808",
    "-1",
    "0",
    "0x10",
    "1_000",
    "٣",
    "²",
    "1,5",
    "true",
    "null",
    "[]",
    "{}",
    "[1]",
    '{"a": 1}',
    "a\0b",
    "\0",
    "\u202egpj.exe",
    "\ufeff",
    "\ud7ff\ue000",
    "é" * 300,
    "x" * 70_000,
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "../../../etc/passwd",
    "..\\..\\x",
    "%00",
    "%s%n",
    "{{ 7*7 }}",
    "${HOME}",
    "${SECRET_KEY}",
    "=1+1",
    "\r\nSet-Cookie: a=b",
    "2024-02-30",
    "0001-01-01",
    "9999-12-31",
    "10000-01-01",
    "1900-01-01T00:00:00+99:99",
    "Mars/Olympus",
    "../UTC",
    "&a [*a]",
    "!!python/object:os.system x",
    "- " * 40 + "x",
    "a: 1\na: 2",
    "[" * 200,
    "ABC@" + "X" * 99,
    "ABC," * 3_000,
    "ABC@SMART",
    "abc",
    "\t",
    "\x1b[31m",
    "\u2028",
    "😀",
]
FILES = [
    b"",
    b"\0",
    b"PAR1",
    b"PAR1" + b"\xff" * 40 + b"PAR1",
    b"\x1f\x8b\x08\0",
    b"PK\x03\x04\0\0",
    b"\xff\xfea\0",
    b"\x80abc",
    CSV,
    CSV * 3,
    YAML,
    b"a,a\n1,2\n",
    b"timestamp,close\n" + b"x" * 100_000,
    b"- &a [*a]\n",
    b"[" * 500,
]
NAMES = [
    "bars.csv",
    "../../evil.csv",
    "a" * 300 + ".csv",
    "a\0b.csv",
    "/etc/passwd",
    "C:\\x.csv",
    "\u202e.csv",
    " ",
]


Send = Callable[["Form", dict[str, Any]], HttpResponse]


class Form(NamedTuple):
    address: str
    valid: dict[str, Any]
    files: dict[str, bytes]
    writes_by: tuple[int, ...] = (302,)
    """The statuses that may have written."""


def forms(full: dict[str, Any], client: Client) -> dict[str, Form]:
    """Every form that takes text, as a browser would send it."""
    page = client.get("/backtests/new/?strategy=ma_crossover&symbols=ABC")
    new = {field.html_name: field.value() for field in page.context["form"]}
    new = {name: "" if value in (None, False) else str(value) for name, value in new.items()}
    names = ("symbol", "timeframe", "adjustment", "tz", "kind", "exchange", "currency", "calendar", "stamp", "session")
    options = dict.fromkeys((*names, "what", "columns", "adj_close", "derive_actions", "since", "until", "strict"), "")
    options |= {"symbol": "ABC", "timeframe": "1d"}
    run, switch = full["done"].directory, full["switch"].pk
    return {
        "import": Form("/imports/new/", options, {"file": CSV}),
        "new backtest": Form("/backtests/new/?strategy=ma_crossover", new, {}),
        "watchlist": Form("/watchlists/new/", {"name": "mine", "tags": "a", "symbols": "ABC, XYZ"}, {}),
        "watchlist edit": Form(
            f"/watchlists/{full['watchlist'].pk}/edit/", {"name": "n", "tags": "", "symbols": "ABC"}, {}
        ),
        "load": Form(f"/instruments/{full['abc'].pk}/load/", {"mode": "full", "timeframe": "1h", "what": "TRADES"}, {}),
        "halt": Form("/halts/", {"account": "DU1234567", "level": "cancel", "reason": "a test"}, {}),
        "release": Form(f"/halts/{switch}/release/", {"reason": "over"}, {}),
        "alerts": Form("/alerts/seen/", {"alert": "1"}, {}),
        "describe": Form(f"/backtests/{run}/describe/", {"tag": "t", "notes": "n"}, {}),
        "selected": Form("/backtests/selected/", {"action": "tag", "run": run, "tag": "t", "back": "/backtests/"}, {}),
        "token": Form(
            "/account/tokens/", {"name": "t", "scope": "viewer", "expires": "30", "password": "x"}, {}, (200, 302)
        ),
        "confirm": Form("/account/confirm/", {"password": "x", "code": "1", "next": "/"}, {}),
        "second factor": Form("/account/second-factor/", {"code": "123456"}, {}, (200, 302)),
        "password": Form("/account/password/", {"old_password": "a", "new_password1": "b", "new_password2": "b"}, {}),
        "configuration": Form(
            "/admin/tradingsite/configchange/configuration/",
            {"reason": "r", "prune": "", "text": "", "fingerprint": ""},
            {"file": YAML},
        ),
    }


def queries(full: dict[str, Any]) -> dict[str, Form]:
    """Every page that reads its query."""
    run, instrument = full["done"].directory, full["abc"].pk
    return {
        "search": Form("/search/", {"q": "a"}, {}),
        "instruments": Form("/instruments/", {"q": "a", "kind": "stock", "bars": "held", "after": "1~A"}, {}),
        "instrument": Form(
            f"/instruments/{instrument}/",
            {
                "timeframe": "1d",
                "what": "TRADES",
                "adjustment": "raw",
                "from": "2020-01-01",
                "to": "2020-02-01",
                "indicators": "sma:20",
                "start": "",
                "end": "",
                "part": "x",
            },
            {},
        ),
        "coverage": Form(
            f"/instruments/{instrument}/coverage/", {"timeframe": "1d", "what": "TRADES", "year": "2020"}, {}
        ),
        "watchlist": Form(f"/watchlists/{full['watchlist'].pk}/", {"start": "0"}, {}),
        "runs": Form("/runs/", {"kind": "backtest", "state": "failed", "before": "x", "q": "a"}, {}),
        "load": Form(
            f"/runs/loadrun/{loaddesk.load(full['abc']).pk}/", {"show": "failed", "after": "1", "part": "x"}, {}
        ),
        "backtests": Form(
            "/backtests/",
            {"q": "a", "strategy": "s", "state": "failed", "tag": "t", "archived": "", "sort": "", "page": "1"},
            {},
        ),
        "open backtests": Form("/backtests/open/", {"run": run}, {}),
        "compare": Form("/backtests/compare/", {"run": run}, {}),
        "new backtest": Form(
            "/backtests/new/", {"strategy": "momentum", "from": run, "config": "1", "symbols": "A"}, {}
        ),
        "backtest": Form(f"/backtests/{run}/", {"part": "progress:x", "instrument": "ABC"}, {}),
        "import": Form("/imports/new/", {"symbol": "A"}, {}),
        "dashboard": Form("/", {"part": "x", "account": "DU1234567", "span": "1y"}, {}),
        "health": Form("/health/", {"part": "x"}, {}),
    }


def one_of(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, len(values) - 1).map(lambda at: values[at])  # names no values, which are too long to print


def filled_in(form: Form) -> st.SearchStrategy[dict[str, Any]]:
    """The form with up to three fields spoilt: hostile, made up, sent twice, left out, or a file in place of a text."""
    texts = one_of(HOSTILE) | st.text(max_size=60) | st.floats().map(repr) | st.integers().map(str)
    held = st.builds(SimpleUploadedFile, one_of(NAMES), one_of(FILES) | st.binary(max_size=300))
    spoilt = st.one_of(texts, texts, st.lists(texts, min_size=2, max_size=4), st.none(), held)
    names = [*form.valid, *form.files]
    changes = st.dictionaries(st.sampled_from(names), spoilt, min_size=1, max_size=3)

    def whole(changed: dict[str, Any]) -> dict[str, Any]:
        files = {name: SimpleUploadedFile("bars.csv", content) for name, content in form.files.items()}
        return {name: value for name, value in (form.valid | files | changed).items() if value is not None}

    return changes.map(whole)


def files_below(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


def fuzz(forms: dict[str, Form], send: Send, client: Client, examples: int, folders: list[Path]) -> Counter[Any]:
    """Try so many cases of each form; returns how often each form was answered by each status."""
    statuses: Counter[tuple[str, int]] = Counter()
    faults: dict[str, str] = {}
    before = snapshot()

    def attempt(name: str, form: Form, data: dict[str, Any]) -> None:
        held = files_below(*folders)
        with transaction.atomic():
            answer = send(form, data)
            statuses[name, answer.status_code] += 1
            fault = fault_of(answer, form)
            may_write = answer.status_code in form.writes_by
            if not may_write and (snapshot() != before or files_below(*folders) != held):
                fault = fault or f"{answer.status_code} has written"
            if fault:
                faults.setdefault(f"{name}: {fault}", repr({each: repr(data[each])[:200] for each in data}))
            transaction.set_rollback(True)

    def fault_of(answer: HttpResponse, form: Form) -> str:
        if answer.status_code >= 500:
            return f"{answer.status_code} {getattr(answer, 'exc_info', ('', ''))[1]!r}"[:200]
        if answer.status_code == 302 and answer.status_code in form.writes_by:
            for model in (Watchlist, Backtest, BarImport, KillSwitch):
                for row in model.objects.all():
                    row.full_clean(exclude=["worker", "path", "report"])
            shown = client.get(answer["Location"])
            return f"then {shown.status_code}" if shown.status_code >= 500 else ""
        return ""

    for name, form in forms.items():
        try_with(filled_in(form), examples, partial(attempt, name, form))
    assert not faults, "\n".join(f"{name} {data}" for name, data in faults.items())
    return statuses


def try_with(cases: st.SearchStrategy[Any], examples: int, attempt: Callable[[Any], None]) -> None:
    @settings(max_examples=examples, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(data=cases)
    def attempt_one(data: dict[str, Any]) -> None:
        attempt(data)

    attempt_one()


@pytest.fixture
def site(client, db, places, settings, healthy) -> tuple[Client, dict[str, Any], list[Path]]:  # noqa: F811
    """An admin's browser that shows a 500 as one, on a full desk."""
    settings.UPLOADS_DIR = places / "uploads"
    user = staff("admin")
    client.force_login(user)
    client.raise_request_exception = False
    return client, desk.full_desk(user), [places]


def post(client: Client) -> Send:
    return lambda form, data: client.post(form.address, data)


def get(client: Client) -> Send:
    def send(form: Form, data: dict[str, Any]) -> HttpResponse:
        return client.get(form.address, {name: each for name, each in data.items() if isinstance(each, str | list)})

    return send


def run_both(site: Any, examples: int, capsys: Any) -> Counter[tuple[str, int]]:
    client, full, folders = site
    posted = fuzz(forms(full, client), post(client), client, examples, folders)
    asked = fuzz(queries(full), get(client), client, examples, folders)
    with capsys.disabled():
        for what, counts in (("forms", posted), ("queries", asked)):
            by_status = Counter[int]()
            for (_, status), count in counts.items():
                by_status[status] += count
            print(f"\n{counts.total()} {what}: {dict(sorted(by_status.items()))}")
    return posted + asked


def test_a_valid_form_of_each_kind_is_taken(site):
    client, full, _ = site
    taken = {"import", "new backtest", "watchlist", "watchlist edit", "halt", "describe", "selected", "alerts"}
    for name, form in forms(full, client).items():
        files = {each: SimpleUploadedFile("bars.csv", content) for each, content in form.files.items()}
        answer = client.post(form.address, form.valid | files)
        assert answer.status_code == 302 or name not in taken, (name, answer.status_code)


def test_a_sample_of_hostile_forms_and_queries_breaks_nothing(site, capsys):
    statuses = run_both(site, 8, capsys)
    assert statuses.total() > 200


@pytest.mark.exhaustive
def test_many_hostile_forms_and_queries_break_nothing(site, capsys):
    cases = int(os.environ.get("FUZZ_CASES", "100"))
    client, full, _ = site
    pages = len(forms(full, client)) + len(queries(full))
    statuses = run_both(site, cases, capsys)
    assert statuses.total() >= cases * pages
