"""`outbox migrate up` and `down`: from empty, again, back, two at once, as an owner who is nobody special."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from console.migrate import downgrade, pending, state, upgrade
from console.migration_errors import LockedOutError, MayNotMigrateError, UnknownRevisionError
from console.migration_files import statement
from console.migration_run import LOCK_SPACE, Patience
from runtime.errors import DatabaseUnavailableError
from runtime.schema_version import REQUIRED_REVISION, SchemaForbiddenError, SchemaTooOldError, require_schema
from tests.support.catalog import describe
from tests.support.waiting import wait_until

pytestmark = pytest.mark.versions

_PARKED = (
    "insert into outbox.dead_letter (stage, reason, shard, event_row_id, aggregate_type, aggregate_id, parks)"
    " select 'publish', 'payload_too_large', 0, coalesce(max(event_row_id), 0) + 1, 'order', %s, true"
    " from outbox.dead_letter"
)


def test_an_empty_database_lacks_every_migration_and_then_none(empty_database: str) -> None:
    missing = pending(empty_database)

    applied = upgrade(empty_database)

    assert missing == applied == ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
    assert pending(empty_database) == ()


def test_the_second_run_changes_nothing(database: str) -> None:
    before = describe(database)

    applied = upgrade(database)

    assert applied == ()
    assert describe(database) == before


def test_a_run_back_leaves_nothing_and_forth_again_everything(database: str) -> None:
    before = describe(database), describe(database, "pgmq")

    downgrade(database)
    nothing = describe(database), describe(database, "pgmq")
    upgrade(database)

    assert not any(nothing[0].values())
    assert not any(nothing[1].values())
    assert (describe(database), describe(database, "pgmq")) == before


def test_the_fifth_notes_which_database_it_is_and_lets_a_key_of_any_length_be_parked(database: str) -> None:
    downgrade(database, to="0004")
    with psycopg.connect(database) as connection:
        connection.execute(_PARKED, ["short"])

    upgrade(database)

    with psycopg.connect(database) as connection:
        connection.execute(_PARKED, [os.urandom(100_000).hex()])
        known = connection.execute(
            "select database_oid = (select oid from pg_database where datname = current_database()) from outbox.meta"
        ).fetchone()
        assert connection.execute("select count(*) from outbox.dead_letter where parks").fetchone() == (2,)
    assert known == (True,)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_each_migration_can_be_undone_by_itself(database: str, revision: str) -> None:
    before = describe(database)

    downgrade(database, to=revision)
    at = state(database).current
    upgrade(database)

    assert at == revision
    assert describe(database) == before


def test_two_runs_at_once_are_one(empty_database: str) -> None:
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(upgrade, empty_database) for _ in range(2)]

        applied = sorted(run.result(timeout=60) for run in runs)

    assert applied == [(), ("0001", "0002", "0003", "0004", "0005", "0006", "0007")]


def test_a_run_waits_for_another_that_holds_the_lock(empty_database: str) -> None:
    with psycopg.connect(empty_database) as other, ThreadPoolExecutor() as pool:
        other.execute("select pg_advisory_lock(%s, 1)", [LOCK_SPACE])

        run = pool.submit(upgrade, empty_database)
        wait_until(lambda: _waits(other), timeout_seconds=20, what="a run that waits")
        other.execute("select pg_advisory_unlock(%s, 1)", [LOCK_SPACE])

        assert run.result(timeout=60) == ("0001", "0002", "0003", "0004", "0005", "0006", "0007")


def test_a_run_gives_up_in_the_end_and_says_why(empty_database: str) -> None:
    with psycopg.connect(empty_database) as other:
        other.execute("select pg_advisory_lock(%s, 1)", [LOCK_SPACE])

        with pytest.raises(LockedOutError, match="after 2 tries of 20ms: canceling statement due to lock timeout"):
            upgrade(empty_database, patience=Patience(lock_timeout="20ms", tries=2))


def test_a_table_that_a_host_holds_stops_no_one_behind_it(database: str) -> None:
    with psycopg.connect(database) as host:
        host.execute("select from outbox.event")

        with pytest.raises(LockedOutError):
            downgrade(database, patience=Patience(lock_timeout="20ms", tries=2))

    assert state(database).current == "0001"  # what could be undone was, each in its own transaction
    upgrade(database)


def test_an_owner_who_is_no_superuser_can_migrate(database: str, empty_database: str) -> None:
    with _login(empty_database, "create") as dsn:
        upgrade(dsn)

        owner = str(psycopg.conninfo.conninfo_to_dict(dsn)["user"])
        for schema in ("outbox", "pgmq"):
            made = describe(empty_database, schema)
            owned = {kind: sorted(line.replace(owner, "postgres") for line in lines) for kind, lines in made.items()}
            assert owned == {kind: sorted(lines) for kind, lines in describe(database, schema).items()}

        downgrade(dsn)


def test_who_may_not_create_a_schema_is_told_so(empty_database: str) -> None:
    with (
        _login(empty_database, "connect") as dsn,
        pytest.raises(MayNotMigrateError, match="permission denied for database"),
    ):
        upgrade(dsn)


def test_who_may_not_look_is_told_so(database: str) -> None:
    with (
        _login(database, "connect") as dsn,
        pytest.raises(MayNotMigrateError, match="permission denied for schema outbox"),
    ):
        state(dsn)


def test_roles_that_may_not_be_created_are_warned_about(empty_database: str) -> None:
    absent = f"absent_{uuid4().hex[:8]}"
    heard: list[str | None] = []
    with _login(empty_database, "create") as dsn, psycopg.connect(dsn) as connection:
        connection.add_notice_handler(lambda notice: heard.append(notice.message_hint))

        connection.execute(statement("0003_roles.sql").replace("outbox_", absent))

    assert heard == ["an administrator makes the roles and their grants: outbox migrate grants | psql"] * 5


def test_roles_may_be_created_by_two_databases_at_once(empty_database: str) -> None:
    absent = f"absent_{uuid4().hex[:8]}_"
    roles = statement("0003_roles.sql").replace("outbox_", absent)
    with (
        psycopg.connect(empty_database) as first,
        psycopg.connect(empty_database) as second,
        ThreadPoolExecutor() as pool,
    ):
        first.execute(roles)

        late = pool.submit(second.execute, roles)
        wait_until(lambda: _waits(first), timeout_seconds=20, what="the second to wait for the first")
        first.commit()
        late.result(timeout=20)
        second.commit()

        made = first.execute("select count(*) from pg_roles where rolname like %s", [absent + "%"]).fetchone()
        for job in ("writer", "relay", "mailer", "operator", "reader"):
            first.execute(sql.SQL("drop role {}").format(sql.Identifier(absent + job)))
    assert made == (5,)


def test_a_schema_of_a_newer_release_is_left_alone(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("update outbox.alembic_version set version_num = '9999'")

    applied = upgrade(database)

    assert applied == ()
    assert state(database).ahead
    with psycopg.connect(database) as connection:
        assert require_schema(connection) == "9999"


def test_a_revision_that_nobody_knows_is_refused(database: str) -> None:
    with pytest.raises(UnknownRevisionError, match="expected a revision up to 0007, got '77'"):
        downgrade(database, to="77")


def test_a_server_that_is_not_there_is_named(database: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1"):
        upgrade("postgresql://nobody@127.0.0.1:1/nothing")

    assert pending(database) == ()


def test_the_code_asks_for_the_newest_migration(database: str) -> None:
    with psycopg.connect(database) as connection:
        found = require_schema(connection)

    assert found == REQUIRED_REVISION == state(database).head


def test_a_process_refuses_an_older_schema(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        with pytest.raises(
            SchemaTooOldError, match="expected schema outbox at revision 0007 or newer, got no such schema"
        ) as none:
            require_schema(connection)
        upgrade(empty_database, to="0001")
        with pytest.raises(SchemaTooOldError, match="got 0001"):
            require_schema(connection)

    assert none.value.__notes__ == [
        "run `outbox migrate up` on this database (`outbox migrate status` says what it lacks)"
    ]


def test_a_process_without_rights_is_told_so(database: str) -> None:
    with _login(database, "connect") as dsn, psycopg.connect(dsn) as connection, pytest.raises(SchemaForbiddenError):
        require_schema(connection)


def _waits(connection: psycopg.Connection) -> bool:
    """Say whether some session waits for a lock of this one; pg_stat_activity would stand still in a transaction."""
    query = "select from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))"
    return connection.execute(query).fetchone() is not None


@contextmanager
def _login(dsn: str, right: str) -> Iterator[str]:
    """Give the address of a login that has one *right* on the database, and drop it with what it owns."""
    name, database = f"login_{uuid4().hex[:8]}", psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    names = {"name": sql.Identifier(name), "database": sql.Identifier(str(database)), "right": sql.SQL(right)}
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {name} login password 'secret'").format(**names))
        admin.execute(sql.SQL("grant {right} on database {database} to {name}").format(**names))
        try:
            parts = urlsplit(dsn)
            yield parts._replace(netloc=f"{name}:secret@{parts.netloc.rpartition('@')[2]}").geturl()
        finally:
            admin.execute(sql.SQL("drop owned by {name} cascade").format(**names))
            admin.execute(sql.SQL("drop role {name}").format(**names))
