"""Reads of the strategies tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from domain.errors import BadInput

if TYPE_CHECKING:
    from strategies import models as tables

_NEWEST_SHOWN = 5


class BacktestQuerySet(models.QuerySet["tables.Backtest"]):
    def listed(self) -> BacktestQuerySet:
        """Those that lists show: without the archived ones, and without the columns that only a detail page needs."""
        return self.filter(archived=False).defer("config", "log_tail", "notes")

    def named(self, run_id: str) -> tables.Backtest:
        """The run of that id; BadInput names the newest ones, since all of them would be too many."""
        row = self.filter(directory=run_id).first()
        if row is None:
            newest = ", ".join(self.values_list("directory", flat=True)[:_NEWEST_SHOWN])
            hint = f"the newest: {newest}" if newest else "no backtest has been run yet"
            raise BadInput(f"unknown run {run_id[:80]!r}; {hint}")
        return row
