import http.client
import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from domain.errors import UnknownName
from tradingsite import health
from tradingsite.health import Check
from tradingsite.queues import QUEUES
from tradingsite.scrubbing import scrub_text
from tradingsite.supervisor import answers


class Command(BaseCommand):
    help = "Say what is wrong with this installation, why, and what to do. Exit code 0: nothing, 1: something."
    # It has to speak where settings are bad and the database is away, and says itself what the checks say.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--process",
            metavar="NAME",
            help="only whether one process is alive: web, beat, simulator, worker:QUEUE or worker:QUEUE+QUEUE",
        )
        parser.add_argument("--offline", action="store_true", help="ask nothing of the gateway")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = self._process(options["process"]) if options["process"] else _all(offline=options["offline"])
        found = [_scrubbed(check) for check in asked]
        if options["json"]:
            self.stdout.write(json.dumps([check._asdict() for check in found], indent=1))
        else:
            self._print(found)
        if not health.ready(found):
            sys.exit(1)

    def _process(self, name: str) -> list[Check]:
        kind, _, rest = name.partition(":")
        if name == "web":
            return [_web()]
        if name == "beat":
            return health.process_checks(health.beat_check)
        if name == "simulator":
            return [_simulator()]
        if kind != "worker" or not rest:
            raise CommandError(f"no process is called {name!r}; say web, beat, simulator or worker:QUEUE", returncode=2)
        queues = frozenset(rest.partition("@")[0].split("+"))
        for queue in queues - QUEUES.keys():
            raise CommandError(str(UnknownName("queue", queue, QUEUES)), returncode=2)
        return health.process_checks(lambda signs: health.worker_check(signs, queues))

    def _print(self, found: list[Check]) -> None:
        width = max(len(check.name) for check in found)
        for check in found:
            mark = self.style.SUCCESS("ok   ") if check.ok else self.style.ERROR("WRONG")
            self.stdout.write(f"{mark} {check.name:<{width}}  {check.detail if check.ok else check.cause}")
            if not check.ok:
                self.stdout.write(f"      {'':<{width}}  what to do: {check.remedy}")
        wrong = sum(not check.ok for check in found)
        self.stdout.write(
            f"\n{wrong} of {len(found)} checks are wrong." if wrong else f"\nAll {len(found)} checks are fine."
        )


def _all(*, offline: bool) -> list[Check]:
    from tradingsite import gatewaycheck, installation

    return installation.checks() + health.checks() + ([] if offline else gatewaycheck.checks())


def _simulator() -> Check:
    where = f"{settings.IB_HOST}:{settings.IB_PORT}"
    if answers(where):
        return Check("simulator", True, f"answers at {where}")
    remedy = "`manage.py simulator`; `manage.py up` starts it too"
    return Check("simulator", False, where, f"nothing answers at {where}", remedy)


def _web() -> Check:
    """Asks the web process itself; it writes no heartbeat."""
    bind = settings.WEB_BIND
    remedy = "`manage.py web`; `manage.py up` starts it too"
    host, _, port = bind.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # nosec B104
    link = http.client.HTTPConnection(host, int(port), timeout=health.DEADLINE_SECONDS)
    try:
        link.request("GET", "/healthz/live", headers={"Host": settings.ALLOWED_HOSTS[0].lstrip(".")})
        answer = link.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Check("web", False, bind, f"{bind} does not answer: {error}", remedy)
    finally:
        link.close()
    if answer != 200:
        return Check("web", False, bind, f"{bind} answers {answer}: something else listens there", remedy)
    return Check("web", True, f"answers at {bind}")


def _scrubbed(check: Check) -> Check:
    return check._replace(detail=scrub_text(check.detail), cause=scrub_text(check.cause))
