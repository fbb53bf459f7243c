"""`outbox.backlog`: what is committed and not published, whatever the position of the relay is."""

import random
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

pytestmark = pytest.mark.versions

Row = tuple[int, int]


@pytest.fixture
def host(database: str) -> Iterator[psycopg.Connection]:
    """A host's session, each statement its own transaction."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def test_everything_waits_before_the_first_window(host: psycopg.Connection) -> None:
    before = _backlog(host)
    _emit(host, 3)

    assert before == [(0, 0)]
    assert _backlog(host) == [(0, 3)]


def test_what_is_rolled_back_never_waits(host: psycopg.Connection) -> None:
    with host.transaction(force_rollback=True):
        _emit(host, 3)

    assert _backlog(host) == [(0, 0)]


def test_nothing_waits_behind_a_finished_window(host: psycopg.Connection) -> None:
    _emit(host, 3)
    _finish_window(host)
    _emit(host, 2)

    assert _backlog(host) == [(0, 2)]


def test_the_rest_of_the_window_under_way_waits(host: psycopg.Connection) -> None:
    a = _finish_window(host)
    _emit(host, 5)
    (third,) = host.execute("select id from outbox.event order by id offset 2 limit 1").fetchone() or (0,)
    _mirror(host, seq=2, a=a, b=_snapshot(host), last=third)
    _emit(host, 1)

    assert _backlog(host) == [(0, 3)]


def test_a_transaction_that_was_open_at_the_snapshot_waits_once_it_commits(
    host: psycopg.Connection, database: str
) -> None:
    with psycopg.connect(database) as slow:
        _emit(slow, 2)
        _emit(host, 1)
        _finish_window(host)
        before = _backlog(host)

        slow.commit()

    assert (before, _backlog(host)) == ([(0, 0)], [(0, 2)])


def test_an_old_transaction_that_the_window_under_way_holds_waits_behind_its_last_id(
    host: psycopg.Connection, database: str
) -> None:
    with psycopg.connect(database) as slow:
        _emit(slow, 4)
        a = _finish_window(host)
        slow.commit()
    (second,) = host.execute("select id from outbox.event order by id offset 1 limit 1").fetchone() or (0,)

    _mirror(host, seq=2, a=a, b=_snapshot(host), last=second)

    assert _backlog(host) == [(0, 2)]


def test_an_event_with_a_dead_letter_waits_no_more(host: psycopg.Connection) -> None:
    _emit(host, 2)
    host.execute(
        "insert into outbox.dead_letter (stage, reason, shard, event_row_id)"
        " select 'publish', 'x', 0, min(id) from outbox.event"
    )

    assert _backlog(host) == [(0, 1)]


def test_each_shard_counts_its_own_keys(host: psycopg.Connection) -> None:
    host.execute("update outbox.meta set shards = 3")
    _emit(host, 30)

    found = _backlog(host)

    expected = host.execute(
        "select outbox.shard_of('a', n::text, 3), count(*) from generate_series(1, 30) as n group by 1 order by 1"
    )
    assert found == expected.fetchall()
    assert [shard for shard, _ in found] == [0, 1, 2]


def test_the_oldest_event_says_since_when(host: psycopg.Connection) -> None:
    _emit(host, 2)

    found = host.execute(
        "select oldest_at = (select min(created_at) from outbox.event) from outbox.backlog()"
    ).fetchone()

    assert found == (True,)


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_what_is_visible_and_not_published_whatever_commits_when(
    host: psycopg.Connection, database: str, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    published: set[int] = set()
    a, b, seq, rest = "3:3:", "3:3:", 0, list[int]()
    with ExitStack() as stack:
        hosts = [stack.enter_context(psycopg.connect(database)) for _ in range(4)]
        for _ in range(150):
            match chance.choice(("insert", "insert", "commit", "roll back", "publish")):
                case "insert":
                    _emit(chance.choice(hosts), chance.randint(1, 3))
                case "commit":
                    chance.choice(hosts).commit()
                case "roll back":
                    chance.choice(hosts).rollback()
                case _:
                    if not rest:  # the next window
                        b = _snapshot(host)
                        seq, rest = seq + 1, _window(host, a, b)
                        host.execute("insert into outbox.batch values (0, %s, 1, %s, %s, %s)", [seq, a, b, len(rest)])
                    page, rest = rest[:2], rest[2:]
                    published.update(page)
                    _advance(host, seq=seq, b=b, last=page[-1] if rest else None)
                    a = a if rest else b

            visible = {id_ for (id_,) in host.execute("select id from outbox.event")}
            assert _backlog(host) == [(0, len(visible - published))]


def _window(connection: psycopg.Connection, a: str, b: str) -> list[int]:
    """Return the ids of a window by its definition: what B sees and A did not."""
    query = (
        "select id from outbox.event where pg_visible_in_snapshot(tx, %s::pg_snapshot)"
        " and not pg_visible_in_snapshot(tx, %s::pg_snapshot) order by id"
    )
    return [id_ for (id_,) in connection.execute(query, [b, a])]


def _emit(connection: psycopg.Connection, count: int) -> None:
    connection.execute(
        "insert into outbox.event (type, aggregate_type, aggregate_id, payload)"
        " select 'a.b', 'a', n::text, '{}' from generate_series(1, %s) as n",
        [count],
    )


def _backlog(connection: psycopg.Connection) -> list[Row]:
    return connection.execute("select shard, backlog from outbox.backlog()").fetchall()


def _snapshot(connection: psycopg.Connection) -> str:
    (snapshot,) = connection.execute("select pg_current_snapshot()::text").fetchone() or ("",)
    return str(snapshot)


def _finish_window(connection: psycopg.Connection) -> str:
    """Let the relay have published everything that is visible now; return that snapshot."""
    b = _snapshot(connection)
    _mirror(connection, seq=1, a="3:3:", b=b, last=None)
    return b


def _mirror(connection: psycopg.Connection, *, seq: int, a: str, b: str, last: int | None) -> None:
    connection.execute("insert into outbox.batch values (0, %s, 1, %s, %s, 1)", [seq, a, b])
    _advance(connection, seq=seq, b=b, last=last)


def _advance(connection: psycopg.Connection, *, seq: int, b: str, last: int | None) -> None:
    connection.execute(
        "update outbox.shard set confirmed_seq = %s, confirmed_snap = %s, confirmed_last = %s where shard = 0",
        [seq, b, last],
    )
