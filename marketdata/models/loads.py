"""How bars come from IB: loads and what each asked for, what was proven not to exist, and the budget of requests."""

from __future__ import annotations

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from domain.pacing import PacingProfile, Priority
from domain.quality import Oddity
from domain.timeframe import Timeframe
from marketdata.models.catalogue import Instrument, Watchlist, What
from tradingsite.runs import Run

TIMEFRAMES = [(each.value, each.value) for each in Timeframe]
ODDITIES = [(each.value, each.label) for each in Oddity]
PRIORITIES = [(each.value, each.name.lower()) for each in Priority]


class SeriesRow(models.Model):
    """Something about the bars of one instrument, timeframe and kind."""

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="%(class)ss")
    timeframe = models.CharField(max_length=3, choices=TIMEFRAMES)
    what = models.CharField(max_length=16, choices=What.choices, default=What.TRADES)

    class Meta:
        abstract = True


class Mode(models.TextChoices):
    TAIL = "tail", "tail: from the last bar held to now"
    BACKFILL = "backfill", "backfill: before the last bar held, holes too"
    FULL = "full", "full: all that is missing"
    REBUILD = "rebuild", "rebuild: all of it again, as a new version"


class LoadPlan(models.Model):
    """A watchlist's bars of one timeframe, to be held without anybody asking. `next_run_at` null: at the next tick,
    where it is enabled."""

    name = models.CharField(max_length=64, unique=True)
    watchlist = models.ForeignKey(Watchlist, on_delete=models.PROTECT, related_name="load_plans")
    timeframe = models.CharField(max_length=3, choices=TIMEFRAMES, default=Timeframe.D1.value)
    what = models.CharField(
        max_length=16, choices=What.choices, blank=True, help_text="empty: trades, and the midpoint for forex"
    )
    mode = models.CharField(
        max_length=8,
        choices=[choice for choice in Mode.choices if choice[0] != Mode.REBUILD],
        default=Mode.TAIL,
        help_text="the first load of an instrument is full in any mode",
    )
    start = models.DateField(null=True, blank=True, help_text="how far back; empty: as far as IB goes")
    every_minutes = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(1)])
    enabled = models.BooleanField(default=True)
    next_run_at = models.DateTimeField(null=True, blank=True, db_index=True)
    last_run_at = models.DateTimeField(null=True, blank=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(every_minutes__gte=1), name="loadplan_every_positive")]

    def __str__(self) -> str:
        return self.name


class LoadRun(SeriesRow, Run):
    """One load of one series. Its fetches are its memory: what they have done is not asked for again."""

    queue = "data"
    task = "marketdata.tasks.load_bars"
    # Hours of work outlive more workers than a minute's.
    max_attempts = 5

    class Outcome(models.TextChoices):
        UP_TO_DATE = "up_to_date", "nothing was missing"
        COMPLETE = "complete", "complete"
        PARTIAL = "partial", "partial"
        NOTHING = "nothing", "nothing could be loaded"
        RESTATED = "restated", "IB's past has changed: rebuilt by another load"

    plan = models.ForeignKey(LoadPlan, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.TAIL)
    start = models.DateTimeField(null=True, blank=True, help_text="empty: as the mode says")
    end = models.DateTimeField(null=True, blank=True, help_text="empty: now")
    priority = models.PositiveSmallIntegerField(choices=PRIORITIES, default=Priority.TAIL.value)
    planned = models.DateTimeField(null=True, blank=True, help_text="when its fetches were written")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    cached_before = models.PositiveBigIntegerField(default=0, help_text="bars held when it began")
    fetched_bars = models.PositiveBigIntegerField(default=0, help_text="bars that IB sent and the store took")
    gaps_analyzed = models.PositiveIntegerField(default=0)
    segments_fetched = models.PositiveIntegerField(default=0, help_text="segments that IB answered")
    segments_failed = models.PositiveIntegerField(default=0)
    ib_requests_made = models.PositiveIntegerField(default=0)

    class Meta(Run.Meta):
        verbose_name = "load"

    @property
    def message_priority(self) -> int:
        return {Priority.LIVE: 0, Priority.SCAN: 0, Priority.TAIL: 3}.get(Priority(self.priority), 6)

    @property
    def log_tags(self) -> dict[str, str]:
        return super().log_tags | {"instrument": self.instrument.symbol, "timeframe": self.timeframe}


