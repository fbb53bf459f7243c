"""`outbox/schema.py` says of every table what the migrations make of it."""

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql.base import ischema_names

from outbox.schema import METADATA, Snapshot, Xid8
from tests.support.catalog import TABLES, describe

pytestmark = pytest.mark.versions


def test_tables_made_from_the_metadata_are_those_of_the_migrations(database: str, empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create schema outbox")
    engine = create_engine(empty_database.replace("postgresql://", "postgresql+psycopg://"))
    METADATA.create_all(engine)
    engine.dispose()

    made = describe(empty_database, kinds=TABLES)

    assert made == describe(database, without="alembic_version", kinds=TABLES)


def test_alembic_finds_nothing_to_change(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ischema_names, "xid8", Xid8)
    monkeypatch.setitem(ischema_names, "pg_snapshot", Snapshot)
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == "outbox",
            "version_table_schema": "outbox",
            "compare_type": True,
        }

        found = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)

    engine.dispose()
    assert found == []
