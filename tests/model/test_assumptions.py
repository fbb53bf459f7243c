"""What the model assumes of PostgreSQL, on a real one: snapshots, and what a crash keeps.

A test an assumption; README.md says where the model makes each.
"""

import psycopg
import pytest

from devstack import folders, providers
from devstack.postgres import EmbeddedPostgres
from relay.leases import Session
from relay.window import ORIGIN, Window
from runtime.settings import SecretDsn
from tests.model.asking import INSERT, Connect, ended, sees, snapshot, value, xid
from tests.model.postgres_image import parse
from tests.support.replication import CopiedPostgres, ask, embeddable
from tests.support.waiting import wait_until

versions = pytest.mark.versions


# ---------------------------------------------------------------------------------------------------- snapshots


@versions
def test_a_snapshot_sees_what_ended_committed_or_not_and_not_what_runs(connect: Connect) -> None:
    running, committed, aborted, looking = connect(), connect(), connect(), connect()
    runs = xid(running)
    commits, aborts = ended(committed), xid(aborted)
    aborted.rollback()

    now = snapshot(looking)

    assert [sees(looking, tx, now) for tx in (runs, commits, aborts)] == [False, True, True]
    assert [parse(now).sees(tx) for tx in (runs, commits, aborts)] == [False, True, True]
    assert runs in parse(now).running


@versions
def test_xmax_is_one_above_the_last_that_ended_not_above_the_last_that_began(connect: Connect) -> None:
    first, second, looking = connect(), connect(), connect()

    def tried() -> bool:  # the server's own housekeeping may end a transaction in between
        before = ended(first)
        began = xid(second)
        now = parse(snapshot(looking))
        second.rollback()
        return (now.xmax, now.running & {began}) == (before + 1, frozenset()) and began >= now.xmax

    assert wait_until(tried, timeout_seconds=30, what="xmax to be behind what has begun")


@versions
def test_a_prepared_transaction_is_in_progress_until_its_second_phase_also_across_a_crash(
    connect: Connect, database: str, postgres: providers.Postgres
) -> None:
    host = connect()
    prepared = xid(host)
    name = f"assumption {prepared}"
    host.execute(f"prepare transaction '{name}'")
    host.commit()

    postgres.crash()
    postgres.start()

    with psycopg.connect(database, autocommit=True) as after:
        ended_now = int(value(after, "select pg_current_xact_id()::text"))
        during = str(value(after, "select pg_current_snapshot()::text"))
        after.execute(f"commit prepared '{name}'")
        assert ended_now > prepared
        assert not sees(after, prepared, during)
        assert sees(after, prepared, str(value(after, "select pg_current_snapshot()::text")))


@versions
def test_what_a_savepoint_inserts_carries_the_transaction_and_is_seen_with_it(connect: Connect) -> None:
    host, other, looking = connect(), connect(), connect()
    top = xid(host)
    with host.transaction():
        host.execute(INSERT, ("k",))
        inner = int(value(host, "select xmin::text from outbox.event"))
    ended(other)

    during = snapshot(looking)
    tx = int(value(host, "select tx::text from outbox.event"))
    host.commit()

    assert inner != top
    assert tx == top
    assert parse(during).running & {inner, top} == {top}, "a snapshot as text lists no subtransaction"
    assert sees(looking, top, snapshot(looking))


@versions
def test_looking_takes_no_transaction_id(sessions: tuple[Session, Session], connect: Connect) -> None:
    session, _ = sessions
    before = ended(connect())

    for _ in range(3):
        session.current_snapshot()

    assert value(session.connection, "select pg_current_xact_id_if_assigned()") is None
    assert ended(connect()) - before < 3, "the housekeeping of the server may have taken one"


@versions
def test_an_old_transaction_is_one_that_a_ran_and_b_has_seen_end(
    sessions: tuple[Session, Session], connect: Connect
) -> None:
    long, still, other, looking = connect(), connect(), connect(), connect()
    was, runs = xid(long), xid(still)
    ended(other)
    a = snapshot(looking)
    long.commit()
    b = snapshot(looking)

    found = sessions[0].one("old_transactions", a=a, b=b)["olds"]

    assert str(was) in found
    assert str(runs) not in found
    assert {int(tx) for tx in found} == {tx for tx in parse(a).running if parse(b).sees(tx)}