class Fetch(SeriesRow):
    """One segment: bars that one request asks for, whose start lies in [start, end)."""

    class State(models.TextChoices):
        PENDING = "pending", "to be asked"
        DONE = "done", "bars came and are stored"
        EMPTY = "empty", "IB says there are none"
        SPLIT = "split", "asked in two halves instead"
        FAILED = "failed", "failed"

    load_run = models.ForeignKey(LoadRun, on_delete=models.CASCADE, related_name="fetches")
    gap = models.PositiveIntegerField(help_text="number of its gap in the load, from 0")
    start = models.DateTimeField()
    end = models.DateTimeField()
    duration = models.CharField(max_length=12, help_text="as IB is asked, back from the end")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)
    due = models.DateTimeField(null=True, blank=True, help_text="not asked again before")
    bars = models.PositiveIntegerField(default=0)
    code = models.IntegerField(default=0, help_text="IB's, where IB refused")
    error = models.CharField(max_length=500, blank=True)
    staged = models.CharField(max_length=200, blank=True, help_text="file of a rebuild's bars, below BARS_URL")
    ended = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["load_run", "id"]
        verbose_name_plural = "fetches"
        constraints = [models.CheckConstraint(condition=Q(end__gt=F("start")), name="fetch_end_after_start")]
        indexes = [
            models.Index(fields=["load_run", "state"], name="fetch_of_run"),
            models.Index(fields=["instrument", "timeframe", "what", "state", "start"], name="fetch_of_series"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.timeframe} {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}Z"


class ProvenRange(SeriesRow):
    """IB answered for all of [start, end): an expected bar that is not held there does not exist. Ranges of one series
    neither overlap nor touch."""

    start = models.DateTimeField()
    end = models.DateTimeField()
    proven = models.DateTimeField(help_text="when the latest of its answers came")

    class Meta:
        ordering = ["instrument", "timeframe", "what", "start"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "timeframe", "what", "start"], name="provenrange_start_once"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="provenrange_end_after_start"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.timeframe} {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}Z"


class Halt(models.Model):
    """Trading was halted in [start, end); known from the exchange, entered by a person."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="halts")
    start = models.DateTimeField()
    end = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["instrument", "start"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "start"], name="halt_start_once"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="halt_end_after_start"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} halted {self.start:%Y-%m-%d %H:%M} to {self.end:%H:%M}Z"


class HeadTime(models.Model):
    """Where IB says that an instrument's history of one kind begins."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="head_times")
    what = models.CharField(max_length=16, choices=What.choices, default=What.TRADES)
    start = models.DateTimeField()
    asked = models.DateTimeField()

    class Meta:
        ordering = ["instrument", "what"]
        constraints = [models.UniqueConstraint(fields=["instrument", "what"], name="headtime_once")]

    def __str__(self) -> str:
        return f"{self.instrument} {self.what} since {self.start:%Y-%m-%d}"


class InstrumentDetails(models.Model):
    """What IB says of an instrument's contract: the answer, kept and refreshed."""

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE, related_name="details")
    local_symbol = models.CharField(max_length=40, blank=True)
    trading_class = models.CharField(max_length=40, blank=True)
    expiry = models.CharField(max_length=8, blank=True, help_text="YYYYMMDD, of a future")
    stock_type = models.CharField(max_length=40, blank=True, help_text="COMMON, ETF, ADR …")
    isin = models.CharField(max_length=12, blank=True)
    zone = models.CharField(max_length=64, blank=True, help_text="IB's name of the exchange's zone")
    trading_hours = models.TextField(blank=True, help_text="as IB writes them")
    liquid_hours = models.TextField(blank=True, help_text="as IB writes them")
    market_rule = models.IntegerField(null=True, blank=True, help_text="number of its table of price steps")
    price_steps = models.JSONField(default=list, blank=True, help_text="[[from this price on, step], …]")
    refreshed = models.DateTimeField()

    class Meta:
        verbose_name_plural = "instrument details"

    def __str__(self) -> str:
        return f"{self.instrument}: {self.local_symbol}"


class RequestLength(models.Model):
    """How much history one request asks for."""

    timeframe = models.CharField(max_length=3, choices=TIMEFRAMES, unique=True)
    duration = models.CharField(
        max_length=8,
        validators=[RegexValidator(r"^[1-9]\d{0,4} [SDWMY]$", "a number and S, D, W, M or Y: 1 D, 2 W, 3600 S")],
        help_text="seconds, days, weeks, months or years: 3600 S, 1 D, 2 W, 1 M, 1 Y",
    )

    class Meta:
        ordering = ["timeframe"]

    def __str__(self) -> str:
        return f"{self.timeframe}: {self.duration}"


