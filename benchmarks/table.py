"""Write the measured figures into docs/performance.md, between two marks; the text around them is a person's."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

BEGIN, END = "<!-- measured: begin (make bench) -->", "<!-- measured: end -->"
# How far ahead the engine has to be: (ours, peer, case, goal).
GOALS = (
    ("ours, signals", "vectorbt (numba)", "minutes-10y", 5),
    ("ours, signals", "backtesting.py", "minutes-10y", 100),
    ("ours, signals", "backtrader", "minutes-10y", 1000),
    ("ours, on_bar", "backtesting.py", "minutes-1y", 8),
    ("ours, on_bar", "backtrader", "minutes-1y", 80),
)


def write_tables(
    page: Path,
    engines: list[str],
    lengths: dict[str, int],
    figures: dict[tuple[str, str], dict[str, float]],
    extras: list[tuple[str, str]],
    rounds: int,
) -> None:
    """`figures[engine, case]` are medians; case "process" is one whole process from start to the first daily figure."""
    seconds = {
        (engine, case): figures[engine, case]["cpu"]
        if (engine, case) in figures
        else figures[engine, "minutes-1y"]["cpu"] * lengths[case] / lengths["minutes-1y"]
        for engine in engines
        for case in lengths
    }
    measured = "\n\n".join(
        [
            f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench`: {machine()}. CPU time, medians of "
            f"{rounds} rounds in which the engines took turns.",
            speed_table(engines, lengths, figures, seconds),
            goal_table(seconds),
            start_table(engines, figures),
            agreement_table(lengths, figures),
            rows(["also measured", "figure"], [list(extra) for extra in extras]),
        ]
    )
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} has lost the marks {BEGIN!r} and {END!r}; put them where the tables belong")
    page.write_text(f"{before}{BEGIN}\n{measured}\n{END}{after}")
    print(measured)


def machine() -> str:
    name = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {name}, Python {platform.python_version()}, NumPy {version('numpy')}"


def speed_table(engines, lengths, figures, seconds) -> str:
    body = []
    for engine in engines:
        cells = [engine]
        for case, bars in lengths.items():
            mark = "" if (engine, case) in figures else " (x)"
            cells.append(f"{clock(seconds[engine, case])} · {rate(bars / seconds[engine, case])}{mark}")
        body.append(
            [
                *cells,
                f"{max(f['peak_mb'] for (name, _), f in figures.items() if name == engine and 'peak_mb' in f):.0f}",
            ]
        )
    head = ["one run · bars/s", *(f"{case} ({bars:,} bars)" for case, bars in lengths.items()), "peak MB"]
    return rows(head, body) + "\n\n(x) scaled linearly from minutes-1y."


def goal_table(seconds) -> str:
    body = []
    for ours, peer, case, goal in GOALS:
        ahead = seconds[peer, case] / seconds[ours, case]
        body.append([ours, peer, case, f"{ahead:,.1f}x", f"{goal:,}x", "yes" if ahead >= goal else "**no**"])
    return rows(["engine", "against", "case", "ahead", "goal", "reached"], body)


def start_table(engines, figures) -> str:
    body = [
        [
            engine,
            f"{figures[engine, 'process']['start_up_cpu']:.2f} s",
            f"{figures[engine, 'process']['first_cpu']:.3f} s",
            f"{figures[engine, 'process']['process_cpu']:.2f} s",
        ]
        for engine in engines
    ]
    return rows(["daily-25y, one process", "Python and imports", "first run (compiles)", "whole process"], body)


def agreement_table(lengths, figures) -> str:
    body = []
    for case in lengths:
        found = [f for (_, at), f in figures.items() if at == case]
        body.append(
            [
                case,
                f"{found[0]['orders']:,.0f}",
                f"{found[0]['equity']:,.4f}",
                f"{spread(f['equity'] for f in found):.1e}",
            ]
        )
    return rows(["case", "orders, the same in all", "final equity", "largest difference"], body)


def spread(values) -> float:
    values = list(values)
    return max(values) - min(values)


def rows(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def clock(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def rate(value: float) -> str:
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value / 1e3:.1f}k"
