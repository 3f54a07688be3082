"""Instruments, watchlists, the catalogue of bar files, corporate actions and the live tape."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models import F, Q

from domain import bars as domain_bars
from domain import instrument as domain_instrument
from domain import timeframe as domain_timeframe
from marketdata import querysets
from tradingsite.runs import Run


def _choices(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(name), str(name)) for name in names]


class Instrument(models.Model):
    """What is traded. Its identity is the row (and IB's `con_id`), never the symbol: tickers are reused.

    When a symbol passes to another company, the old row is made inactive and keeps its bars.
    """

    symbol = models.CharField(max_length=32)
    name = models.CharField(max_length=120, blank=True)
    kind = models.CharField(max_length=12, choices=_choices(domain_instrument.InstrumentKind), default="stock")
    exchange = models.CharField(max_length=16, default="SMART", help_text="where orders go")
    primary = models.CharField(max_length=16, blank=True, help_text="where it is listed")
    currency = models.CharField(max_length=3, default="USD")
    calendar = models.CharField(max_length=32, default="XNYS", help_text="trading calendar, such as XNYS or CME_Equity")
    tick = models.DecimalField(max_digits=20, decimal_places=10, default="0.01", help_text="smallest price step")
    lot = models.DecimalField(max_digits=20, decimal_places=10, default="1", help_text="smallest quantity step")
    multiplier = models.DecimalField(max_digits=20, decimal_places=10, default="1", help_text="money per point")
    margin = models.DecimalField(
        max_digits=20, decimal_places=4, null=True, blank=True, help_text="initial margin per contract"
    )
    con_id = models.BigIntegerField(null=True, blank=True, unique=True, help_text="IB's contract id")
    active = models.BooleanField(default=True)
    created = models.DateTimeField(auto_now_add=True)

    objects = querysets.InstrumentQuerySet.as_manager()

    class Meta:
        ordering = ["symbol", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "exchange", "currency", "kind"],
                condition=Q(active=True),
                name="instrument_active_symbol_unique",
            ),
            models.CheckConstraint(condition=~Q(symbol=""), name="instrument_symbol_given"),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in domain_instrument.InstrumentKind]),
                name="instrument_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(tick__gt=0, lot__gt=0, multiplier__gt=0) & (Q(margin__isnull=True) | Q(margin__gt=0)),
                name="instrument_steps_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.symbol

    def as_domain(self) -> domain_instrument.Instrument:
        return domain_instrument.Instrument(
            symbol=self.symbol,
            kind=domain_instrument.InstrumentKind(self.kind),
            currency=self.currency,
            calendar=self.calendar,
            tick=float(self.tick),
            lot=float(self.lot),
            multiplier=float(self.multiplier),
            margin=None if self.margin is None else float(self.margin),
        )


class Watchlist(models.Model):
    """A named, ordered list of instruments."""

    name = models.CharField(max_length=64, unique=True)
    tags = models.CharField(max_length=200, blank=True, help_text="words to find it by, with commas between them")
    instruments = models.ManyToManyField(Instrument, through="WatchlistMember", related_name="watchlists")

    objects = querysets.WatchlistQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WatchlistMember(models.Model):
    watchlist = models.ForeignKey(Watchlist, on_delete=models.CASCADE, related_name="members")
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="memberships")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["watchlist", "instrument"], name="watchlist_instrument_once"),
        ]

    def __str__(self) -> str:
        return f"{self.watchlist}: {self.instrument}"


class What(models.TextChoices):
    """What a bar's prices are, in IB's words."""

    TRADES = "TRADES", "trades"
    MIDPOINT = "MIDPOINT", "midpoint"
    BID_ASK = "BID_ASK", "bid and ask"
    ADJUSTED_LAST = "ADJUSTED_LAST", "adjusted last"


class BarFile(models.Model):
    """One partition of one series: the row is the commit, the file behind `path` never changes.

    `partition` is the UTC year of the bars' start, or 0 where one file holds all (1d, 1w). A row whose
    `quarantined` is set has lost its bars: the file failed its check and was moved away.
    """

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="bar_files")
    timeframe = models.CharField(max_length=3, choices=_choices(domain_timeframe.Timeframe))
    what = models.CharField(max_length=16, choices=What.choices, default=What.TRADES)
    adjustment = models.CharField(max_length=8, choices=_choices(domain_bars.Adjustment), default="raw")
    partition = models.PositiveSmallIntegerField()
    start = models.DateTimeField(help_text="start of the first bar")
    end = models.DateTimeField(help_text="end of the last bar")
    rows = models.PositiveIntegerField()
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    path = models.CharField(max_length=160, unique=True, help_text="below BARS_URL")
    source = models.CharField(max_length=120, blank=True, help_text="where the latest bars came from")
    quarantined = models.DateTimeField(null=True, blank=True)
    fault = models.CharField(max_length=300, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    objects = querysets.BarFileQuerySet.as_manager()

    class Meta:
        ordering = ["instrument", "timeframe", "what", "adjustment", "partition"]
        constraints = [
            models.UniqueConstraint(
                fields=["instrument", "timeframe", "what", "adjustment", "partition"], name="barfile_partition_unique"
            ),
            models.CheckConstraint(condition=Q(rows__gt=0, bytes__gt=0, version__gt=0), name="barfile_not_empty"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="barfile_end_after_start"),
            models.CheckConstraint(
                condition=Q(timeframe__in=[each.value for each in domain_timeframe.Timeframe])
                & Q(adjustment__in=[each.value for each in domain_bars.Adjustment])
                & Q(what__in=What.values),
                name="barfile_names_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.timeframe} {self.what} {self.adjustment} {self.partition or 'all'}"


class CorporateAction(models.Model):
    """One event on one ex-date. `value` is new shares per old (split), cash per share (dividend) or what a share is
    still worth (delisting; empty: the last price). One row per kind and day: two sources report one event.
    """

    class Kind(models.TextChoices):
        SPLIT = "split", "split"
        DIVIDEND = "dividend", "dividend"
        DELISTING = "delisting", "delisting"

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="corporate_actions")
    ex_date = models.DateField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    value = models.DecimalField(max_digits=24, decimal_places=10, null=True, blank=True)
    source = models.CharField(max_length=120, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    objects = querysets.CorporateActionQuerySet.as_manager()

    class Meta:
        ordering = ["instrument", "ex_date", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "ex_date", "kind"], name="corporateaction_unique"),
            models.CheckConstraint(
                condition=Q(kind__in=["split", "dividend"], value__isnull=False, value__gt=0)
                | Q(kind="delisting") & (Q(value__isnull=True) | Q(value__gte=0)),
                name="corporateaction_value_fits_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.ex_date} {self.kind} {self.value}"


class Bar(models.Model):
    """The live tape: a bar as the trader saw it when it decided, so that a live day can be replayed."""

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="tape")
    timeframe = models.CharField(max_length=3, choices=_choices(domain_timeframe.Timeframe))
    start = models.DateTimeField()
    end = models.DateTimeField()
    open = models.DecimalField(max_digits=20, decimal_places=8)
    high = models.DecimalField(max_digits=20, decimal_places=8)
    low = models.DecimalField(max_digits=20, decimal_places=8)
    close = models.DecimalField(max_digits=20, decimal_places=8)
    volume = models.DecimalField(max_digits=24, decimal_places=4, null=True, blank=True)
    received_at = models.DateTimeField()
    origin = models.CharField(max_length=32, help_text="which process heard it")

    class Meta:
        ordering = ["instrument", "timeframe", "start"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "timeframe", "start", "origin"], name="bar_heard_once"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="bar_end_after_start"),
            models.CheckConstraint(
                condition=Q(low__gt=0)
                & Q(low__lte=F("open"), high__gte=F("open"))
                & Q(low__lte=F("close"), high__gte=F("close")),
                name="bar_prices_inside_range",
            ),
            models.CheckConstraint(condition=Q(volume__isnull=True) | Q(volume__gte=0), name="bar_volume_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.timeframe} {self.start:%Y-%m-%d %H:%M}Z"


class BarImport(Run):
    """A file of bars that somebody handed in, on its way into the store. `config` holds the options it is read with."""

    queue = "import"
    task = "marketdata.tasks.import_bars"

    name = models.CharField(max_length=200, help_text="the file as it was called")
    path = models.CharField(max_length=200, blank=True, help_text="below UPLOADS_DIR; empty once it is imported")
    bytes = models.PositiveBigIntegerField(default=0)
    report = models.JSONField(null=True, blank=True, help_text="what was kept, dropped, and why")
