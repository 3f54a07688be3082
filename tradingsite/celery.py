"""The Celery application: how messages travel, the signs of life of workers and beat, and which worker holds a link."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
# Django's checks would load every page and admin class into each worker; `check` and `migrate` run them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from tradingsite import endings, heartbeats
from tradingsite.queues import QUEUES, limits

# Above it a message that no worker has acknowledged goes to another one: twice the longest limit, at least an hour.
VISIBILITY_SECONDS = max(3_600, 2 * max(limits(queue)["time_limit"] for queue in QUEUES))

app = Celery("ibdesk")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    # Rows hold the results. Nothing is asked of a result backend, so there is none.
    task_ignore_result=True,
    result_backend=None,
    task_default_queue="maintenance",
    task_create_missing_queues=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_soft_shutdown_timeout=20,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 15,
    },
    # A publisher is a web page: it gives up soon, and the sweep sends again.
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.2},
    broker_connection_timeout=2,
    timezone="UTC",
    enable_utc=True,
)
app.autodiscover_tasks(["tradingsite", "marketdata", "strategies", "scanners", "execution", "reports"])


@signals.setup_logging.connect
def _keep_logging(**_: Any) -> None:
    """settings.LOGGING holds for workers and beat as well; with a receiver Celery sets up nothing of its own."""


@signals.celeryd_after_setup.connect
def _hold_link(sender: str, instance: Any, **_: Any) -> None:
    """The worker of the queue `data`, which serves no other, holds the connection of that role, whether or not the
    queue server answers. Its tasks are threads of the same process."""
    if set(instance.app.amqp.queues.consume_from) == {"data"}:
        from tradingsite import links

        links.hold("data")


@signals.worker_shutdown.connect
def _let_go_of_link(**_: Any) -> None:
    """Once the work in hand has ended."""
    from tradingsite import links

    links.let_go()


@signals.worker_ready.connect
def _start_beating(sender: Any, **_: Any) -> None:
    """A thread of the worker's parent process tells which queues it serves, until the process ends."""
    queues = sorted(sender.app.amqp.queues.consume_from)
    name = f"worker:{'+'.join(queues)}@{heartbeats.host()}"
    stop = threading.Event()

    def tell() -> None:
        while not stop.is_set():
            heartbeats.beat(
                name, queues=queues, concurrency=sender.pool.limit if hasattr(sender.pool, "limit") else None
            )
            stop.wait(heartbeats.BEAT_SECONDS)

    threading.Thread(target=tell, name="heartbeat", daemon=True).start()
    signals.worker_shutting_down.connect(lambda **_: stop.set(), weak=False)


@signals.worker_shutting_down.connect
def _tell_threads(**_: Any) -> None:
    endings.worker_ends.set()


@signals.worker_shutdown.connect
def _say_goodbye(sender: Any, **_: Any) -> None:
    queues = sorted(sender.app.amqp.queues.consume_from)
    heartbeats.forget(f"worker:{'+'.join(queues)}@{heartbeats.host()}")
