"""Addresses that try to leave the folder they belong to, or hold what no row can: never a file, never a 5xx."""

from itertools import product

import pytest
from django.urls import reverse

from marketdata.models import BarImport
from strategies.backtests import run_directory
from tests.reports import desk
from tests.reports.factory import make_run
from tests.strategies.conftest import places  # noqa: F401
from tests.tradingsite.people import staff

CANARY = "canary 5f1c"
UPS = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%252f",
    "..\\",
    "..%5c",
    "%2e%2e%5c",
    "....//",
    "..;/",
    "..%c0%af",
    "..%00/",
    "..%ef%bc%8f",
    "./../",
    "%2e/%2e%2e/",
    "..//",
    "%2e%2e%252f",
    "..%u2215",
    "%ef%bd%9e/",
    "..%0a/",
)
TARGETS = ("canary.txt", "canary.txt%00.csv", "etc/passwd", "proc/self/environ", "report.html", "canary.parquet")
PAYLOADS = [
    *(up * depth + target for up, depth, target in product(UPS, (1, 6), TARGETS)),
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "C:%5cwindows%5cwin.ini",
    "%00",
    "a%00b",
    "%ff%fe",
    "%F0%9F%98%80",
    "..",
    ".",
    "%2e",
    "%2e%2e",
    "~root",
    "$(id)",
    "%7Bid%7D",
    "a" * 3_000,
    "%25" * 400,
    "*",
    "?",
]
PLACES = (
    "/backtests/{}/",
    "/backtests/{}/report/",
    "/backtests/{}/files/fills.csv",
    "/backtests/{run}/files/{}",
    "/backtests/{run}/files/{}.csv",
    "/backtests/compare/?run={run}&run={}",
    "/instruments/{}/",
    "/runs/backtest/{}/",
    "/runs/{}/{run}/",
    "/api/v1/runs/{}/",
    "/api/v1/backtests/{}/",
    "/api/v1/backtests/{run}/ledgers/{}/",
    "/api/v1/backtests/{run}/{}",
    "/api/v1/reports/{}/",
    "/api/v1/bar-imports/{}/",
    "/static/{}",
)


@pytest.fixture
def browser(client, db, places, settings, healthy):  # noqa: F811
    """An admin's, on a site with one finished run and a canary beside and above every folder."""
    settings.UPLOADS_DIR = places / "uploads"
    client.force_login(staff("admin"))
    client.raise_request_exception = False
    run = desk.backtest(directory="done")
    make_run(run_directory(run))
    for folder in (places, settings.RUNS_DIR, run_directory(run)):
        for name in ("canary.txt", "canary.parquet"):
            (folder / name).write_text(CANARY)
    return client


def test_no_address_leads_out_of_its_folder(browser, capsys):
    asked = 0
    for place, payload in product(PLACES, PAYLOADS):
        address = place.replace("{run}", "done").replace("{}", payload)
        path, _, query = address.partition("?") if "compare" in place else (address, "", "")
        answer = browser.get(path, QUERY_STRING=query)
        asked += 1
        assert answer.status_code < 500, address
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert CANARY.encode() not in body and b"root:x:0" not in body and b"PATH=" not in body, address
        if "files" in place and payload not in ("..", ".", "?"):
            assert answer.status_code in (301, 302, 400, 404), address
    with capsys.disabled():
        print(f"\n{asked} addresses of {len(PAYLOADS)} payloads")
    assert len(PAYLOADS) >= 200


@pytest.mark.parametrize(
    "name",
    [
        "../../../canary.csv",
        "..\\..\\canary.csv",
        "/etc/cron.d/canary",
        "a\x00b.csv",
        ".",
        "..",
        ".hidden",
        "x" * 400,
        "\u202e.csv",
        "%2e%2e%2fcanary.csv",
        "con",
        "a/b/../../../c.csv",
        "\\\\host\\share\\x.csv",
        "~/.bashrc",
        "$(id).csv",
        "a\nb.csv",
    ],
)
def test_an_upload_stays_in_its_folder_whatever_its_name(browser, places, name):  # noqa: F811
    before = set(places.rglob("*"))
    content = b"timestamp,open,high,low,close,volume\n2020-01-02,1,2,0.5,1.5,100\n"
    boundary = "b" * 20
    quoted = name.encode().replace(b'"', b"%22")
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="'.encode()
        + quoted
        + b'"\r\nContent-Type: text/csv\r\n\r\n'
        + content
        + f"\r\n--{boundary}--\r\n".encode()
    )
    answer = browser.generic("POST", "/imports/new/", body, content_type=f"multipart/form-data; boundary={boundary}")
    assert answer.status_code in (302, 400), name
    written = [path for path in set(places.rglob("*")) - before if path.is_file()]
    assert len(written) == BarImport.objects.count() == (answer.status_code == 302)
    for path, row in zip(written, BarImport.objects.all(), strict=True):
        assert path.parent == places / "uploads" / str(row.pk)
        assert path.name.isascii() and path.name.isprintable()


@pytest.mark.parametrize(
    "address",
    [
        "/backtests/%00/",
        "/search/?q=%00",
        "/instruments/?q=a%00",
        "/backtests/?tag=%00",
        "/backtests/open/?run=%00",
        "/backtests/new/?from=%00",
        "/backtests/new/?symbols=%00",
        "/imports/new/?symbol=%00",
        "/?part=%00",
        "/runs/?state=%00",
    ],
)
def test_a_nul_in_an_address_is_refused(browser, address):
    path, _, query = address.partition("?")
    assert browser.get(path, QUERY_STRING=query).status_code == 400


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("/halts/", {"account": "\0"}),
        ("/halts/", {"level": "pause", "reason": "a\0b"}),
        ("/alerts/seen/", {"alert": "1\0"}),
        ("/backtests/done/describe/", {"tag": "a\0", "notes": ""}),
        ("/backtests/done/describe/", {"notes": "\0"}),
        ("/backtests/selected/", {"action": "tag", "run": "done", "tag": "\0"}),
        ("/backtests/selected/", {"run": "\0"}),
        ("/watchlists/new/", {"name": "\0", "symbols": ""}),
        ("/admin/login/", {"username": "\0", "password": "x"}),
    ],
)
def test_a_nul_in_a_form_is_refused(browser, address, fields):
    assert browser.post(address, fields).status_code == 400


@pytest.mark.parametrize("alert", ["9" * 18, "9" * 19, "9" * 5_000, "٣", "-1", "1e3"])
def test_an_alert_that_cannot_be_is_none(browser, alert):
    assert browser.post("/alerts/seen/", {"alert": alert}).status_code == 302


@pytest.mark.parametrize(
    "back", ["0", "dashboard", "https://example.org/", "//example.org", "/\\example.org", "javascript:x", "\r\nX: y"]
)
def test_from_the_list_of_backtests_nobody_is_sent_elsewhere(browser, back):
    answer = browser.post("/backtests/selected/", {"action": "tag", "run": "done", "tag": "t", "back": back})
    assert (answer.status_code, answer["Location"]) == (302, reverse("backtests"))
