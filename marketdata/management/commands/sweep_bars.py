from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketdata import store


class Command(BaseCommand):
    help = (
        "Remove bar files that no row names (replaced, or left behind by a killed import) and that are older than an "
        "hour. The age is that of the file since it was written, not the time since it was replaced."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", type=float, default=3600, metavar="SECONDS", help="age of the file; default: 3600"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["older_than"] < 0:
            raise CommandError("--older-than wants seconds >= 0", returncode=2)
        removed = store.sweep(older_than_seconds=options["older_than"])
        self.stdout.write(f"removed {len(removed)} files from {store.bars_folder().url}")
