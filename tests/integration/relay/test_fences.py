"""Every write of a relay names its epoch: what an older one writes changes nothing."""

from collections.abc import Iterator

import psycopg
import pytest

from relay.errors import BarrierNotDurableError, LeaseLostError, NotMigratedError, SourceUnavailableError
from relay.lease import Batch, DeadHead
from relay.leases import DeadLetter, Session
from relay.source import Source
from relay.window import ORIGIN, Position, Row, Window
from runtime.settings import SecretDsn
from tests.integration.relay.conftest import Connect, insert
from tests.support.waiting import wait_until

pytestmark = pytest.mark.versions


def window(seq: int, *, b: str = "3:9:") -> Window:
    return Window(seq=seq, a=ORIGIN, b=b, lo=0, olds=(), n=2)


def rows_of(session: Session) -> tuple[Row, ...]:
    source = Source(session.connection, shard=0, shards=1, rows=100, page_bytes=10**6)
    found = source.find(seq=1, a=ORIGIN, b=source.snapshot())
    assert found is not None
    return source.page(found, after=0).rows


@pytest.fixture
def successor(database: str) -> Iterator[Session]:
    opened = Session.open(SecretDsn(database), name="successor")
    yield opened
    opened.close()


def test_the_lease_is_held_by_one_session_and_freed_with_it(session: Session, successor: Session) -> None:
    assert session.try_lock(0)
    assert not successor.try_lock(0)
    holder = successor.holder(0)
    assert holder is not None
    assert holder.pid == session.connection.info.backend_pid
    assert holder.application_name.startswith("outbox relay test")

    session.close()

    # The server's process ends a moment after the client has said that it goes.
    wait_until(lambda: successor.try_lock(0), timeout_seconds=10, what="the lease to be free")


def test_a_takeover_raises_the_epoch_and_ends_the_former_term(session: Session, successor: Session) -> None:
    session.try_lock(0)
    term = session.raise_epoch(0, shards=1)
    session.check(term)

    following = successor.raise_epoch(0, shards=1)

    assert following.epoch > term.epoch
    for write in (
        lambda: session.check(term),
        lambda: session.write_barrier(term, window(1)),
        lambda: session.mark_bootstrapped(term),
        lambda: session.mirror(term, Position(seq=1, a=ORIGIN, b="3:9:", last_id=None)),
        lambda: session.write_dead_letters(term, [], reason="r", detail="d", parks=False, attempts=1),
        lambda: session.release_key(term, DeadHead(1, "t", "k"), a=ORIGIN, lock_table=True),
    ):
        with pytest.raises(LeaseLostError):
            write()
    assert successor.batch(0, 1) is None


def test_a_lease_without_its_lock_is_lost(session: Session) -> None:
    session.try_lock(0)
    term = session.raise_epoch(0, shards=1)

    session.unlock(0)

    with pytest.raises(LeaseLostError, match="advisory lock is gone"):
        session.check(term)


def test_a_barrier_replaces_what_a_dead_term_left_under_its_number(session: Session) -> None:
    old = session.raise_epoch(0, shards=1)
    session.write_barrier(old, window(1, b="3:9:"))
    new = session.raise_epoch(0, shards=1)

    session.write_barrier(new, window(1, b="3:12:"))

    assert session.batch(0, 1) == Batch(a=ORIGIN, b="3:12:", epoch=new.epoch, n=2)


def test_a_barrier_that_postgresql_warns_of_is_a_failure(session: Session, connect: Connect) -> None:
    term = session.raise_epoch(0, shards=1)
    host = connect()
    host.execute(
        "create function warn() returns trigger language plpgsql as"
        " $$ begin raise warning 'canceling wait for synchronous replication due to user request'; return new; end $$;"
        " create trigger warn before insert on outbox.batch for each row execute function warn()"
    )
    host.commit()

    with pytest.raises(BarrierNotDurableError, match="synchronous replication"):
        session.write_barrier(term, window(1))


def test_a_dead_letter_is_written_once_an_event(session: Session, connect: Connect) -> None:
    host = connect()
    insert(host, "a", "b")
    host.commit()
    term = session.raise_epoch(0, shards=1)
    first, second = rows_of(session)

    written = session.write_dead_letters(
        term, [DeadLetter(first, "t1")], reason="invalid_topic", detail="why", parks=True, attempts=3
    )
    again = session.write_dead_letters(
        term, [DeadLetter(first, "t1")], reason="invalid_topic", detail="why", parks=True, attempts=3
    )
    session.write_dead_letters(
        term,
        [DeadLetter(second, "t1", behind=written[first.id])],
        reason="held_behind",
        detail="w",
        parks=False,
        attempts=0,
    )

    assert list(written) == [first.id]
    assert not again
    assert Source(session.connection, shard=0, shards=1, rows=9, page_bytes=9**9).parked_keys() == {
        ("t", "a"): written[first.id]
    }
    found = session.connection.execute(
        "select event_row_id, event_id::text, aggregate_id, topic, behind, payload is not null"
        " from outbox.dead_letter order by id"
    ).fetchall()
    assert found == [
        (first.id, first.event.event_id, "a", "t1", None, True),
        (second.id, second.event.event_id, "b", "t1", written[first.id], True),
    ]


def test_a_page_leaves_out_what_has_a_dead_letter_of_this_shard(session: Session, connect: Connect) -> None:
    host = connect()
    insert(host, "a", "b", "c")
    host.commit()
    term = session.raise_epoch(0, shards=1)
    rows = rows_of(session)

    session.write_dead_letters(term, [DeadLetter(rows[1], "t")], reason="r", detail="d", parks=False, attempts=1)

    assert [row.event.aggregate_id for row in rows_of(session)] == ["a", "c"]


