"""`outbox migrate sql` and `grants`: what tools that are not ours run is what `up` would have done."""

import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from console.migrate import offline_sql, state, upgrade
from console.migration_errors import UnknownRevisionError
from console.migration_files import GRANTS, folder, statement
from devstack.providers import Postgres
from tests.support.catalog import describe

pytestmark = pytest.mark.versions


def test_offline_sql_makes_what_a_run_makes(database: str, empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(offline_sql())

    assert _whole(empty_database) == _whole(database)
    assert state(empty_database).pending == ()


def test_offline_sql_from_a_revision_makes_the_rest(database: str, empty_database: str) -> None:
    upgrade(empty_database, to="0002")

    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(offline_sql(start="0002"))

    assert _whole(empty_database) == _whole(database)


def test_offline_sql_without_transactions_belongs_to_the_transaction_of_the_tool(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute(offline_sql(transactions=False))
        made = connection.execute("select to_regclass('outbox.event') is not null").fetchone()
        connection.rollback()
        left = connection.execute("select to_regnamespace('outbox') is not null").fetchone()

    assert (made, left) == ((True,), (False,))


def test_psql_runs_offline_sql(database: str, empty_database: str, postgres: Postgres) -> None:
    psql = getattr(postgres, "psql", None) or shutil.which("psql")
    if psql is None or not Path(psql).exists():
        pytest.skip("no psql beside this server")

    subprocess.run(
        [psql, "-qX", "-v", "ON_ERROR_STOP=1", empty_database],
        input=offline_sql(),
        text=True,
        check=True,
        capture_output=True,
    )

    assert _whole(empty_database) == _whole(database)


def test_an_unknown_revision_is_refused() -> None:
    with pytest.raises(UnknownRevisionError, match="expected a revision up to 0007, got '77'"):
        offline_sql(start="77")


def test_grants_may_be_granted_again(database: str) -> None:
    before = _whole(database)

    with psycopg.connect(database) as connection:
        for name in GRANTS:
            connection.execute(statement(name))

    assert _whole(database) == before


def test_every_file_of_sql_is_used() -> None:
    code = "".join(path.read_text() for path in [*folder().rglob("*.py"), *Path("console").glob("migrat*.py")])
    names = {path.stem.removeprefix("0002_") for path in (folder() / "sql").glob("*.sql")}

    assert sorted(name for name in names if name not in code) == []


def _whole(dsn: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    return describe(dsn), describe(dsn, "pgmq")
