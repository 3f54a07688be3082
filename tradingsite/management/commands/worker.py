import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from domain.errors import BadInput
from tradingsite.processes import worker_command
from tradingsite.queues import QUEUES


class Command(BaseCommand):
    help = f"Work on queues, in the foreground. Queues: {', '.join(QUEUES)}. Ctrl-C or SIGTERM lets running work end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queues", nargs="+", metavar="QUEUE")
        parser.add_argument("--concurrency", type=int, help="pieces of work at once; default: by queue")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            command = worker_command(options["queues"], options["concurrency"])
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        os.execv(command[0], command)  # nosec B606