def test_a_key_is_let_go_with_what_waited_and_what_no_window_has_reached(session: Session, connect: Connect) -> None:
    host = connect()
    insert(host, "k", "k", "k", "other")
    host.commit()
    term = session.raise_epoch(0, shards=1)
    head, held, discarded, _ = rows_of(session)
    a = session.current_snapshot()
    written = session.write_dead_letters(term, [DeadLetter(head, "t")], reason="r", detail="d", parks=True, attempts=3)
    behind = [DeadLetter(row, "t", behind=written[head.id]) for row in (held, discarded)]
    waiting = session.write_dead_letters(term, behind, reason="held_behind", detail="d", parks=False, attempts=0)
    insert(host, "k")  # committed, and in no window up to A
    host.commit()
    host.execute("select outbox.discard(%s, 'not needed')", (waiting[discarded.id],))
    host.execute("select outbox.redrive(%s, 'put right')", (written[head.id],))
    host.commit()

    released = session.release_key(term, DeadHead(written[head.id], "t", "k"), a=a, lock_table=True)

    assert released == 3
    events = session.connection.execute(
        "select id, event_id::text, headers->>'redriven-from' from outbox.event where aggregate_id = 'k' order by id"
    ).fetchall()
    unread = events[3]
    assert [origin for *_, origin in events] == [
        None,
        None,
        None,
        None,
        head.event.event_id,
        held.event.event_id,
        unread[1],
    ]
    letters = session.connection.execute(
        "select event_row_id, resolution, redrive_pending, redriven_event_id::text"
        " from outbox.dead_letter order by event_row_id"
    ).fetchall()
    assert letters == [
        (head.id, "redriven", False, events[4][1]),
        (held.id, "redriven", False, events[5][1]),
        (discarded.id, "discarded", False, None),
        (unread[0], "redriven", False, events[6][1]),
    ]
    assert session.release_key(term, DeadHead(written[head.id], "t", "k"), a=a, lock_table=True) == 0


def test_a_release_waits_for_no_host(session: Session, connect: Connect) -> None:
    host = connect()
    insert(host, "k")
    host.commit()
    term = session.raise_epoch(0, shards=1)
    [row] = rows_of(session)
    [letter] = session.write_dead_letters(
        term, [DeadLetter(row, "t")], reason="r", detail="d", parks=True, attempts=3
    ).values()
    host.execute("select outbox.discard(%s, 'not needed')", (letter,))
    host.commit()
    head = DeadHead(letter, "t", "k")
    insert(host, "another key")

    assert session.release_key(term, head, a=ORIGIN, lock_table=True) is None, "a host is in the middle of an insert"
    host.rollback()
    host.execute("select pg_advisory_xact_lock(outbox.lock_key('t', 'k'))")
    assert session.release_key(term, head, a=ORIGIN, lock_table=False) is None, "a host holds the key"
    host.rollback()
    assert session.release_key(term, head, a=session.current_snapshot(), lock_table=True) == 0


def test_a_halt_is_noted_until_a_successor_goes_on(session: Session, successor: Session) -> None:
    term = session.raise_epoch(0, shards=1)
    session.note_halt(0, epoch=term.epoch, reason="why")
    assert session.connection.execute("select halted_reason from outbox.shard").fetchone() == ("why",)

    following = successor.raise_epoch(0, shards=1)
    session.note_halt(0, epoch=term.epoch, reason="stale")
    assert session.connection.execute("select halted_reason from outbox.shard").fetchone() == ("why",)
    successor.clear_halt(following)

    assert session.connection.execute("select halted_reason from outbox.shard").fetchone() == (None,)


def test_the_session_is_direct_durable_and_ended_when_silent(session: Session) -> None:
    facts = session.facts()

    assert not facts.recovering
    assert facts.cache == 1
    assert facts.plan_cache_mode == "force_custom_plan"
    assert session.installation().sysid == facts.sysid
    shown = {
        name: session.connection.execute("select current_setting(%s)", (name,)).fetchone()
        for name in ("synchronous_commit", "idle_session_timeout", "timezone")
    }
    assert shown == {"synchronous_commit": ("on",), "idle_session_timeout": ("10s",), "timezone": ("UTC",)}


def test_a_database_without_the_schema_says_what_to_do(empty_database: str) -> None:
    session = Session.open(SecretDsn(empty_database), name="test")

    with pytest.raises(NotMigratedError) as caught:
        session.facts()

    assert "outbox migrate up" in caught.value.__notes__[0]
    session.close()


def test_a_read_only_database_is_no_primary(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"alter database {database.rpartition('/')[2]} set default_transaction_read_only = on")

    with pytest.raises(SourceUnavailableError) as caught:
        Session.open(SecretDsn(database), name="test")

    assert caught.value.standby
    assert caught.value.lasting


@pytest.mark.parametrize(
    ("chosen", "effective"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_no_default_of_the_database_weakens_the_barrier_or_hides_its_warning(
    chosen: str, effective: str, database: str
) -> None:
    """Rules 1 and 2: a cancelled wait for a standby shows as a warning, and in nothing else."""
    name = database.rpartition("/")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"alter database {name} set synchronous_commit = {chosen}")
        connection.execute(f"alter database {name} set client_min_messages = error")

    session = Session.open(SecretDsn(database), name="test")

    shown = "select current_setting('synchronous_commit'), current_setting('client_min_messages')"
    assert session.connection.execute(shown).fetchone() == (effective, "warning")
    session.close()


def test_an_epoch_that_is_renewed_within_a_term_fences_the_one_before(session: Session) -> None:
    term = session.raise_epoch(0, shards=1)

    renewed = session.renew_epoch(term)

    assert renewed.epoch == term.epoch + 1
    with pytest.raises(LeaseLostError):
        session.renew_epoch(term)
