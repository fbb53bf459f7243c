"""PostgreSQL that crashes, ends sessions or loses answers, while a relay publishes and hosts write."""

import signal
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import psycopg
import pytest

from devstack import providers
from tests.acceptance.conftest import Verify, Writing
from tests.support.hosts import settle_prepared
from tests.support.postgres_proxy import Cut, Loss, PostgresProxy
from tests.support.relays import RelayProcess, Relays
from tests.support.waiting import wait_until

T = TypeVar("T")

# One window a page: much is between the pages.
SMALL_PAGES = {"relay_page_rows": 50}


def end(relay: RelayProcess) -> None:
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


def crash_and_restart(postgres: providers.Postgres) -> None:
    postgres.crash()
    postgres.start()


def in_chaos(name: str) -> object:
    """Return *name* as a parameter of tests that `make test` leaves out."""
    return pytest.param(name, marks=pytest.mark.chaos)


@pytest.mark.chaos
def test_postgresql_crashes_again_and_again_under_hosts_that_do_not_wait_for_the_disk(
    postgres: providers.Postgres, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts(asynchronous=True, hosts=3):
        relay = relays.start("run", settings=SMALL_PAGES)
        for _ in range(4):
            pages = len(relay.events("relay.page.committed"))
            relay.wait_for("relay.page.committed", count=pages + 10, timeout_seconds=30)
            crash_and_restart(postgres)
        pages = len(relay.events("relay.page.committed"))
        relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=30)
        end(relay)

    verify()


def test_transaction_ids_that_come_again_after_a_crash_hide_nothing(
    *, database: str, postgres: providers.Postgres, relays: Relays, hosts: Writing, aggregate_type: str, verify: Verify
) -> None:
    """Rule 1: what rolls back is not flushed, and its transaction ids are given again after a crash."""
    relays.drain()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        for _ in range(200):
            connection.execute("begin")
            connection.execute("select pg_current_xact_id()")
            connection.execute("rollback")
        before = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    with hosts(asynchronous=True):
        relay = relays.start("run")
        relay.wait_for("relay.page.committed", count=3)
        relay.end()
    crash_and_restart(postgres)
    with psycopg.connect(database) as connection:
        after = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        assert before is not None
        assert after is not None
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " select %s, 'after', 'thing.happened', '{}' from generate_series(1, 20)",
            (aggregate_type,),
        )

    verify()


# Statements by the name that travels with them, and what is done when the connection breaks there.
CUTS = {
    "barrier of the bootstrap": Cut("relay/write_barrier", Loss.ANSWER),
    "bootstrap mark": Cut("relay/mark_bootstrapped", Loss.ANSWER),
    "bootstrap mark, not made": Cut("relay/mark_bootstrapped", Loss.STATEMENT),
    "epoch": Cut("relay/raise_epoch", Loss.ANSWER),
    "lock": Cut("relay/try_lock", Loss.ANSWER),
    "barrier": Cut("relay/write_barrier", Loss.ANSWER, after=6),
    "barrier, not written": Cut("relay/write_barrier", Loss.STATEMENT, after=6),
    "mirror": Cut("relay/mirror_position", Loss.ANSWER, after=3),
    "page": Cut("relay/read_page", Loss.ANSWER, after=6),
    "snapshot": Cut("relay/current_snapshot", Loss.ANSWER, after=6),
}


SHORT = ("barrier of the bootstrap", "bootstrap mark", "barrier", "mirror")


@pytest.mark.parametrize("name", [name if name in SHORT else in_chaos(name) for name in CUTS])
def test_the_connection_breaks(
    name: str, postgres_proxy: PostgresProxy, relays_on_cut_line: Relays, hosts: Writing, verify: Verify
) -> None:
    cut = postgres_proxy.cut(Cut(CUTS[name].text, CUTS[name].loss, after=CUTS[name].after))
    with hosts():
        relay = relays_on_cut_line.start("run", settings=SMALL_PAGES)
        wait_until(lambda: cut.done, timeout_seconds=30, what=f"the {name} to be cut")
        pages = len(relay.events("relay.page.committed"))
        relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=30)
        end(relay)

    verify()


DEAD_LETTER_CUTS = {
    "dead letter, not committed": Cut("relay/insert_dead_letters", Loss.ANSWER),
    "dead letter, committed": Cut("COMMIT", Loss.ANSWER, armed_by="relay/insert_dead_letters"),
    "held, committed": Cut("COMMIT", Loss.ANSWER, armed_by="relay/insert_dead_letters", after=1),
}


@pytest.mark.parametrize("name", ["dead letter, committed", *map(in_chaos, list(DEAD_LETTER_CUTS)[::2])])
def test_the_connection_breaks_at_a_dead_letter(
    *,
    name: str,
    database: str,
    aggregate_type: str,
    postgres_proxy: PostgresProxy,
    relays_on_cut_line: Relays,
    verify: Verify,
) -> None:
    cut = postgres_proxy.cut(DEAD_LETTER_CUTS[name])
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload, topic)"
            " select %s, (n %% 7)::text, 'thing.happened', '{}', case n when 25 then 'no topic' end"
            " from generate_series(1, 60) as n",
            (aggregate_type,),
        )
    relay = relays_on_cut_line.start("run", settings={"relay_page_rows": 10})
    wait_until(lambda: cut.done, timeout_seconds=30, what=f"the {name} to be cut")
    relay.wait_for("relay.window.finished", timeout_seconds=30)
    end(relay)

    with psycopg.connect(database) as connection:
        held = connection.execute("select count(*) from outbox.dead_letter where reason = 'held_behind'").fetchone()
    assert held == (5,), "the events 32, 39 … 60 have the key of the 25th"
    assert len(verify().published) == 60 - 6


