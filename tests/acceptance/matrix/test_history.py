"""Crash matrix: a history that is not the one that was published from stops the relay.

A real standby takes its place in `acceptance/history`; here a backup of one database is restored.
"""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.conftest import Insert
from tests.acceptance.matrix.conftest import BEFORE, WINDOW, Shard
from tests.support.checker import look
from tests.support.promises import Kind
from tests.support.relays import Relays
from tests.support.servers import address


@contextlib.contextmanager
def backed_up(dsn: str) -> Iterator[str]:
    """Give the address of a copy of the database as it is now: a backup that is restored."""
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    copy = sql.Identifier(f"{name}_restored")
    server = address(dsn, "postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template {}").format(copy, sql.Identifier(str(name))))
    with psycopg.connect(address(dsn, f"{name}_restored"), autocommit=True) as connection:
        # A physical restore keeps the database's oid; only a copy within the cluster has another, which is told apart.
        connection.execute(
            "update outbox.meta set database_oid = (select oid from pg_database where datname = current_database())"
        )
    try:
        yield address(dsn, f"{name}_restored")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(copy))


@pytest.mark.parametrize("later", [pytest.param(0, marks=pytest.mark.chaos), 4])
def test_a_restored_backup_stops_the_relay_with_the_reason_and_the_command(
    later: int, shard: Shard, relays: Relays, insert: Insert
) -> None:
    with backed_up(shard.database) as restored:
        relays.drain()  # the window that the backup still holds for unpublished
        with psycopg.connect(restored) as connection:
            connection.execute(
                "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
                " select 'later', n::text, 'thing.happened', '{}' from generate_series(1, %s) as n",
                (later,),
            )

        relay = relays.start("drain", settings={"database_url": restored})

        assert relay.wait() == 3, relay.output
        assert "lost history" in relay.output  # by the missing row, or by an epoch that steps at random
        assert "outbox relay position" in relay.output
        assert "docs/operations.md" in relay.output
        seen = look(restored, shard.broker.bootstrap, complete=False)
        assert len(seen.published) == BEFORE + WINDOW
        assert {violation.kind for violation in seen.wrong} <= {Kind.BARRIER}, "the one that Kafka is ahead by"
    insert(2)
    relays.drain()
    assert len(look(shard.database, shard.broker.bootstrap).published) == BEFORE + WINDOW + 2
