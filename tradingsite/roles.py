"""What each role may do, as permissions of Django's groups. The table is the rule; groups are rewritten from it."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from tradingsite.models import Role

Rows = dict[str, tuple[str, ...]]

# Rows that a person configures, by app; the rest are facts, written by the machine.
RESEARCH: Rows = {
    "marketdata": ("instrument", "watchlist", "watchlistmember", "corporateaction", "loadplan", "halt"),
    "strategies": ("strategyconfig", "scheduledbacktest"),
}
# What all share: the login's requests, and the risk that may be taken.
LIMITS: Rows = {"marketdata": ("requestlength", "pacingbudget"), "strategies": ("riskprofile",)}
# Work that a role may start (add) and steer: cancel, retry, tag, archive (change).
RUNS: Rows = {
    "marketdata": ("barimport", "loadrun", "gatewayquestion"),
    "strategies": ("backtest",),
    "reports": ("report",),
}
# Read by the admin role alone: people, their tokens and second factors, failed logins, the ticks of beat.
ADMIN_APPS = (
    "auth",
    "axes",
    "otp_totp",
    "otp_static",
    "tradingsite",
    "django_celery_beat",
    "admin",
    "sessions",
    "contenttypes",
)
ADMIN_CHANGES: dict[str, Rows] = {
    "auth": {"user": ("add", "change", "delete"), "group": ()},
    "otp_totp": {"totpdevice": ("delete",)},
    "otp_static": {"staticdevice": ("delete",)},
    "tradingsite": {"apitoken": ("delete",)},
    "django_celery_beat": {"periodictask": ("change",)},
}


def permissions_of(role: Role | str) -> set[tuple[str, str]]:
    """(app label, codename) of every permission that the role has. What is not listed is denied."""
    from django.apps import apps

    desk = ("marketdata", "strategies", "scanners", "execution", "reports")
    found = {
        (label, f"view_{model._meta.model_name}") for label in desk for model in apps.get_app_config(label).get_models()
    }
    found |= {("tradingsite", f"view_{name}") for name in ("heartbeat", "gatewaylink", "lease", "configchange")}
    if role == Role.VIEWER:
        return found
    found |= _changes(RESEARCH, ("add", "change", "delete")) | _changes(RUNS, ("add", "change"))
    if role == Role.RESEARCHER:
        return found
    found |= {
        ("execution", "trade_paper"),
        ("execution", "halt"),
        ("reports", "change_alert"),
        ("tradingsite", "reconnect_gateway"),
    }
    if role == Role.TRADER:
        return found
    found |= {("execution", "resume"), ("execution", "approve")}
    found |= _changes(LIMITS, ("add", "change", "delete"))
    for label in ADMIN_APPS:
        for model in apps.get_app_config(label).get_models():
            name = str(model._meta.model_name)
            found.add((label, f"view_{name}"))
            found |= {(label, f"{action}_{name}") for action in ADMIN_CHANGES.get(label, {}).get(name, ())}
    return found


def role_of(user: Any) -> Role | None:
    """The highest role among the user's groups; a superuser is an admin. None: none at all."""
    if user.is_superuser:
        return Role.ADMIN
    held = set(user.groups.values_list("name", flat=True))
    return next((role for role in reversed(Role) if role.value in held), None)


def needs_second_factor(role: Role | None) -> bool:
    return bool(settings.REQUIRE_OTP) and role in (Role.TRADER, Role.ADMIN)


def roles_up_to(role: Role | None) -> list[Role]:
    """That role and those below it, the lowest first."""
    return [] if role is None else list(Role)[: list(Role).index(role) + 1]


def _changes(rows: Rows, actions: tuple[str, ...]) -> set[tuple[str, str]]:
    return {(label, f"{action}_{name}") for label, names in rows.items() for name in names for action in actions}


def write_roles(**_: Any) -> None:
    """Make the four groups hold exactly what the table says; runs after every `migrate`."""
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    for config in apps.get_app_configs():
        create_permissions(config, verbosity=0)
    held = {(p.content_type.app_label, p.codename): p for p in Permission.objects.select_related("content_type")}
    for role in Role:
        wanted = permissions_of(role)
        missing = wanted - held.keys()
        if missing:
            raise LookupError(f"role {role.value}: unknown permissions {sorted(missing)}; correct tradingsite/roles.py")
        group, _made = Group.objects.get_or_create(name=role.value)
        group.permissions.set([held[each] for each in wanted])
