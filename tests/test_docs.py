"""The documentation is true: its commands and Python run as they stand, its links and proofs lead somewhere."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command, get_commands, load_command_class

from domain.bars import BarSeries
from domain.costs import SCHEDULES
from strategies import registry
from tests.reports.factory import make_run

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?:`([\w.]+)`:\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str, str]]:
    """(file name before the fence or empty, language, content) in the page's order."""
    return [(name or "", language, content) for name, language, content in FENCE.findall(text_of(page))]


def shell_lines(page: str) -> list[list[str]]:
    """The words of each `./manage.py …` line in the page's shell blocks, without the program."""
    lines = [line for _, language, content in blocks(page) if language == "sh" for line in content.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line and line[0].endswith("manage.py")]


def prices(count: int = 400) -> dict[str, np.ndarray]:
    """Made-up daily prices where a page leaves them open."""
    random = np.random.default_rng(7)
    close = np.round(100 * np.exp(np.cumsum(random.normal(0.0005, 0.012, count))), 2)
    return {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.full(count, 1e6)}


def without_sizes(text: str) -> str:
    """A file's size changes with the version of its writer."""
    return re.sub(r"[\d,]+ bytes", "… bytes", text)


def run_python(page: str, names: dict) -> dict:
    """Execute the page's Python blocks in one namespace; returns it."""
    for number, content in enumerate(content for _, language, content in blocks(page) if language == "python"):
        exec(compile(content, f"{page}, Python block {number + 1}", "exec"), names)
    return names


@pytest.fixture
def known(monkeypatch):
    """The registry; what a page adds is gone after the test."""
    registry.load()
    for name in ("_entries", "_clashes", "_loaded"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())


def test_the_block_of_the_readme_runs():
    dates = np.datetime64("2020-01-01", "D") + np.arange(400)
    names = run_python("README.md", {"bars": BarSeries.from_columns("1d", start=dates, **prices())})
    assert len(names["result"].equity["time"]) == 400
    fills = names["result"].fills
    assert len(fills["price"]) > 2
    assert 0.8 < fills["quantity"][0] * fills["price"][0] / 50_000 < 1


def test_the_strategies_of_the_guide_run_and_trade(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = prices()
    lines = ["date," + ",".join(columns)]
    days = np.datetime64("2020-01-01", "D") + np.arange(400)
    lines += [",".join(map(str, row)) for row in zip(days, *columns.values(), strict=True)]
    Path("spy.csv").write_text("\n".join(lines))
    names = run_python("docs/writing-a-strategy.md", {"__name__": "guide"})
    assert len(names["result"].fills["price"]) > 2
    ratchet = names["backtest"]({"SPY": names["bars"]}, names["Ratchet"](window=10))
    assert "trailing_stop" in ratchet.orders["type"]
    by_bar = names["backtest"]({"SPY": names["bars"]}, names["Pullback"](trend=100), path="loop")
    assert len(by_bar.fills["price"]) > 2


def test_the_calls_of_the_reports_page_write_both_files(tmp_path):
    run_dir = make_run(tmp_path / "run")
    run_python("docs/reports.md", {"run_dir": run_dir})
    assert (run_dir / "report.html").stat().st_size > 1_000_000
    assert (run_dir / "report.ipynb").is_file()


def test_the_data_page_can_be_followed_from_top_to_bottom(db, tmp_path, settings, monkeypatch, capsys):
    settings.BARS_URL = str(tmp_path / "bars")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    commands = set()
    for name, language, content in blocks("docs/data.md"):
        if language == "csv":
            Path(name).write_text(content)
        elif language == "python":
            exec(compile(content, "docs/data.md", "exec"), names)
        elif language == "sh":
            for line in content.splitlines():
                words = shlex.split(line, comments=True)[1:]
                call_command(*words)
                commands.add(words[0])
    assert commands == {"import_bars", "import_actions", "load_actions", "coverage", "sweep_bars"}
    printed = without_sizes(capsys.readouterr().out)
    (example,) = (content for _, language, content in blocks("docs/data.md") if not language and "missing:" in content)
    assert without_sizes(example) in printed
    assert "1 on a day without a session of XNYS (lines 3)" in printed
    assert names["bars"].close.tolist() == [647.35, 645.57, 93.7, 94.25]
    assert names["adjusted"].close[0] == pytest.approx(92.4786, abs=1e-4)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists_and_takes_what_is_shown(page):
    commands = get_commands()
    named = set(re.findall(r"manage\.py ([a-z]\w*)", text_of(page)))
    assert named <= {*commands, "help"}
    for words in shell_lines(page):
        load_command_class(commands[words[0]], words[0]).create_parser("manage.py", words[0]).parse_args(words[1:])


def test_the_pages_show_commands_at_all():
    assert len(shell_lines("README.md")) >= 6
    assert len(shell_lines("docs/data.md")) >= 10


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text_of(page))) <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


def test_every_file_that_the_architecture_names_exists():
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text_of("docs/architecture.md"))
    assert len(named) > 15
    missing = [
        name
        for name in named
        if not any(
            (ROOT / room / name).exists()
            for room in ("", "domain/engine", "gateway", "gateway/simulator", "tradingsite")
        )
    ]
    assert missing == []


@pytest.mark.parametrize("room", ["domain/engine", "gateway/simulator"])
def test_the_architecture_names_every_file_of_a_room_with_many(room):
    text = text_of("docs/architecture.md")
    names = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_no_page_names_a_path_of_one_machine():
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users)/", text_of(page)), page


def test_the_table_of_fees_says_what_is_charged():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text_of("docs/conventions.md"), re.MULTILINE))
    assert {"free", "ib_fixed", "ib_tiered"} <= SCHEDULES.keys() <= rows.keys()
    for name, schedule in SCHEDULES.items():
        figures = [schedule.per_unit, schedule.extra_per_unit, *(tier.per_unit for tier in schedule.tiers[::4])]
        said = {f"{figure:.4f}".rstrip("0") for figure in figures if figure}
        said |= {f"{schedule.minimum:.2f}"} if schedule.minimum else set()
        said |= {f"{schedule.fraction:.3%}".replace("%", " %")} if schedule.fraction else set()
        said |= {f"{schedule.maximum_fraction:.0%}".replace("%", " %")} if schedule.maximum_fraction < 1 else set()
        assert said == set(re.findall(r"\d+(?:\.\d+)?(?: %)?", rows[name])), name


# The list of what is done


def rows_of_acceptance() -> list[list[str]]:
    lines = [line for line in text_of("docs/acceptance.md").splitlines() if re.match(r"\| [SX]\d?-\d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_item_of_the_acceptance_list_stands_once_with_a_state():
    rows = rows_of_acceptance()
    assert len(rows) > 100
    identifiers = [row[0] for row in rows]
    assert sorted(set(identifiers)) == sorted(identifiers)
    for row in rows:
        assert len(row) == 4, row
        assert row[2].startswith(("done", "part", "later", "other")), row
        assert row[3] or row[2].startswith("later"), row


def test_every_proof_that_a_page_names_exists():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text_of("docs/acceptance.md") + text_of("docs/reliability.md"))
    assert len(named) > 80
    for module, test in named:
        path = ROOT / "tests" / module
        assert path.is_file(), module
        assert f"def {test}(" in path.read_text(encoding="utf-8"), (module, test)
    for path in re.findall(
        r"`((?:docs|domain|marketdata|strategies|reports|tradingsite|examples|\.github)/[\w./-]+)`",
        text_of("docs/acceptance.md"),
    ):
        assert (ROOT / path).exists(), path
