"""Configs as text and as plain values: a small, strict YAML, with `${VAR}` filled in from the environment.

Stricter than YAML 1.1: no anchors and aliases (a few lines of them expand to gigabytes), no tags, no key twice, and
only `true` and `false` are truth values, so that ON, NO and Y stay the symbols that they are. Dates stay text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from domain.errors import BadInput

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16
MIN_VALUES = 20_000
MAX_BITS = 14_000  # Python turns no more than 4,300 digits into a number or back.

_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^{}]*))?\}|\$\{")


def read_config(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The file's mapping, variables filled in; BadInput names the file, the place and what is wrong there."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise BadInput(f"{path}: larger than {MAX_BYTES // 1024} KiB; that is no config file")
    try:
        values = parse_yaml(data.decode("utf-8-sig"))
        if not isinstance(values, dict):
            raise BadInput("holds no settings; expected lines like `timeframe: 1d`")
        filled: dict[str, Any] = fill_in(values, environ)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 text") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return filled


def parse_yaml(text: str, longest: int = MAX_BYTES) -> Any:
    """The values of one YAML document of up to `longest` characters; BadInput says the line.

    Each value costs about a KB and 30 µs whatever its length, so that what is made of values alone (`[],[],[],`) is
    refused: configs have 8 characters and more to a value.
    """
    if len(text) > longest:
        raise BadInput(f"is longer than {longest // 1024} Ki characters; that is no config")
    loader = None
    try:
        loader = _Loader(text)  # looks at the first characters
        loader.values_left = max(longest // 8, MIN_VALUES)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        hint = "; put the ${…} in quotes, since {, } and , have a meaning in a list" if "${" in "".join(line) else ""
        raise BadInput(f"{where}{error.problem or error.context}{hint}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"is not YAML ({error})") from error
    finally:
        if loader is not None:
            loader.dispose()


def to_yaml(value: Any) -> str:
    """JSON values as YAML, in the order they have; `parse_yaml` gives the same back, and so does any YAML 1.1 reader:
    a text that either would take for something else (ON, 2020-01-01, 1e5) is in quotes.

    BadInput where the value is no JSON (a number that is not finite, a name that is no text) or nested too deep.
    """
    _check_json(value, 0)
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text.removesuffix("...\n")


def fill_in(value: Any, environ: Mapping[str, str], path: str = "") -> Any:
    """`${VAR}` and `${VAR:-default}` in all texts of a value; `$$` is a dollar sign. An empty variable counts as unset
    where there is a default, as in a shell."""
    if isinstance(value, dict):
        return {key: fill_in(each, environ, f"{path}.{key}" if path else str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_in(each, environ, path) for each in value]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        name, default = found[1], found[3]
        if found[0] == "$$":
            return "$"
        if name is None:
            raise BadInput(
                f"{path}: {value!r} has a ${{ that is not ${{NAME}} or ${{NAME:-default}}; $$ is a dollar sign"
            )
        held = environ.get(name)
        if held is None or (not held and default is not None):
            if default is None:
                raise BadInput(f"{path}: {name} is not set in the environment; set it, or write ${{{name}:-default}}")
            return default
        return held

    return _VARIABLE.sub(replace, value)


def _check_json(value: Any, depth: int) -> None:
    if depth == MAX_DEPTH:
        raise BadInput(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{value} cannot be written: only finite numbers can")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise BadInput("a number of too many digits cannot be written")
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            _check_json(each, depth + 1)
    elif not isinstance(value, (str, int, float, NoneType)):
        raise BadInput(f"a {type(value).__name__} cannot be written: only JSON values can")
    if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
        raise BadInput("a name must be a text")


class _Loader(yaml.SafeLoader):
    peek_event: Any
    yaml_implicit_resolvers: dict[str, Any] = {}
    depth = 0
    values_left = MIN_VALUES

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadInput(
                f"line {event.start_mark.line + 1}: anchors and aliases (& and *) are not allowed; quote a text"
            )
        if getattr(event, "tag", None):
            raise BadInput(f"line {event.start_mark.line + 1}: tags such as {event.tag[:80]} are not allowed")
        self.values_left -= 1
        if self.values_left < 0:
            raise BadInput(f"line {event.start_mark.line + 1}: more values than a config has; split the file")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadInput(f"line {event.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                raise BadInput(f"line {line}: a name must be a text")
            if key_node.value in keys:
                raise BadInput(f"line {line}: {key_node.value!r} is given twice")
            keys.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        try:
            return super().construct_yaml_int(node)
        except ValueError as error:
            raise BadInput(f"line {node.start_mark.line + 1}: a number of too many digits") from error


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _Dumper(yaml.SafeDumper):
    """Texts with marks that nobody sees (line separators, turned writing direction) are quoted and escaped."""

    allow_unicode: bool

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        self.allow_unicode = text.isprintable()
        super().write_double_quoted(text, split)
        self.allow_unicode = True


_Dumper.add_representer(str, _Dumper.represent_str)


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("bool", r"^(?:true|false|True|False)$", list("tfTF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+)$", list("-+.0123456789")),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
