"""Retention removes what every shard has confirmed, and nothing that anybody may still ask for."""

import pytest

from relay.leases import Session
from relay.retention import Pruned, Retention
from relay.window import ORIGIN, Position, Window
from tests.integration.relay.conftest import Connect, insert

pytestmark = pytest.mark.versions


def never() -> bool:
    return False


def confirm(session: Session, seq: int, *, a: str, last_id: int | None = None, shard: int = 0, shards: int = 1) -> str:
    """Have window *seq* from *a* to now confirmed, as a relay does, and return its B."""
    b = session.current_snapshot()
    term = session.raise_epoch(shard, shards=shards)
    session.mark_bootstrapped(term)
    session.write_barrier(term, Window(seq=seq, a=a, b=b, lo=0, olds=(), n=1))
    session.mirror(term, Position(seq=seq, a=a, b=b, last_id=last_id))
    return b


def keys(session: Session) -> list[str]:
    return [row[0] for row in session.connection.execute("select aggregate_id from outbox.event order by id")]


def commit(connect: Connect, *names: str, age: str = "8 days") -> None:
    host = connect()
    insert(host, *names)
    host.execute(
        "update outbox.event set created_at = now() - %s::interval where aggregate_id = any(%s)", (age, list(names))
    )
    host.commit()


def prune(session: Session, *, rows: int = 2) -> Pruned | None:
    return Retention(session, keep_seconds=7 * 86_400, rows=rows).prune(never)


def test_what_is_old_and_confirmed_goes_and_the_last_window_stays(session: Session, connect: Connect) -> None:
    commit(connect, "a", "b", "c")
    b = confirm(session, 1, a=ORIGIN)
    commit(connect, "d")
    confirm(session, 2, a=b)

    pruned = prune(session)

    assert pruned == Pruned(events=3, batches=0)
    assert keys(session) == ["d"]
    assert session.connection.execute("select pruned_seq from outbox.shard").fetchone() == (2,)


def test_what_is_young_stays(session: Session, connect: Connect) -> None:
    commit(connect, "old")
    commit(connect, "young", age="6 days")
    b = confirm(session, 1, a=ORIGIN)
    confirm(session, 2, a=b)

    prune(session)

    assert keys(session) == ["young"]


def test_what_is_not_confirmed_stays_however_old(session: Session, connect: Connect) -> None:
    slow = connect()
    insert(slow, "slow")
    slow.execute("update outbox.event set created_at = now() - interval '9 days'")
    commit(connect, "a")
    b = confirm(session, 1, a=ORIGIN)
    confirm(session, 2, a=b)
    slow.commit()

    prune(session)

    assert keys(session) == ["slow"]


def test_nothing_goes_before_every_shard_has_confirmed_it(session: Session, connect: Connect) -> None:
    session.connection.execute("update outbox.meta set shards = 2")
    commit(connect, "a")
    b = confirm(session, 1, a=ORIGIN, shards=2)
    confirm(session, 2, a=b, shards=2)

    assert prune(session) == Pruned()
    assert keys(session) == ["a"]

    b = confirm(session, 1, a=ORIGIN, shard=1, shards=2)
    confirm(session, 2, a=b, shard=1, shards=2)
    assert prune(session) == Pruned(events=1)


def test_what_has_an_unresolved_dead_letter_stays_and_hides_nothing_behind_it(
    session: Session, connect: Connect
) -> None:
    commit(connect, "dead", "dead", "dead", "a", "b")
    session.connection.execute(
        "insert into outbox.dead_letter (stage, reason, event_id, shard, event_row_id)"
        " select 'publish', 'r', event_id, 0, id from outbox.event where aggregate_id = 'dead'"
    )
    b = confirm(session, 1, a=ORIGIN)
    confirm(session, 2, a=b)

    assert prune(session) == Pruned(events=2)
    assert keys(session) == ["dead", "dead", "dead"]

    session.connection.execute(
        "update outbox.dead_letter set resolved_at = now(), resolution = 'discarded', resolved_by = 'test'"
    )
    assert prune(session) == Pruned(events=3)


def test_a_window_under_way_keeps_all_its_events(session: Session, connect: Connect) -> None:
    commit(connect, "a", "b")
    confirm(session, 1, a=ORIGIN, last_id=1)

    assert prune(session) == Pruned()
    assert keys(session) == ["a", "b"]


def test_barrier_rows_below_the_floor_go_with_age(session: Session, connect: Connect) -> None:
    b = ORIGIN
    for seq in range(1, 6):
        commit(connect, f"k{seq}")
        b = confirm(session, seq, a=b)
    session.connection.execute("update outbox.batch set at = now() - interval '8 days'")

    assert prune(session) == Pruned(events=4, batches=4)
    assert session.connection.execute("select seq from outbox.batch").fetchall() == [(5,)]


def test_one_process_prunes_at_a_time(session: Session, connect: Connect) -> None:
    connect().execute("select pg_advisory_lock(%s, -1)", (0x6F757462,))

    assert prune(session) is None
