import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from domain.errors import UnknownName
from strategies import registry
from strategies.arguments import load_strategies


class Command(BaseCommand):
    help = "List the known strategies with their parameters, or show one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", metavar="NAME")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        for fault in load_strategies():
            self.stderr.write(self.style.WARNING(fault))
        known = registry.entries()
        if options["name"]:
            if options["name"] not in known:
                raise CommandError(str(UnknownName("strategy", options["name"], known)), returncode=2)
            known = {options["name"]: known[options["name"]]}
        found = [describe(entry) for entry in known.values()]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
            return
        for each in found:
            self._print(each)

    def _print(self, found: dict[str, Any]) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(found["name"]) + f"  {found['summary']}")
        self.stdout.write(f"  in {found['source']}; {found['speaks']}; warm-up {found['warmup']}")
        for each in found["parameters"]:
            bounds = _bounds(each)
            unit = f" {each['unit']}" if each["unit"] else ""
            self.stdout.write(
                f"  {each['name']:<12} {each['type']:<8} default {each['default']!s:<8}{unit}"
                + (f", {bounds}" if bounds else "")
                + (f": {each['help']}" if each["help"] else "")
            )
        self.stdout.write("")


def describe(entry: registry.Entry) -> dict[str, Any]:
    """A strategy and its parameters as JSON values. `warmup` is that of the default parameters."""
    strategy = entry.strategy
    schema = strategy.Params.model_json_schema()
    required = set(schema.get("required", ()))
    parameters = []
    for name, each in schema.get("properties", {}).items():
        parameters.append(
            {
                "name": name,
                "type": each.get("type", "any"),
                "default": "required" if name in required else each.get("default"),
                "minimum": each.get("minimum"),
                "above": each.get("exclusiveMinimum"),
                "maximum": each.get("maximum"),
                "below": each.get("exclusiveMaximum"),
                "choices": each.get("enum"),
                "unit": each.get("unit", ""),
                "help": each.get("description", ""),
            }
        )
    return {
        "name": strategy.name,
        "summary": strategy.summary or (strategy.__doc__ or "").strip().partition("\n")[0],
        "source": entry.source,
        "speaks": "signals (arrays)" if strategy.is_vector() else "on_bar (bar by bar)",
        "warmup": None if required else f"{strategy().warmup()} bars",
        "parameters": parameters,
    }


def _bounds(parameter: dict[str, Any]) -> str:
    words = {"minimum": "at least", "above": "above", "maximum": "at most", "below": "below"}
    found = [f"{word} {parameter[name]:g}" for name, word in words.items() if parameter[name] is not None]
    if parameter["choices"]:
        found.append("one of " + ", ".join(map(str, parameter["choices"])))
    return ", ".join(found)
