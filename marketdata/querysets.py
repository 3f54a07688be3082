"""Reads of the marketdata tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from domain.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from marketdata import models as tables


class InstrumentQuerySet(models.QuerySet["tables.Instrument"]):
    def active(self) -> InstrumentQuerySet:
        return self.filter(active=True)

    def named(self, symbol: str, **fields: Any) -> tables.Instrument:
        """The active instrument of that symbol; UnknownName, or BadInput where several exchanges list it.

        `fields` narrow the choice (exchange, currency, kind); empty values are left out.
        """
        found = list(self.active().filter(symbol=symbol, **{name: value for name, value in fields.items() if value}))
        if not found:
            raise UnknownName("instrument", symbol, self.active().values_list("symbol", flat=True))
        if len(found) > 1:
            listings = ", ".join(f"{each.exchange}/{each.currency}/{each.kind}" for each in found)
            raise BadInput(f"{symbol}: several instruments have this symbol ({listings}); say the exchange")
        return found[0]


class WatchlistQuerySet(models.QuerySet["tables.Watchlist"]):
    def named(self, name: str) -> tables.Watchlist:
        found = self.filter(name=name).first()
        if found is None:
            raise UnknownName("watchlist", name, self.values_list("name", flat=True))
        return found


class BarFileQuerySet(models.QuerySet["tables.BarFile"]):
    def of_series(self, instrument: tables.Instrument, timeframe: str, what: str) -> BarFileQuerySet:
        return self.filter(instrument=instrument, timeframe=timeframe, what=what)


class CorporateActionQuerySet(models.QuerySet["tables.CorporateAction"]):
    def of(self, instrument: tables.Instrument) -> CorporateActionQuerySet:
        return self.filter(instrument=instrument).order_by("ex_date", "kind")
