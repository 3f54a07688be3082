import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from tradingsite.processes import web_command


class Command(BaseCommand):
    help = "Serve pages and API at WEB_BIND, in the foreground."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
        parser.add_argument("--threads", type=int, default=8, help="threads in each (default 8)")

    def handle(self, *args: Any, **options: Any) -> None:
        command = web_command(settings.WEB_BIND, workers=options["workers"], threads=options["threads"])
        os.execv(command[0], command)  # nosec B606
