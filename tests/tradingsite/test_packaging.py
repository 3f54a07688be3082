"""What a fresh machine gets: the pinned requirements, the Makefile's targets, the documented environment."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED_FILES = {
    "runtime.txt": [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["demo"]],
    "test.txt": [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["demo"],
        *(line for group in ("test", "oracle", "lint") for line in PROJECT["dependency-groups"][group]),
    ],
}


def read_pins(name: str) -> list[tuple[Requirement, list[str]]]:
    """(requirement, its hashes), in the file's order; an unreadable line fails."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    pins = []
    for line in text.splitlines():
        requirement, *hashes = line.split("--hash=")
        pins.append((Requirement(requirement), [digest.strip() for digest in hashes]))
    return pins


@pytest.mark.parametrize("name", PINNED_FILES)
def test_every_requirement_is_one_version_with_hashes_and_no_address(name):
    pins = read_pins(name)
    assert len(pins) >= len(PINNED_FILES[name])
    for requirement, hashes in pins:
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert requirement.url is None, requirement
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), requirement
    text = (ROOT / "requirements" / name).read_text()
    assert not re.search(r"://|^\s*-{1,2}(i|index|extra-index|find-links|trusted-host)|#", text, re.MULTILINE)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("name", PINNED_FILES)
def test_the_pins_satisfy_what_the_project_asks_for(name, python):
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.9"}
    pinned = {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin, _ in read_pins(name)
        if pin.marker is None or pin.marker.evaluate(environment)
    }
    for line in PINNED_FILES[name]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), f"{line}; run `make requirements`"


def test_the_runtime_is_tested_at_the_versions_it_is_shipped_with():
    tested = {(pin.name, str(pin.specifier), str(pin.marker)) for pin, _ in read_pins("test.txt")}
    assert {(pin.name, str(pin.specifier), str(pin.marker)) for pin, _ in read_pins("runtime.txt")} <= tested


def test_the_example_environment_names_every_setting_that_is_read():
    tree = ast.parse((ROOT / "tradingsite" / "settings.py").read_text())
    read = {
        str(call.args[0].value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "env"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    } | {"DATABASE_URL"}
    example = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read
    assert read - {"DOTENV"} <= example


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_without_a_target_lists_the_targets():
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^  make ([\w-]+)", shown, re.MULTILINE) == [
        "help",
        "demo",
        "up",
        "test",
        "test-browser",
        "test-exhaustive",
        "test-gateway",
        "test-postgres",
        "test-faults",
        "check",
        "bench",
        "requirements",
        "clean",
    ]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_refuses_a_python_that_is_too_old_and_says_what_to_do(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = ["make", "demo", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Install Python 3.11, 3.12 or 3.13" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_continuous_integration_says_that_postgresql_is_left_out_and_fails_where_make_does(tmp_path):
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "make $*"\ntest "$*" != "$FAILS"\n')
    make.chmod(0o755)
    where = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "VENV": sys.prefix,
        "POSTGRES_URL": "postgres://x@127.0.0.1:1/x",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CHROMIUM": sys.executable,
    }
    fine, failed = (
        subprocess.run([ROOT / ".ci/run"], env=where | {"FAILS": fails}, capture_output=True, text=True, check=False)
        for fails in ("", "test")
    )
    *made, said, last = fine.stdout.splitlines()
    always, newest = made[:3], made[3:]
    assert always == ["make test", "make test-exhaustive", "make LIBRARIES=ib_async test-gateway"]
    assert all(each.startswith("make VENV=.venv/newest ") for each in newest)
    assert (last, fine.returncode) == ("make test-faults", 0)
    assert said.startswith("The database tests ran on SQLite alone; PostgreSQL was left out: ")
    assert (failed.stdout, failed.returncode) == ("make test\n", 1)
