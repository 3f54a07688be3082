import json
import subprocess

import pytest

from strategies.evidence import RunLog, git_sha, has_uncommitted_changes, source_hash, versions
from strategies.library.momentum import Momentum

SHA = "c5e0a7d97a2182f757f36a950ad3121ceab7c277"


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": SHA},
        {".git/HEAD": "ref: refs/heads/main", ".git/refs/heads/main": SHA},
        {
            ".git/HEAD": "ref: refs/heads/main",
            ".git/packed-refs": f"# pack-refs\n{'0' * 40} refs/heads/other\n{SHA} refs/heads/main",
        },
        {
            ".git": "gitdir: real/worktrees/w",
            "real/worktrees/w/HEAD": "ref: refs/heads/side",
            "real/worktrees/w/commondir": "../..",
            "real/refs/heads/side": SHA,
        },
    ],
    ids=["detached", "branch", "packed", "worktree"],
)
def test_the_commit_is_read_without_git(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert git_sha(tmp_path) == SHA


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    assert git_sha(tmp_path) is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main")
    assert git_sha(tmp_path) is None


def test_uncommitted_changes_of_tracked_files_are_seen(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("commit", "-m", "first")
    (tmp_path / "untracked").touch()
    assert has_uncommitted_changes(tmp_path) is False
    (tmp_path / "code.py").write_text("a = 2\n")
    assert has_uncommitted_changes(tmp_path) is True


def test_whether_there_are_changes_is_unknown_outside_a_checkout_and_without_git(tmp_path, monkeypatch):
    assert has_uncommitted_changes(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert has_uncommitted_changes(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert has_uncommitted_changes(tmp_path) is None


def test_every_line_of_the_log_carries_its_run(caplog):
    log = RunLog(run_id="r1", symbols=["A"], timeframe="1d")
    with caplog.at_level("INFO", logger="strategies.backtests"):  # silent unless LOG_LEVEL is set
        log.write("started", strategy="x")
        log.write("note", text="two\nlines")
    lines = [json.loads(line) for line in log.encode().decode().splitlines()]
    assert [(each["event"], each["run_id"], each["symbols"], each["timeframe"]) for each in lines] == [
        ("started", "r1", ["A"], "1d"),
        ("note", "r1", ["A"], "1d"),
    ]
    assert "run r1: started strategy=x" in caplog.text


def test_versions_and_sources_are_named():
    assert {"python", "numpy", "pyarrow"} <= set(versions())
    assert len(source_hash(Momentum)) == 64
    assert source_hash(int) is None
