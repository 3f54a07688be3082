"""Accounts, orders, fills and positions: the books of what is traded. Facts, written by the trader alone.

An order is a row before it is a message; what IB says of it is matched by `ref` and `perm_id`, never by an order id.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from domain.orders import OrderType, TimeInForce
from marketdata.models import Instrument


class Account(models.Model):
    """An account at the gateway. `number` is IB's; a paper account's begins with D."""

    class Kind(models.TextChoices):
        SIMULATED = "simulated", "simulated"
        PAPER = "paper", "paper"
        LIVE = "live", "live"

    number = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=64, blank=True)
    kind = models.CharField(max_length=9, choices=Kind.choices, default=Kind.SIMULATED)
    currency = models.CharField(max_length=3, default="USD")
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["number"]
        permissions = [
            ("trade_paper", "May place orders on paper and simulated accounts"),
            ("trade_live", "May place orders on live accounts"),
            ("approve", "May approve what another person asked for"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["simulated", "paper", "live"]), name="account_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.number


class AccountValue(models.Model):
    """What an account was worth at a moment, as the gateway said it."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="values")
    time = models.DateTimeField()
    equity = models.DecimalField(max_digits=24, decimal_places=4)
    cash = models.DecimalField(max_digits=24, decimal_places=4)
    day_pnl = models.DecimalField(max_digits=24, decimal_places=4, null=True, blank=True)

    class Meta:
        ordering = ["account", "-time"]
        constraints = [models.UniqueConstraint(fields=["account", "time"], name="accountvalue_once")]

    def __str__(self) -> str:
        return f"{self.account} {self.time:%Y-%m-%d %H:%M}Z: {self.equity}"


class Order(models.Model):
    """One order, from the intent to its end. Quantities booked come from executions alone."""

    class State(models.TextChoices):
        INTENT = "intent", "intent"
        DENIED = "denied", "denied by our rules"
        SENDING = "sending", "may have been sent"
        ACKED = "acked", "acknowledged"
        WORKING = "working", "working"
        PARTIAL = "partial", "partly filled"
        FILLED = "filled", "filled"
        CANCELLED = "cancelled", "cancelled"
        EXPIRED = "expired", "expired"
        REJECTED = "rejected", "rejected by IB"
        INACTIVE = "inactive", "inactive at IB"
        UNKNOWN = "unknown", "unknown: being looked for"
        ABANDONED = "abandoned", "proven never accepted"
        EXTERNAL = "external", "not ours"

    OPEN = (State.INTENT, State.SENDING, State.ACKED, State.WORKING, State.PARTIAL, State.INACTIVE, State.UNKNOWN)

    class Side(models.TextChoices):
        BUY = "buy", "buy"
        SELL = "sell", "sell"

    ref = models.CharField(max_length=40, unique=True, help_text="ours, sent with the order")
    intent_key = models.CharField(max_length=64, unique=True, null=True, blank=True, help_text="why it may exist once")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="orders")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="orders")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="legs")
    strategy = models.CharField(max_length=64, blank=True)
    side = models.CharField(max_length=4, choices=Side.choices)
    quantity = models.DecimalField(max_digits=20, decimal_places=8)
    order_type = models.CharField(max_length=16, choices=[(each.value, each.value) for each in OrderType])
    limit_price = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    stop_price = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    time_in_force = models.CharField(max_length=4, choices=[(each.value, each.value) for each in TimeInForce])
    state = models.CharField(max_length=9, choices=State.choices, default=State.INTENT)
    filled = models.DecimalField(max_digits=20, decimal_places=8, default=0)
    average_price = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    denied_by = models.CharField(max_length=32, blank=True)
    perm_id = models.BigIntegerField(null=True, blank=True, help_text="IB's")
    order_id = models.BigIntegerField(null=True, blank=True, help_text="for routing inside one session only")
    client_id = models.PositiveIntegerField(null=True, blank=True)
    epoch = models.PositiveIntegerField(null=True, blank=True, help_text="of the lease that sent it")
    created = models.DateTimeField(auto_now_add=True)
    sent = models.DateTimeField(null=True, blank=True)
    ended = models.DateTimeField(null=True, blank=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created"]
        indexes = [
            models.Index(fields=["-created"], name="order_newest"),
            models.Index(fields=["account", "-created"], name="order_of_account"),
            models.Index(fields=["instrument", "-created"], name="order_of_instrument"),
            models.Index(fields=["state"], name="order_by_state"),
            models.Index(fields=["perm_id"], name="order_by_perm_id"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_quantity_positive"),
            models.CheckConstraint(condition=Q(filled__gte=0), name="order_filled_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.ref}: {self.side} {self.quantity.normalize():f} {self.instrument}"


class Fill(models.Model):
    """One execution. `exec_id` is IB's without the revision; a correction raises `revision`, with new numbers."""

    exec_id = models.CharField(max_length=64, unique=True)
    revision = models.PositiveSmallIntegerField(default=1)
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="fills")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="fills")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="fills")
    side = models.CharField(max_length=4, choices=Order.Side.choices)
    quantity = models.DecimalField(max_digits=20, decimal_places=8)
    price = models.DecimalField(max_digits=20, decimal_places=8)
    commission = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    commission_currency = models.CharField(max_length=3, blank=True)
    time = models.DateTimeField()
    booked = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-time"]
        indexes = [
            models.Index(fields=["-time"], name="fill_newest"),
            models.Index(fields=["instrument", "-time"], name="fill_of_instrument"),
        ]
        constraints = [models.CheckConstraint(condition=Q(quantity__gte=0), name="fill_quantity_not_negative")]

    def __str__(self) -> str:
        return (
            f"{self.exec_id}: {self.side} {self.quantity.normalize():f} {self.instrument} at {self.price.normalize():f}"
        )


class Position(models.Model):
    """Signed units of one instrument in one account, and what they cost on average."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="positions")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="positions")
    quantity = models.DecimalField(max_digits=20, decimal_places=8)
    average_price = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    last_price = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    halted = models.BooleanField(default=False, help_text="books and broker differ: no orders until a person accepts")
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["account", "instrument"]
        constraints = [models.UniqueConstraint(fields=["account", "instrument"], name="position_once")]

    def __str__(self) -> str:
        return f"{self.account}: {self.quantity.normalize():f} {self.instrument}"


class KillSwitch(models.Model):
    """A halt, from when somebody engaged it until another person released it. Rows stay as the record.

    `account` null halts all of them. The trader reads it before each send; it works with everything else down.
    """

    class Level(models.TextChoices):
        PAUSE = "pause", "pause: no new orders"
        CANCEL = "cancel", "cancel our orders"
        GLOBAL_CANCEL = "global", "cancel all orders, manual ones too"
        FLATTEN = "flatten", "cancel, and close all positions"

    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.PROTECT, related_name="kill_switches")
    level = models.CharField(max_length=8, choices=Level.choices, default=Level.PAUSE)
    reason = models.CharField(max_length=300, blank=True)
    engaged = models.DateTimeField()
    engaged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    released = models.DateTimeField(null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ["-engaged"]
        verbose_name_plural = "kill switches"
        permissions = [
            ("halt", "May engage the kill switch"),
            ("resume", "May release the kill switch that another person engaged"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(released__isnull=True) | Q(released__gte=F("engaged")), name="killswitch_released_after"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_level_display()}, {self.engaged:%Y-%m-%d %H:%M}Z"