@pytest.mark.skipif(not embeddable(), reason="a standby is made from the embedded PostgreSQL alone")
def test_a_standby_lists_nothing_as_in_progress(database: str, connect: Connect, postgres: providers.Postgres) -> None:
    if not isinstance(postgres, EmbeddedPostgres):
        pytest.skip("a standby is made from the embedded PostgreSQL alone")
    folder = folders.new_run_folder()
    standby = CopiedPostgres(postgres, folder / "standby").follow()
    try:
        runs = xid(connect())
        last = ended(connect())
        there = database.replace(f":{postgres.port}/", f":{standby.port}/")
        wait_until(
            lambda: parse(str(ask(there, "select pg_current_snapshot()::text"))).xmax > last,
            timeout_seconds=60,
            what="the standby to have seen the last commit",
        )

        now = str(ask(there, "select pg_current_snapshot()::text"))
    finally:
        standby.close()
        folders.remove(folder)
    assert parse(now).running == frozenset()
    assert parse(now).sees(runs), "which is wrong: it runs on the primary"


# ------------------------------------------------------------------------------------------------------ crashes


@versions
def test_after_a_crash_the_ids_of_rolled_back_transactions_are_given_again(
    database: str, postgres: providers.Postgres
) -> None:
    with psycopg.connect(database) as host:
        durable = xid(host)
        host.execute(INSERT, ("k",))
        host.commit()
        empty = ended(host)  # a commit that has written nothing does not wait for the disk
        last = xid(host)
        host.rollback()
        seen = snapshot(host)

    postgres.crash()
    postgres.start()

    with psycopg.connect(database) as host:
        again = xid(host)
        assert durable < again <= last
        assert again <= empty, "so not even the one that was committed is kept"
        assert sees(host, again, seen), "the snapshot from before the crash takes it for one that it has seen end"


@versions
def test_after_a_durable_write_no_id_that_a_snapshot_saw_is_given_again(
    database: str, postgres: providers.Postgres
) -> None:
    with psycopg.connect(database) as host:
        ended(host)
        for _ in range(3):
            xid(host)
            host.rollback()
        b = snapshot(host)
    session = Session.open(SecretDsn(database), name="barrier")
    term = session.raise_epoch(0, shards=1)
    session.write_barrier(term, Window(seq=1, a=ORIGIN, b=b, lo=0, olds=(), n=0))
    session.close()

    postgres.crash()
    postgres.start()

    with psycopg.connect(database) as host:
        assert xid(host) >= parse(b).xmax
        host.rollback()
        assert value(host, "select count(*) from outbox.batch where seq = 1") == 1


@versions
def test_a_commit_that_does_not_wait_may_vanish_in_a_crash_and_one_that_waits_keeps_those_before(
    database: str, postgres: providers.Postgres
) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as administrator:
        administrator.execute("alter system set wal_writer_delay = '10s'")
    postgres.crash()  # and with it, whatever the log's writer was about to do
    postgres.start()
    with psycopg.connect(database) as host:
        host.execute("set synchronous_commit = off")
        host.execute(INSERT, ("kept",))
        host.commit()
        host.execute("set synchronous_commit = on")
        host.execute(INSERT, ("waited for",))
        host.commit()
        host.execute("set synchronous_commit = off")
        host.execute(INSERT, ("gone",))
        host.commit()

        postgres.crash()
    postgres.start()

    with psycopg.connect(postgres.dsn, autocommit=True) as administrator:
        administrator.execute("alter system reset wal_writer_delay")
        administrator.execute("select pg_reload_conf()")
    with psycopg.connect(database) as host:
        rows = host.execute("select aggregate_id from outbox.event order by id").fetchall()
    assert [key for (key,) in rows] == ["kept", "waited for"]
