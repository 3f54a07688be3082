from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from domain.errors import BadInput
from tradingsite.documents import Documents, export_all, export_to, get_kind, kinds, write_text
from tradingsite.history import changes_of, diff
from tradingsite.imports import ImportReport, apply_documents, read_documents
from tradingsite.models import ConfigChange


class Command(BaseCommand):
    help = (
        "Write the configuration as YAML that can be kept in git, read it back, show what would change and what did. "
        "Exit codes: 0 done, 1 a file was refused (nothing was changed), 2 an option or a path is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        export = actions.add_parser("export", help="write the configuration")
        export.add_argument("--kind", action="append", metavar="KIND", help="only this kind; may be given again")
        export.add_argument(
            "--output", type=Path, metavar="FILE|DIR", help="a .yaml file, or a folder that gets a file a kind"
        )
        read = actions.add_parser("import", help="make the configuration what a file or a folder says")
        read.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
        read.add_argument("--reason", default="", metavar="TEXT", help="kept in the history")
        compare = actions.add_parser("diff", help="show what an import would change")
        for each in (read, compare):
            each.add_argument("file", type=Path, metavar="FILE|DIR")
            each.add_argument(
                "--prune", action="store_true", help="delete what the file does not have, of the kinds that it has"
            )
        history = actions.add_parser("history", help="show the changes of one document, newest first")
        history.add_argument("kind", metavar="KIND")
        history.add_argument("name", metavar="NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "export":
                self.export(options["kind"], options["output"])
            case "import":
                report = self.apply(options, dry_run=options["dry_run"])
                if options["dry_run"]:
                    self.stdout.write(report.diff(), ending="")
                    self.stdout.write(f"Would be: {report.summary()}. Nothing was changed.")
                else:
                    self.stdout.write(report.summary())
            case "diff":
                self.stdout.write(self.apply(options, dry_run=True).diff(), ending="")
            case "history":
                self.show_history(options["kind"], options["name"])

    def export(self, names: list[str] | None, output: Path | None) -> None:
        try:
            kinds(names)
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        try:
            if output is None:
                self.stdout.write(export_all(names), ending="")
            elif output.suffix in (".yaml", ".yml") and not output.is_dir():
                write_text(output, export_all(names))
                self.stdout.write(f"Wrote {output}")
            else:
                self.stdout.write("\n".join(f"Wrote {path}" for path in export_to(output, names)))
        except BadInput as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{output}: cannot be written ({error.strerror})", returncode=2) from error

    def apply(self, options: dict[str, Any], dry_run: bool) -> ImportReport:
        path: Path = options["file"]
        if not path.exists():
            raise CommandError(f"{path}: does not exist", returncode=2)
        reason = options.get("reason") or f"import of {path.name}"
        try:
            documents: Documents = read_documents(path)
            return apply_documents(
                documents,
                actor=None,
                source=ConfigChange.Source.COMMAND,
                reason=reason,
                dry_run=dry_run,
                prune=options["prune"],
            )
        except BadInput as error:
            raise CommandError(str(error)) from error

    def show_history(self, kind: str, name: str) -> None:
        try:
            get_kind(kind)
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        changes = changes_of(kind, name)
        if not changes:
            self.stdout.write(f"No change of {kind} {name!r} is recorded.")
        for change in changes:
            who = f" by {change.actor}" if change.actor else ""
            reason = f": {change.reason}" if change.reason else ""
            self.stdout.write(f"{change.at:%Y-%m-%d %H:%M:%S}Z{who}, {change.get_source_display()}{reason}")
            self.stdout.write(diff(change))
