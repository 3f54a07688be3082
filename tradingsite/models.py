"""What the platform knows of itself: signs of life, API tokens, answered requests, changes of configuration."""

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
