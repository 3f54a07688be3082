"""Reports that are made, and alerts that people see."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from strategies.models import Backtest
from tradingsite.runs import Run


class Report(Run):
    """The making of report.html and report.ipynb from the ledgers of a backtest."""

    queue = "report"
    task = "reports.tasks.make_report"

    backtest = models.ForeignKey(Backtest, on_delete=models.CASCADE, related_name="reports")


class Alert(models.Model):
    """Something that a person should know. `key` is what it is about: while it is open, the same is not said twice."""

    class Level(models.TextChoices):
        INFO = "info", "info"
        WARNING = "warning", "warning"
        CRITICAL = "critical", "critical"

    level = models.CharField(max_length=8, choices=Level.choices)
    subject = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    key = models.CharField(max_length=160, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    seen = models.DateTimeField(null=True, blank=True)
    seen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-created"]
        indexes = [models.Index(fields=["-created"], name="alert_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(seen__isnull=True) & ~models.Q(key=""), name="alert_open_once"
            ),
        ]

    def __str__(self) -> str:
        return self.subject
