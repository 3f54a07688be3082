import json
import os
import secrets
import sys
import tempfile
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from domain.errors import BadInput
from tradingsite.embedded import embedded_queue_url, server_command, socket_path
from tradingsite.processes import beat_command, simulator_command, web_command, worker_command
from tradingsite.supervisor import Process, answers

FIRST_USER = "admin"


class Command(BaseCommand):
    help = (
        "Start all that this machine needs and stay in the foreground: the queue (unless CELERY_BROKER_URL names one), "
        "the simulated gateway (while TRADING_MODE is simulated), web pages, workers and beat. Ctrl-C stops it all in "
        "order; what dies is started again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if answers(settings.WEB_BIND):
            raise CommandError(
                f"something answers at {settings.WEB_BIND} already; end it, or set WEB_BIND to another port"
            )
        gateway = f"{settings.IB_HOST}:{settings.IB_PORT}"
        if _simulates() and answers(gateway):
            raise CommandError(
                f"something answers at {gateway} already, where the simulated gateway should be; end it, or set "
                "IB_PORT to another port. Where it is IB's own gateway, set TRADING_MODE=paper"
            )
        settings.RUN_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            processes = _processes()
        except BadInput as error:
            raise CommandError(str(error)) from error
        call_command("migrate", verbosity=0)
        asked = {
            "lock": str(settings.RUN_DIR / "up.lock"),
            "processes": [process._asdict() for process in processes],
            "greeting": _greeting(_first_password()),
        }
        connections.close_all()
        # The supervisor takes this process's place, so that a Django that nobody needs any more takes no memory.
        with tempfile.TemporaryFile("w+") as file:
            json.dump(asked, file)
            file.flush()
            file.seek(0)
            os.dup2(file.fileno(), sys.stdin.fileno() if sys.stdin else 0)
            os.chdir(settings.BASE_DIR)  # where `-m` finds the supervisor
            os.execv(sys.executable, [sys.executable, "-m", "tradingsite.supervisor"])  # nosec B606


def _processes() -> list[Process]:
    """The queue first, since the others want it. Upkeep has a worker of its own, which no long run keeps waiting; so
    has the connection to the gateway, which comes up by itself once the gateway is there."""
    processes = []
    if embedded_queue_url(settings.RUN_DIR) == settings.CELERY_BROKER_URL:
        processes.append(
            Process("queue", server_command(settings.RUN_DIR), str(socket_path(settings.RUN_DIR)), needed=True)
        )
    if _simulates():
        settings.SIMULATOR_DIR.mkdir(parents=True, exist_ok=True)
        kept = settings.SIMULATOR_DIR / f"{settings.IB_PORT}.sqlite3"
        processes.append(Process("simulator", simulator_command(settings.IB_PORT, kept), needed=True))
    return [
        *processes,
        Process("data", worker_command(["data"])),
        Process("work", worker_command(["backtest", "scan", "import", "report"])),
        Process("upkeep", worker_command(["maintenance", "notify"])),
        Process("beat", beat_command(settings.RUN_DIR)),
        Process("web", web_command(settings.WEB_BIND), settings.WEB_BIND),
    ]


def _simulates() -> bool:
    """Whether the simulated gateway belongs to what is started here: it listens on this machine alone."""
    return settings.TRADING_MODE == "simulated" and settings.IB_HOST in ("127.0.0.1", "localhost", "::1")


def _first_password() -> str:
    """On a new installation its first user is made, with a password that is shown this once."""
    users = get_user_model().objects
    if users.exists():
        return ""
    password = secrets.token_urlsafe(12)
    users.create_superuser(FIRST_USER, password=password)
    return password


def _greeting(password: str) -> str:
    address = f"http://{settings.WEB_BIND}/"
    lines = ["", f"  ibdesk is up at {address}   (Ctrl-C stops it)"]
    if password:
        lines += [
            f"  Log in as {FIRST_USER} with the password {password}",
            "  It is not shown again; change it under Account.",
        ]
    else:
        lines += ["  Log in as a user that you have made; a forgotten password: manage.py changepassword NAME"]
    return "\n".join([*lines, ""])
