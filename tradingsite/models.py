"""What the platform knows of itself: signs of life, who holds which role, connections to the gateway, API tokens,
answered requests, changes of configuration."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from knox.models import AbstractAuthToken


class Role(models.TextChoices):
    """What a person, and an API token of theirs, may do. Each may do what the one before it may."""

    VIEWER = "viewer", "viewer: read"
    RESEARCHER = "researcher", "researcher: data, scans, backtests"
    TRADER = "trader", "trader: orders, kill switch"
    ADMIN = "admin", "admin: users, limits, configuration"


class Heartbeat(models.Model):
    """The latest sign of life of a process (`worker:…`, `beat`) or of a queue whose workers answered (`queue:…`)."""

    name = models.CharField(max_length=120, unique=True)
    started = models.DateTimeField()
    seen = models.DateTimeField()
    host = models.CharField(max_length=120, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    details = models.JSONField(default=dict)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """Who may act in a role that one process alone may have: `data`, or `trader:` and an account's number.

    `taken` and `expires` are moments of the database's clock. `epoch` counts the takings, so what an earlier holder
    still sends can be told from what the present one does. A lease without a holder was given back.
    """

    role = models.CharField(max_length=64, unique=True)
    holder = models.CharField(max_length=160, blank=True, help_text="host, process and a word that tells two apart")
    epoch = models.PositiveBigIntegerField(default=0, help_text="how often it was taken")
    taken = models.DateTimeField(null=True, blank=True)
    expires = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["role"]
        constraints = [
            models.CheckConstraint(
                condition=Q(holder="", expires__isnull=True) | (~Q(holder="") & Q(expires__isnull=False)),
                name="lease_expires_while_held",
            ),
        ]

    def __str__(self) -> str:
        return self.role


class GatewayLink(models.Model):
    """The connection to the gateway of one role, as the process that holds it last told.

    Written by the holder alone, under the epoch of its lease; people write no more than the wish to disconnect.
    """

    class State(models.TextChoices):
        OFF = "off", "off"
        DOWN = "down", "down"
        CONNECTING = "connecting", "connecting"
        SYNCING = "syncing", "syncing"
        READY = "ready", "ready"
        DEGRADED = "degraded", "degraded"
        STALE = "stale", "stale"

    role = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OFF)
    since = models.DateTimeField(null=True, blank=True, help_text="since when it is in that state")
    cause = models.TextField(blank=True)
    remedy = models.TextField(blank=True)
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(null=True, blank=True)
    client_id = models.PositiveIntegerField(null=True, blank=True)
    library = models.CharField(max_length=64, blank=True)
    server_version = models.PositiveIntegerField(null=True, blank=True)
    account_kind = models.CharField(max_length=16, blank=True)
    accounts = models.JSONField(default=list, blank=True)
    heartbeat = models.DateTimeField(null=True, blank=True, help_text="when the gateway last answered what time it is")
    latency_ms = models.FloatField(null=True, blank=True)
    clock_skew_s = models.FloatField(null=True, blank=True, help_text="the gateway's clock less this machine's")
    messages_in = models.PositiveBigIntegerField(default=0)
    messages_out = models.PositiveBigIntegerField(default=0)
    reconnects = models.PositiveIntegerField(default=0)
    farms = models.JSONField(default=dict, blank=True, help_text="IB's data farms by name")
    notices = models.JSONField(default=list, blank=True, help_text="what the gateway said last, the newest first")
    notice_counts = models.JSONField(default=dict, blank=True, help_text="how many notices of each family there were")
    holder = models.CharField(max_length=160, blank=True)
    epoch = models.PositiveBigIntegerField(default=0, help_text="of the lease under which this was written")
    seen = models.DateTimeField(null=True, blank=True, help_text="when its holder last told")
    disconnect_asked = models.DateTimeField(null=True, blank=True)
    disconnect_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    disconnect_done = models.DateTimeField(null=True, blank=True, help_text="when the latest wish was followed")

    class Meta:
        ordering = ["role"]
        permissions = [("reconnect_gateway", "May ask for the gateway's connections to be made anew")]
        verbose_name, verbose_name_plural = "connection to the gateway", "connections to the gateway"

    def __str__(self) -> str:
        return self.role


class ApiToken(AbstractAuthToken):
    """A token of the REST API, stored as a hash. It may do what its user may, but no more than its scope."""

    name = models.CharField(max_length=64, help_text="what it is for")
    scope = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    last_used = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created"]
        constraints = [models.CheckConstraint(condition=Q(scope__in=Role.values), name="apitoken_scope_known")]

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"


class AnsweredRequest(models.Model):
    """The answer to a POST with an Idempotency-Key; the same request again gets it instead of a second effect.

    `status` is null while the first is still being answered.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body")
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    answer = models.JSONField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created"]
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="answeredrequest_once")]

    def __str__(self) -> str:
        return self.key


class ConfigChange(models.Model):
    """One change of one configuration row, as the YAML document before and after it. Never changed, never deleted.

    `before` is null where the row was created, `after` where it was deleted.
    """

    class Source(models.TextChoices):
        ADMIN = "admin", "admin"
        WEB = "web", "pages"
        API = "api", "API"
        FILE = "file", "YAML file"
        COMMAND = "command", "command line"
        REVERT = "revert", "revert"
        GATEWAY = "gateway", "what IB said"

    kind = models.CharField(max_length=32)
    name = models.CharField(max_length=160)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    address = models.GenericIPAddressField(null=True, blank=True)
    source = models.CharField(max_length=8, choices=Source.choices)
    reason = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name, verbose_name_plural = "change of configuration", "changes of configuration"
        indexes = [models.Index(fields=["kind", "name", "-at"], name="configchange_of_row")]
        constraints = [
            models.CheckConstraint(
                condition=Q(before__isnull=False) | Q(after__isnull=False), name="configchange_changes_something"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}, {self.at:%Y-%m-%d %H:%M}Z"
