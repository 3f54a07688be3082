"""Figures for Prometheus, read from the database: right with any number of processes, and nothing to keep in them."""

from __future__ import annotations

import platform
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, F, Min, Q, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from execution.models import KillSwitch, Order
from marketdata.models import BarFile
from reports.models import Alert
from tradingsite import health, linkrows
from tradingsite.models import GatewayLink, Heartbeat
from tradingsite.runs import Run, run_models

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Scrapes that come closer together get the same figures: many scrapers cost the database no more than one.
FRESH_SECONDS = 5.0

_turn = threading.Lock()
_latest: list[tuple[float, bytes]] = []


def metrics_text() -> bytes:
    with _turn:
        if not _latest or time.monotonic() - _latest[0][0] > FRESH_SECONDS:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(DeskCollector())
            _latest[:] = [(time.monotonic(), generate_latest(registry))]
        return _latest[0][1]


def forget() -> None:
    """The next scrape asks the database."""
    _latest.clear()


class DeskCollector(Collector):
    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _build()
        free = shutil.disk_usage(settings.VAR_DIR).free
        yield GaugeMetricFamily("ibdesk_disk_free_bytes", "Free space of the state folder", value=free)
        try:
            answer = health.ask("metrics", lambda: [*_runs(), *_heartbeats(), *_links(), *_desk()])
            found = answer(health.DEADLINE_SECONDS)
        except (DatabaseError, health.TooLate):
            found = []
        up = float(bool(found))
        yield GaugeMetricFamily("ibdesk_database_up", "1 where the database has answered in time", value=up)
        yield from found


def _build() -> Metric:
    try:
        number = version("ibdesk")
    except PackageNotFoundError:  # run from a checkout
        number = "checkout"
    about = {"version": number, "python": platform.python_version(), "trading_mode": settings.TRADING_MODE}
    return InfoMetricFamily("ibdesk_build", "What runs here", value=about)


def _runs() -> list[Metric]:
    count = GaugeMetricFamily("ibdesk_runs", "Runs by kind and state", labels=["kind", "state"])
    waiting = GaugeMetricFamily("ibdesk_oldest_queued_seconds", "Age of the oldest queued run", labels=["kind"])
    seconds = CounterMetricFamily("ibdesk_run_seconds", "Time spent in runs that have ended", labels=["kind", "state"])
    ended = CounterMetricFamily("ibdesk_runs_ended", "Runs that have ended after they began", labels=["kind", "state"])
    now = timezone.now()
    for model in run_models():
        kind = model.__name__.lower()
        rows = model._default_manager.order_by()
        worked = Q(started__isnull=False, finished__isnull=False)
        by_state = rows.values("state").annotate(
            rows=Count("pk"), began=Count("pk", filter=worked), spent=Sum(F("finished") - F("started"), filter=worked)
        )
        held: dict[str, Any] = {row["state"]: row for row in by_state}
        for state in Run.State.values:
            row = held.get(state, {"rows": 0, "began": 0, "spent": None})
            count.add_metric([kind, state], row["rows"])
            if state not in (Run.State.QUEUED, Run.State.RUNNING):
                seconds.add_metric([kind, state], (row["spent"] or timedelta()).total_seconds())
                ended.add_metric([kind, state], row["began"])
        oldest = rows.filter(state=Run.State.QUEUED).aggregate(oldest=Min("created"))["oldest"]
        waiting.add_metric([kind], (now - oldest).total_seconds() if oldest else 0.0)
    return [count, waiting, seconds, ended]


def _heartbeats() -> list[Metric]:
    age = GaugeMetricFamily("ibdesk_heartbeat_age_seconds", "Since the latest sign of life", labels=["name"])
    now = timezone.now()
    for name, seen in Heartbeat.objects.order_by("-seen").values_list("name", "seen")[:500]:
        age.add_metric([name], max((now - seen).total_seconds(), 0.0))
    return [age]


def _links() -> list[Metric]:
    """Of the connections to the gateway, by role. What they count began with their process."""
    up = GaugeMetricFamily("ibdesk_link_up", "1 where the connection is ready", labels=["role"])
    state = GaugeMetricFamily("ibdesk_link_state", "1 for the state that it is in", labels=["role", "state"])
    latency = GaugeMetricFamily("ibdesk_link_latency_seconds", "How long the last heartbeat took", labels=["role"])
    skew = GaugeMetricFamily("ibdesk_link_clock_skew_seconds", "The gateway's clock less ours", labels=["role"])
    messages = CounterMetricFamily("ibdesk_link_messages", "Messages received and sent", labels=["role", "direction"])
    reconnects = CounterMetricFamily("ibdesk_link_reconnects", "Times it was made anew", labels=["role"])
    notices = CounterMetricFamily("ibdesk_link_notices", "What the gateway said", labels=["role", "family"])
    for each in linkrows.standings():
        up.add_metric([each.role], each.ok)
        for name in GatewayLink.State.values:
            state.add_metric([each.role, name], each.state == name)
        if each.row is None:
            continue
        if each.row.latency_ms is not None:
            latency.add_metric([each.role], each.row.latency_ms / 1000)
        if each.row.clock_skew_s is not None:
            skew.add_metric([each.role], each.row.clock_skew_s)
        messages.add_metric([each.role, "in"], each.row.messages_in)
        messages.add_metric([each.role, "out"], each.row.messages_out)
        reconnects.add_metric([each.role], each.row.reconnects)
        for family, count in sorted(each.row.notice_counts.items()):
            notices.add_metric([each.role, family], count)
    return [up, state, latency, skew, messages, reconnects, notices]


def _desk() -> list[Metric]:
    orders = GaugeMetricFamily("ibdesk_orders", "Orders by state", labels=["state"])
    held = dict(Order.objects.order_by().values_list("state").annotate(rows=Count("pk")))
    for state in Order.State.values:
        orders.add_metric([state], held.get(state, 0))
    bars = GaugeMetricFamily("ibdesk_bars", "Bars held", labels=["timeframe"])
    stored = BarFile.objects.filter(quarantined__isnull=True).order_by().values_list("timeframe")
    for timeframe, rows in stored.annotate(total=Sum("rows")):
        bars.add_metric([timeframe], rows)
    alerts = GaugeMetricFamily("ibdesk_alerts_open", "Alerts that nobody has seen", labels=["level"])
    unseen = dict(Alert.objects.filter(seen__isnull=True).order_by().values_list("level").annotate(rows=Count("pk")))
    for level in Alert.Level.values:
        alerts.add_metric([level], unseen.get(level, 0))
    engaged = KillSwitch.objects.filter(released__isnull=True).count()
    return [orders, bars, alerts, GaugeMetricFamily("ibdesk_kill_switches", "Halts engaged", value=engaged)]
