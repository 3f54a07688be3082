"""The kinds of runs as pages show them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from marketdata.models import BarImport, GatewayQuestion, LoadRun
from reports.models import Report
from strategies.models import Backtest
from tradingsite.runs import Run, run_models

_LONG = ("config", "log_tail", "error")
_RELATED: dict[type[Run], tuple[str, ...]] = {
    Report: ("backtest", "started_by"),
    LoadRun: ("instrument", "started_by"),
}
_LABELS: dict[type[Run], str] = {BarImport: "import", GatewayQuestion: "question to IB"}


def name_of(model: type[Run]) -> str:
    """As it stands in addresses and permissions."""
    return str(model._meta.model_name)


def label_of(model: type[Run]) -> str:
    return _LABELS.get(model) or str(model._meta.verbose_name)


def visible_kinds(user: Any) -> list[type[Run]]:
    return [model for model in run_models() if user.has_perm(f"{model._meta.app_label}.view_{name_of(model)}")]


def may_steer(user: Any, model: type[Run]) -> bool:
    """Whether a person may cancel and retry runs of this kind."""
    return bool(user.has_perm(f"{model._meta.app_label}.change_{name_of(model)}"))


def kind_named(user: Any, name: str) -> type[Run]:
    """The kind of that name, if there is one that the user may see; else Http404."""
    for model in visible_kinds(user):
        if name_of(model) == name:
            return model
    raise Http404(f"no kind of run is called {name[:40]!r}")


def related(model: type[Run]) -> tuple[str, ...]:
    """What a row is described with, beside itself."""
    return _RELATED.get(model, ("started_by",))


def listed(model: type[Run]) -> Any:
    """Rows with what a list shows, and no more."""
    rows = model._default_manager.select_related(*related(model))
    unseen = [
        *_LONG,
        *(["report"] if model is BarImport else []),
        *(["notes"] if model is Backtest else []),
        *(["answer"] if model is GatewayQuestion else []),
    ]
    if model is Report:
        unseen += [f"backtest__{each}" for each in (*_LONG, "notes")]
    return rows.defer(*unseen)


def describe(run: Run) -> str:
    """What it works on, in a few words."""
    if isinstance(run, Backtest):
        return f"{run.tag or run.strategy} on {run.instruments}, {run.timeframe}"
    if isinstance(run, BarImport):
        return run.name
    if isinstance(run, Report):
        return f"{run.backtest.tag or run.backtest.strategy} on {run.backtest.instruments}"
    if isinstance(run, LoadRun):
        what = "" if run.what == "TRADES" else f" {run.get_what_display()}"
        return f"{run.instrument.symbol} {run.timeframe}{what}, {run.mode}"
    if isinstance(run, GatewayQuestion):
        return f"{run.symbol}: {run.get_kind_display()}"
    return run.run_id


def summary(run: Run, user: Any, steps: Mapping[uuid.UUID, Any] | None = None) -> dict[str, Any]:
    """A row of a list of runs. `steps`: how far the loads among them are."""
    model = type(run)
    return {
        "run": run,
        "kind": label_of(model),
        "what": describe(run),
        "url": reverse("run", args=[name_of(model), run.pk]),
        "elapsed": elapsed(run),
        "may_steer": may_steer(user, model),
        "address": [name_of(model), run.pk],
        "steps": (steps or {}).get(run.pk),
    }


def elapsed(run: Run) -> dt.timedelta | None:
    """How long the latest attempt has worked; None where it never began."""
    return None if run.started is None else (run.finished or timezone.now()) - run.started


def open_runs(user: Any, shown: int = 20) -> list[Run]:
    """Queued and running work of every kind, the running first, then in the order it came."""
    found: list[Run] = []
    for model in visible_kinds(user):
        found += listed(model).filter(state__in=[Run.State.QUEUED, Run.State.RUNNING]).order_by("created")[:shown]
    return sorted(found, key=lambda run: (run.state != Run.State.RUNNING, run.created))[:shown]


def page_of_runs(
    models: list[type[Run]], *, state: str = "", before: tuple[dt.datetime, uuid.UUID] | None = None, size: int = 50
) -> tuple[list[Run], str]:
    """The newest runs of these kinds before a place in the list, and the query string of what follows ('': the end).

    Places are (created, id), so a page costs the same however deep it is, and new runs shift nothing.
    """
    found: list[Run] = []
    for model in models:
        rows = listed(model).filter(state=state) if state else listed(model)
        if before is not None:
            created, pk = before
            rows = rows.filter(created__lte=created).exclude(created=created, pk__gte=pk)
        found += rows.order_by("-created", "-pk")[: size + 1]
    found.sort(key=lambda run: (run.created, run.pk), reverse=True)
    more = len(found) > size
    found = found[:size]
    return found, urlencode({"before": place_of(found[-1])}) if more else ""


def place_of(run: Run) -> str:
    return f"{run.created.isoformat()}~{run.pk}"
