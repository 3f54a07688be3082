"""Every migration of ours says what it does, stands in one line with the others, and can be taken back."""

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

OURS = sorted(each.label for each in apps.get_app_configs() if Path(each.path).parent == settings.BASE_DIR)
AUTOMATIC = re.compile(r"\d{4}_(auto|initial|merge|alter|remove|delete|rename)_?.*|.*_and_more|.*_squashed_.*")


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    return MigrationLoader(None)


def of(loader: MigrationLoader, app: str) -> list[str]:
    return sorted(name for label, name in loader.disk_migrations if label == app)


def tables() -> dict[str, list[tuple]]:
    """Every table of ours: its columns, and its constraints and indexes by what they are of (some names are chance)."""
    with connection.cursor() as cursor:
        names = [each for each in connection.introspection.table_names(cursor) if each.split("_")[0] in OURS]
        found = {}
        for name in names:
            columns = [
                (each.name, str(each.type_code), each.null_ok)
                for each in connection.introspection.get_table_description(cursor, name)
            ]
            constraints = connection.introspection.get_constraints(cursor, name).values()
            kinds = ("columns", "unique", "primary_key", "check", "index", "foreign_key")
            found[name] = columns + sorted(str([each[kind] for kind in kinds]) for each in constraints)
    return found


def test_the_apps_that_keep_rows_have_migrations(loader):
    with_models = {
        label for label in OURS if any(model._meta.managed for model in apps.get_app_config(label).get_models())
    }
    assert with_models >= {"execution", "marketdata", "reports", "strategies", "tradingsite"}
    assert {label for label in OURS if of(loader, label)} == with_models


def test_the_models_are_what_the_migrations_make(db):
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.parametrize("app", OURS)
def test_every_migration_has_a_name_that_a_person_gave_it(loader, app):
    names = of(loader, app)
    assert [
        name for name in names if AUTOMATIC.fullmatch(name) or not re.fullmatch(r"\d{4}_[a-z][a-z0-9_]+", name)
    ] == []


@pytest.mark.parametrize("app", OURS)
def test_the_migrations_of_an_app_stand_in_one_line(loader, app):
    names = of(loader, app)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for before, name in zip([None, *names], names, strict=False):
        own = [parent for label, parent in loader.disk_migrations[app, name].dependencies if label == app]
        assert own == ([before] if before else [])
    assert len(loader.graph.leaf_nodes(app)) == bool(names)
    assert loader.detect_conflicts() == {}


@pytest.mark.parametrize("app", OURS)
def test_every_step_of_a_migration_can_be_taken_back(loader, app):
    steps = [(name, step) for name in of(loader, app) for step in loader.disk_migrations[app, name].operations]
    assert [(name, step.describe()) for name, step in steps if not step.reversible] == []


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_all_of_ours_go_back_to_nothing_and_come_again_the_same():
    before = tables()
    assert len(before) > 15
    leaves = [node for node in MigrationExecutor(connection).loader.graph.leaf_nodes() if node[0] in OURS]
    try:
        MigrationExecutor(connection).migrate([(app, None) for app, _ in leaves])
        assert tables() == {}
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
    assert tables() == before
    assert not MigrationExecutor(connection).migration_plan(leaves)
