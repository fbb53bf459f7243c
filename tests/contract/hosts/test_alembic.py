"""A host's own Alembic, autogenerating beside our tables."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Integer, MetaData, NullPool, Table, create_engine, make_url

from outbox.hosts import alembic as outbox_alembic

HOSTS = MetaData()
Table("account", HOSTS, Column("id", Integer, primary_key=True), Column("colour", Integer), schema="app")


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def proposals(connection: Connection, **options: object) -> list[str]:
    """Return what autogenerate would write into a migration."""
    context = MigrationContext.configure(connection, opts={"include_schemas": True, **options})
    return [described(change) for change in compare_metadata(context, HOSTS)]


def described(change: Any) -> str:
    if isinstance(change, list):
        return ", ".join(described(one) for one in change)
    what = change[1] if hasattr(change[1], "name") else change[3]
    return f"{change[0]} {getattr(what, 'schema', None) or change[1]}.{getattr(what, 'name', what)}"


# Reflecting our tables makes SQLAlchemy wonder about xid8 and pg_snapshot; include_name alone keeps it from looking.
reflects_ours = pytest.mark.filterwarnings("ignore:Did not recognize type:sqlalchemy.exc.SAWarning")


@reflects_ours
def test_without_the_filter_autogenerate_proposes_to_drop_our_tables(connection: Connection) -> None:
    assert "remove_table outbox.event" in proposals(connection)


def test_include_name_keeps_it_to_the_hosts_own_changes(connection: Connection) -> None:
    found = proposals(connection, include_name=outbox_alembic.include_name)

    assert not [proposal for proposal in found if "outbox" in proposal]
    assert "add_column app.colour" in found


@reflects_ours
def test_include_object_keeps_it_to_the_hosts_own_changes(connection: Connection) -> None:
    found = proposals(connection, include_object=outbox_alembic.include_object)

    assert not [proposal for proposal in found if "outbox" in proposal]
    assert "add_column app.colour" in found
