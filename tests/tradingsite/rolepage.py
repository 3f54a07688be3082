"""docs/roles.md: what each role may do. `UPDATE_DOCS=1` lets the test write it."""

from collections.abc import Mapping
from pathlib import Path

from django.apps import apps

from tradingsite.models import Role
from tradingsite.roles import permissions_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "roles.md"

HEAD = """# Roles

Written from `tradingsite/roles.py` and from the answers of every address to every role; a test holds it to them.

A person is in one of four groups, and each may do what the one before it may: **viewer** reads, **researcher** brings
in data and runs backtests, **trader** trades and halts, **admin** keeps people, limits and configuration, and resumes
what another person halted. Who is in no group sees nothing. A token of the API may do what both its person and its
scope may; its scope is one of the same four words.

## Rows

What is not listed is denied. Facts (bars, orders, fills, runs' states) are written by the machine and by nobody else.

"""


PAGES = """The lowest role that each address answers. *Logged in*: every person; *everybody*: strangers too.
`/metrics` also answers this machine, or who sends METRICS_TOKEN.

"""

ADMIN = """Who is in the admin has the staff status beside the role that stands here.

"""

API = """The lowest role that each call of `/api/v1` answers. *Logged in*: every person, but no token; *anybody*: every
person and token. Tokens open nothing but the API.

"""


def page(
    pages: Mapping[str, str],
    admin_rows: Mapping[str, tuple[str, ...]],
    admin_pages: Mapping[str, str],
    api: Mapping[str, str],
) -> str:
    """The whole page; the tables of the test say the lowest role of each call."""
    text = HEAD + _rows()
    text += "\n## Other permissions\n\n" + _head("Permission")
    held = {role: permissions_of(role) for role in Role}
    words = ("view", "add", "change", "delete")
    for label, codename in sorted(held[Role.ADMIN]):
        if codename.split("_")[0] not in words:
            marks = " | ".join("yes" if (label, codename) in held[role] else "" for role in Role)
            text += f"| {label}.{codename} | {marks} |\n"
    text += f"\n## The pages\n\n{PAGES}{_calls(pages, '/')}"
    text += f"\n## The admin\n\n{ADMIN}| Rows | open | add | change | delete |\n|---|---|---|---|---|\n"
    text += "".join(f"| {name} | {' | '.join(roles)} |\n" for name, roles in sorted(admin_rows.items()))
    text += "\n" + _calls(admin_pages, "/admin/")
    return text + f"\n## The API\n\n{API}{_calls(api, '')}"


def _calls(calls: Mapping[str, str], root: str) -> str:
    lines = (f"| `{call.replace(' ', ' ' + root, 1)}` | {role} |\n" for call, role in calls.items())
    return "| Call | Lowest role |\n|---|---|\n" + "".join(lines)


def _rows() -> str:
    lines = []
    for config in apps.get_app_configs():
        for model in config.get_models():
            cells = []
            for role in Role:
                held = permissions_of(role)
                words = [
                    word
                    for word in ("view", "add", "change", "delete")
                    if (config.label, f"{word}_{model._meta.model_name}") in held
                ]
                cells.append(", ".join(words))
            if any(cells):
                lines.append(f"| {config.label}.{model._meta.model_name} | " + " | ".join(cells) + " |")
    return _head("Rows") + "\n".join(lines) + "\n"


def _head(what: str) -> str:
    return f"| {what} | " + " | ".join(Role.values) + " |\n|---|" + "---|" * len(Role) + "\n"
