"""A host with an Alembic of its own and ours share a database, and neither notices the other."""

from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, Table, create_engine

from console.migrate import downgrade, state, upgrade
from outbox.hosts.alembic import include_name, include_object

pytestmark = pytest.mark.versions

ENV = """
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
REVISION = """
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.execute("create table users (id integer primary key)")


def downgrade():
    op.execute("drop table users")
"""


@pytest.fixture
def host(tmp_path: Path, empty_database: str) -> Config:
    """A host's own migrations, in a folder called `migrations` as ours is, with a revision 0001 as ours has."""
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "migrations" / "env.py").write_text(dedent(ENV))
    (tmp_path / "migrations" / "versions" / "0001_users.py").write_text(dedent(REVISION))
    config = Config(attributes={"url": _sqlalchemy(empty_database)})
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


@pytest.mark.parametrize("first", ["the host", "the outbox"])
def test_both_migrate_whoever_is_first(host: Config, empty_database: str, first: str) -> None:
    if first == "the host":
        command.upgrade(host, "head")
    upgrade(empty_database)
    command.upgrade(host, "head")

    assert _tables(empty_database, "public") == ["alembic_version", "users"]
    assert "event" in _tables(empty_database, "outbox")
    assert state(empty_database).pending == ()


def test_each_goes_back_alone(host: Config, empty_database: str) -> None:
    command.upgrade(host, "head")
    upgrade(empty_database)

    command.downgrade(host, "base")
    ours = state(empty_database).pending
    command.upgrade(host, "head")
    downgrade(empty_database)

    assert ours == ()
    assert _tables(empty_database, "public") == ["alembic_version", "users"]
    assert _tables(empty_database, "outbox") == []


def test_the_hosts_autogenerate_leaves_our_tables_alone(host: Config, empty_database: str) -> None:
    command.upgrade(host, "head")
    upgrade(empty_database)
    mine = MetaData()
    Table("users", mine, Column("id", Integer, primary_key=True))
    options = {"include_schemas": True, "include_name": _not_pgmq, "include_object": include_object}
    engine = create_engine(_sqlalchemy(empty_database))

    with engine.connect() as connection:
        proposed = compare_metadata(MigrationContext.configure(connection, opts=options), mine)

    engine.dispose()
    assert proposed == []


def _not_pgmq(name: str | None, type_: str, parent_names: dict[str, str | None]) -> bool:
    return include_name(name, type_, parent_names) and not (type_ == "schema" and name == "pgmq")


def _sqlalchemy(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg://")


def _tables(dsn: str, schema: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        query = "select relname from pg_class where relnamespace = to_regnamespace(%s) and relkind = 'r' order by 1"
        return [name for (name,) in connection.execute(query, [schema])]