class Restatement(SeriesRow):
    """IB's past differs from what is held: a split, a correction. The series is rebuilt."""

    adjustment = models.CharField(max_length=8)
    found = models.DateTimeField()
    bar = models.DateTimeField(help_text="start of the bar that was compared")
    ratio = models.FloatField(help_text="IB's price now to the price held")
    explanation = models.CharField(max_length=200, blank=True)
    rebuild = models.ForeignKey(LoadRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="restatements")
    rebuilt = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-found"]

    def __str__(self) -> str:
        return f"{self.instrument} {self.timeframe}: {self.ratio:.6g} since {self.found:%Y-%m-%d}"


class QualityNote(SeriesRow):
    """Something odd in the bars that IB sent; they are held as they came."""

    kind = models.CharField(max_length=24, choices=ODDITIES)
    start = models.DateTimeField()
    end = models.DateTimeField()
    bars = models.PositiveIntegerField(default=1)
    note = models.CharField(max_length=200, blank=True)
    found = models.DateTimeField()

    class Meta:
        ordering = ["-start"]
        constraints = [
            models.UniqueConstraint(
                fields=["instrument", "timeframe", "what", "kind", "start"], name="qualitynote_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.timeframe} {self.start:%Y-%m-%d %H:%M}Z: {self.kind}"


class TapeCheck(models.Model):
    """One day of the live tape compared with the history that IB gave later. Counts are bars."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="tape_checks")
    timeframe = models.CharField(max_length=3, choices=TIMEFRAMES)
    day = models.DateField(help_text="the exchange's date")
    compared = models.PositiveIntegerField()
    different = models.PositiveIntegerField()
    only_live = models.PositiveIntegerField()
    only_history = models.PositiveIntegerField()
    largest_bps = models.FloatField(help_text="largest difference of a price, in hundredths of a percent")
    checked = models.DateTimeField()

    class Meta:
        ordering = ["-day", "instrument"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "timeframe", "day"], name="tapecheck_once"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument} {self.timeframe} {self.day}: {self.different} of {self.compared} differ"


class GatewayQuestion(Run):
    """Something to ask IB that is no load: which contract a symbol is, or since when there is history."""

    queue = "data"
    task = "marketdata.tasks.ask_gateway"

    class Kind(models.TextChoices):
        DISCOVER = "discover", "which contract a symbol is"
        RANGES = "ranges", "since when there is history"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    symbol = models.CharField(max_length=32)
    instrument = models.ForeignKey(
        Instrument, null=True, blank=True, on_delete=models.SET_NULL, related_name="questions"
    )
    answer = models.JSONField(null=True, blank=True)


class PacingBudget(models.Model):
    """The history requests of one IB login, whoever asks. Its row is the lock of those who take a slot."""

    login = models.CharField(max_length=80, unique=True, help_text="host and port of the gateway")
    profile = models.CharField(
        max_length=8,
        choices=[(each.value, each.value) for each in PacingProfile],
        default=PacingProfile.STRICT.value,
        help_text="relaxed: bars of a minute and more are not counted, as IB says today; off: a simulated gateway only",
    )
    paused_until = models.DateTimeField(null=True, blank=True)
    breaches = models.PositiveIntegerField(default=0, help_text="pacing errors in a row")
    breached = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["login"]

    def __str__(self) -> str:
        return f"{self.login} ({self.profile})"


class PacingSlot(models.Model):
    """One request that waits for its turn or was let through in the last ten minutes."""

    budget = models.ForeignKey(PacingBudget, on_delete=models.CASCADE, related_name="slots")
    priority = models.PositiveSmallIntegerField(choices=PRIORITIES)
    contract = models.CharField(max_length=80, help_text="contract, exchange and kind of bars")
    identity = models.CharField(max_length=64, help_text="hash of the whole request")
    weight = models.PositiveSmallIntegerField(default=1)
    bar_seconds = models.PositiveIntegerField()
    asked = models.DateTimeField()
    seen = models.DateTimeField(help_text="of one that waits: when it last asked")
    granted = models.DateTimeField(null=True, blank=True)
    closed = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["budget", "granted"], name="pacingslot_granted"),
            models.Index(fields=["budget", "closed"], name="pacingslot_closed"),
        ]

    def __str__(self) -> str:
        return f"{self.contract} ({self.get_priority_display()})"
