import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from tradingsite.processes import beat_command


class Command(BaseCommand):
    help = "Fire the ticks, in the foreground. One is enough; two do no harm."

    def handle(self, *args: Any, **options: Any) -> None:
        settings.RUN_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = beat_command(settings.RUN_DIR)
        os.execv(command[0], command)  # nosec B606
