"""manage.py config: what it prints, what it changes, how it ends."""

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.tradingsite.configuration import EXAMPLE, tables, wipe
from tradingsite.documents import kinds
from tradingsite.imports import import_documents
from tradingsite.models import ConfigChange

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def config(*words) -> str:
    out = StringIO()
    call_command("config", *map(str, words), stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "desk.yaml"
    path.write_text(EXAMPLE)
    return path


def test_what_is_exported_to_a_file_or_a_folder_is_imported_again(file, tmp_path):
    assert config("import", file).strip() == "7 created, 0 changed, 0 deleted, 0 unchanged"
    held = tables()
    text = config("export")
    assert "Wrote" in config("export", "--output", tmp_path / "out.yaml")
    assert (tmp_path / "out.yaml").read_text() == text
    assert config("export", "--output", tmp_path / "folder").count("Wrote") == len(kinds())
    wipe()
    config("import", tmp_path / "folder")
    assert tables() | {"changes": []} == held | {"changes": []}
    assert config("import", tmp_path / "out.yaml").strip() == "0 created, 0 changed, 0 deleted, 14 unchanged"


def test_only_the_kinds_that_are_asked_for_are_exported(file):
    config("import", file)
    text = config("export", "--kind", "watchlist", "--kind", "risk_profile")
    assert [line for line in text.splitlines() if line and line[0].isalpha()] == ["watchlist:", "risk_profile:"]


def test_diff_and_a_dry_run_show_and_change_nothing(file):
    config("import", file)
    before = tables()
    file.write_text(EXAMPLE.replace("fast: 20", "fast: 10"))
    for words in (("diff", file), ("import", "--dry-run", file)):
        assert "-    fast: 20\n+    fast: 10\n" in config(*words)
    file.write_text("watchlist: [{name: x}]")
    assert "+- name: x" in config("diff", file)
    assert tables() == before
    file.write_text(EXAMPLE)
    assert config("diff", file) == ""


def test_history_shows_each_change_and_the_reason(file):
    config("import", file, "--reason", "first setup")
    file.write_text("scheduled_backtest: []")
    config("import", file, "--prune")
    printed = config("history", "scheduled_backtest", "nightly")
    assert "command line: first setup" in printed
    assert "command line: import of desk.yaml" in printed
    assert printed.index("-- name: nightly") < printed.index("+- name: nightly")
    assert config("history", "watchlist", "none").strip() == "No change of watchlist 'none' is recorded."
    assert set(ConfigChange.objects.values_list("source", flat=True)) == {"command"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["import", "bad.yaml"], 1, r"bad\.yaml: watchlist 'x': unknown field 'member'"),
        (["diff", "bad.yaml"], 1, "unknown field"),
        (["import", "missing.yaml"], 2, "does not exist"),
        (["import", "empty"], 1, "holds no .yaml file"),
        (["export", "--kind", "watchlists"], 2, "did you mean 'watchlist'"),
        (["export", "--output", "bad.yaml/x.yaml"], 2, "cannot be written"),
        (["history", "watchlists", "x"], 2, "did you mean 'watchlist'"),
    ],
)
def test_a_refusal_says_why_and_ends_with_its_code(words, code, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("watchlist: [{name: x, member: []}]")
    Path("empty").mkdir()
    import_documents(EXAMPLE, actor=None, source="file")
    before = tables()
    with pytest.raises(CommandError, match=says) as refusal:
        config(*words)
    assert refusal.value.returncode == code
    assert tables() == before


def test_a_wrong_option_ends_with_2_in_a_process_of_its_own():
    ended = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "config", "imprt"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2
    assert "invalid choice" in ended.stderr


def test_the_example_of_the_page_is_a_configuration_that_is_read_and_written_so(tmp_path):
    page = (ROOT / "docs/configuration.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "desk.yaml"
    path.write_text(example)
    assert config("import", path).strip() == "10 created, 0 changed, 0 deleted, 0 unchanged"
    assert config("diff", "--prune", path) == ""
    exported = config("export").splitlines()
    left_out = [line for line in example.splitlines() if line not in exported]
    assert left_out == ["  - ex_date: 2020-03-20"]  # an export quotes dates for readers of looser YAML