def test_a_primary_that_takes_no_writes_for_a_while(
    database: str, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    with hosts(), psycopg.connect(database, autocommit=True) as operator:
        relay = relays.start("run", settings=SMALL_PAGES)
        relay.wait_for("relay.page.committed", count=5)
        operator.execute("alter system set default_transaction_read_only = on")
        operator.execute("select pg_reload_conf()")
        try:
            relay.wait_for("relay.lease.lost", timeout_seconds=20)
        finally:
            operator.execute("set default_transaction_read_only = off")
            operator.execute("alter system reset default_transaction_read_only")
            operator.execute("select pg_reload_conf()")
        pages = len(relay.events("relay.page.committed"))
        relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=30)
        end(relay)

    verify()


@pytest.mark.chaos
def test_a_connection_on_which_nothing_more_comes(
    postgres_proxy: PostgresProxy, relays_on_cut_line: Relays, hosts: Writing, verify: Verify
) -> None:
    cut = postgres_proxy.cut(Cut("relay/write_barrier", Loss.SILENCE, after=6))
    with hosts():
        relay = relays_on_cut_line.start("run", settings=SMALL_PAGES)
        wait_until(lambda: cut.done, timeout_seconds=30, what="the silence")
        pages = len(relay.events("relay.page.committed"))
        relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=60)
        end(relay)

    verify()


def test_a_hundred_thousand_events_of_one_transaction_survive_a_kill_and_a_crash(
    database: str, aggregate_type: str, postgres: providers.Postgres, relays: Relays, verify: Verify
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " select %s, (n %% 100)::text, 'thing.happened', '{}' from generate_series(1, 100000) as n",
            (aggregate_type,),
        )
    killed = relays.start("run", crash_at="relay.commit.started:12")
    assert killed.wait() == -signal.SIGKILL
    relay = relays.start("run", pause_at="relay.commit.started:10")
    relay.wait_for("relay.commit.started", count=10)
    crash_and_restart(postgres)
    relay.send(signal.SIGCONT)
    relay.wait_for("relay.window.finished", timeout_seconds=60)
    end(relay)

    verify()


def test_a_cancelled_wait_for_a_standby_is_no_barrier(
    database: str, aggregate_type: str, relays: Relays, hosts: Writing, verify: Verify
) -> None:
    """Rule 2: PostgreSQL reports success with a warning; the row may be gone after a failover."""
    with hosts(), psycopg.connect(database, autocommit=True) as operator:
        relay = relays.start("run", settings=SMALL_PAGES)
        relay.wait_for("relay.page.committed", count=5)
        operator.execute("set synchronous_commit = local")
        operator.execute("alter system set synchronous_standby_names = 'nobody'")
        operator.execute("select pg_reload_conf()")
        try:
            # The hosts' commits wait for the standby too: ours, which do not, give the relay something to publish.
            insert = partial(_insert_one, operator, aggregate_type)
            waiting = partial(_after, insert, partial(_waiting_barrier, operator))
            wait_until(waiting, timeout_seconds=20, what="the relay to wait")
            barriers = len(relay.events("relay.barrier.written"))
            # The mirror waits as well, and its warning means nothing: cancel until it was a barrier's wait.
            cancel = partial(_after, insert, partial(_cancel_wait, operator, relay))
            failed = wait_until(cancel, timeout_seconds=20, what="a barrier that is not durable")
            assert "durable" in failed["reason"]
            assert len(relay.events("relay.barrier.written")) == barriers
            pages = len(relay.events("relay.page.committed"))
        finally:
            operator.execute("alter system reset synchronous_standby_names")
            operator.execute("select pg_reload_conf()")
        relay.wait_for("relay.page.committed", count=pages + 5, timeout_seconds=30)
        end(relay)

    verify()


def test_a_relay_whose_barrier_waits_for_a_standby_still_ends_when_asked(
    database: str, relays: Relays, aggregate_type: str, verify: Verify
) -> None:
    relays.drain()
    relay = relays.start("run")
    relay.wait_for("relay.position.accepted")
    with psycopg.connect(database, autocommit=True) as operator:
        operator.execute("set synchronous_commit = local")
        operator.execute("alter system set synchronous_standby_names = 'nobody'")
        operator.execute("select pg_reload_conf()")
        try:
            _insert_one(operator, aggregate_type)
            wait_until(partial(_waiting_barrier, operator), timeout_seconds=20, what="a barrier to wait")
            relay.send(signal.SIGTERM)
            assert relay.wait(timeout_seconds=10) == 0
        finally:
            operator.execute("alter system reset synchronous_standby_names")
            operator.execute("select pg_reload_conf()")
            settle_prepared(database)

    verify()


def _insert_one(operator: psycopg.Connection[tuple[int]], aggregate_type: str) -> None:
    operator.execute(
        "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
        " values (%s, 'one', 'thing.happened', '{}')",
        (aggregate_type,),
    )


def _after(first: Callable[[], None], then: Callable[[], T]) -> T:
    first()
    return then()


def _cancel_wait(operator: psycopg.Connection[tuple[int]], relay: RelayProcess) -> dict[str, Any] | None:
    """Cancel what the relay waits for; return how its next renewal failed, if it did."""
    if (pid := _waiting_barrier(operator)) is not None:
        operator.execute("select pg_cancel_backend(%s)", (pid,))
    return next(iter(relay.events("relay.renewal.failed")), None)


def _waiting_barrier(operator: psycopg.Connection[tuple[int]]) -> int | None:
    found = operator.execute(
        "select pid from pg_stat_activity where datname = current_database() and wait_event = 'SyncRep'"
        " and application_name like 'outbox relay%'"
    ).fetchone()
    return found[0] if found else None
