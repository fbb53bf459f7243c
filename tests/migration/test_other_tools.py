"""Other tools run what `outbox migrate sql --no-transactions` prints, in the ways that docs/how-to/migrate.md shows."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from console.migrate import offline_sql, state
from tests.support.catalog import describe

pytestmark = pytest.mark.versions

DJANGO = """
import sys
from pathlib import Path

from django.conf import settings

name, user, password, host, port = sys.argv[2:]
login = {"NAME": name, "USER": user, "PASSWORD": password, "HOST": host, "PORT": port}
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **login}})
from django.db import connection, migrations

with connection.schema_editor(atomic=True) as editor:
    migrations.RunSQL(Path(sys.argv[1]).read_text()).database_forwards("shop", editor, None, None)
"""
ALEMBIC_ENV = """
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
ALEMBIC_REVISION = """
from pathlib import Path

from alembic import op

revision, down_revision = "0042", None


def upgrade():
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(Path({path!r}).read_text())
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The file that a host commits among its own migrations."""
    path = tmp_path / "V42__outbox.sql"
    path.write_text(offline_sql(transactions=False))
    return path


def test_django_runs_it(script: Path, empty_database: str, database: str) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(empty_database)
    login = [str(parts[name]) for name in ("dbname", "user", "password", "host", "port")]

    subprocess.run([sys.executable, "-c", DJANGO, str(script), *login], check=True, timeout=60)

    _is_complete(empty_database, database)


def test_a_hosts_alembic_runs_it(script: Path, tmp_path: Path, empty_database: str, database: str) -> None:
    (tmp_path / "alembic" / "versions").mkdir(parents=True)
    (tmp_path / "alembic" / "env.py").write_text(ALEMBIC_ENV)
    (tmp_path / "alembic" / "versions" / "0042.py").write_text(ALEMBIC_REVISION.format(path=str(script)))
    config = Config(attributes={"url": empty_database.replace("postgresql://", "postgresql+psycopg://")})
    config.set_main_option("script_location", str(tmp_path / "alembic"))
    config.set_main_option("path_separator", "os")

    command.upgrade(config, "head")

    _is_complete(empty_database, database)


def _is_complete(made: str, expected: str) -> None:
    assert state(made).pending == ()
    for schema in ("outbox", "pgmq"):
        assert describe(made, schema) == describe(expected, schema)
