"""Run: one recorded execution of something (a backtest, a scan, a load), as a row that ends exactly once."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q


class Run(models.Model):
    """Queued, then running, then one of three ends. `directory` is the run's folder below RUNS_DIR: its run id.

    States change by `UPDATE … WHERE state = …` alone, so of two processes only one starts or ends a run.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    progress = models.FloatField(default=0.0, help_text="share done, 0 to 1")
    error = models.TextField(blank=True)
    config = models.JSONField(default=dict, help_text="everything that decides the result")
    directory = models.CharField(max_length=64, unique=True)

    class Meta:
        abstract = True
        ordering = ["-created"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="queued", started__isnull=True, finished__isnull=True)
                | Q(state="running", started__isnull=False, finished__isnull=True)
                | Q(state__in=["succeeded", "failed", "cancelled"], finished__isnull=False),
                name="%(class)s_times_fit_state",
            ),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="%(class)s_progress_is_a_share"),
        ]

    def __str__(self) -> str:
        return f"{self.directory} ({self.state})"
