"""What the commands print about imports: for people on a terminal, plainly elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from marketdata.importing import FileReport, SeriesReport

_SERIES_SHOWN = 10


@contextmanager
def progress(total: int, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, nothing elsewhere; the yielded function begins the next of `total` steps."""
    if quiet or not sys.stderr.isatty():
        yield lambda label: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=total)
        begun = False

        def advance(label: str) -> None:
            nonlocal begun
            bar.update(task, description=label, advance=1 if begun else 0)
            begun = True

        yield advance


def print_report(report: FileReport, out: Any, dry_run: bool) -> None:
    out.write(f"{report.path}: {report.kept:,} of {report.rows:,} rows {'would be ' if dry_run else ''}kept")
    for series in report.series[:_SERIES_SHOWN]:
        out.write("  " + _describe(series))
    if len(report.series) > _SERIES_SHOWN:
        out.write(f"  … and {len(report.series) - _SERIES_SHOWN} more series")
    for label, tally in (("dropped", report.dropped), ("noted", report.noted)):
        for reason, found in tally.as_dict().items():
            more = ", …" if found["rows"] > len(found["lines"]) else ""
            out.write(f"  {label}: {found['rows']:,} {reason} (lines {', '.join(map(str, found['lines']))}{more})")
    if report.ignored_columns:
        out.write(f"  ignored columns: {', '.join(report.ignored_columns)}")
    for remark in report.remarks:
        out.write(f"  note: {remark}")


def _describe(series: SeriesReport) -> str:
    span = f"{series.first}Z to {series.last}Z"
    text = f"{series.symbol} {series.timeframe} {series.adjustment}: {series.kept:,} bars, {span}"
    if series.write is not None:
        added, changed, unchanged = series.write[:3]
        text += f"; {added:,} new, {changed:,} changed, {unchanged:,} held already"
    if series.actions:
        recorded = "" if series.recorded is None else f" ({series.recorded.added} new)"
        text += f"; {series.actions} splits and dividends{recorded}"
    return text
