"""`outbox.emit`, `outbox.schedule`, `outbox.cancel`, `outbox.release_due`: events from plain SQL."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from tests.support.waiting import wait_until

pytestmark = pytest.mark.versions

Transaction = psycopg.Connection


def test_emit_inserts_one_event_and_returns_its_id(transaction: Transaction) -> None:
    (event_id,) = transaction.execute(
        "select outbox.emit('user.locked', 'user', '42', '{\"a\": 1.10}', '{\"k\": \"v\"}', 'my.topic')"
    ).fetchone() or (None,)

    found = transaction.execute(
        "select event_id, type, aggregate_type, aggregate_id, payload::text, headers, topic from outbox.event"
    ).fetchall()
    assert found == [(event_id, "user.locked", "user", "42", '{"a": 1.10}', {"k": "v"}, "my.topic")]


@pytest.mark.parametrize(
    "payload", ["'{\"a\": 1}'", "'{\"a\": 1}'::text", "json_build_object('a', 1)", "jsonb_build_object('a', 1)"]
)
def test_emit_takes_a_payload_as_text_json_or_jsonb(transaction: Transaction, payload: str) -> None:
    transaction.execute(f"select outbox.emit('a.b', 'a', '1', {payload})")

    assert transaction.execute("select payload from outbox.event").fetchall() == [({"a": 1},)]


def test_emit_takes_parameters_of_a_driver(transaction: Transaction) -> None:
    given = uuid4()

    made = transaction.execute(
        "select outbox.emit(%s, %s, %s, %s, %s, %s, %s)", ["a.b", "a", "1", "{}", None, None, given]
    ).fetchone()

    assert made == (given,)


def test_emit_takes_names(transaction: Transaction) -> None:
    transaction.execute(
        "select outbox.emit(type => 'a.b', aggregate_type => 'a', aggregate_id => '1', payload => '{}', topic => 't')"
    )

    assert transaction.execute("select topic from outbox.event").fetchall() == [("t",)]


@pytest.mark.parametrize(
    ("arguments", "constraint"),
    [
        ("'', 'a', '1', '{}'", "event_type_check"),
        ("'a.b', '', '1', '{}'", "event_aggregate_type_check"),
        ("'a.b', 'a', '', '{}'", "event_aggregate_id_check"),
        ("'a.b', 'a', '1', '{}', '[]'", "event_headers_check"),
        ("'a.b', 'a', '1', '{}', null, ''", "event_topic_check"),
        ("repeat('x', 201), 'a', '1', '{}'", "event_type_check"),
    ],
)
def test_emit_refuses_what_could_not_be_published(transaction: Transaction, arguments: str, constraint: str) -> None:
    with pytest.raises(errors.CheckViolation, match=constraint):
        transaction.execute(f"select outbox.emit({arguments})")


@pytest.mark.parametrize(
    "arguments", ["null, 'a', '1', '{}'", "'a.b', null, '1', '{}'", "'a.b', 'a', null, '{}'", "'a.b', 'a', '1', null"]
)
def test_emit_refuses_null(transaction: Transaction, arguments: str) -> None:
    with pytest.raises(errors.NotNullViolation):
        transaction.execute(f"select outbox.emit({arguments})")


def test_emit_refuses_what_is_not_json(transaction: Transaction) -> None:
    with pytest.raises(errors.InvalidTextRepresentation):
        transaction.execute("select outbox.emit('a.b', 'a', '1', '{')")


def test_an_emitted_event_goes_with_its_savepoint(transaction: Transaction) -> None:
    with transaction.transaction(force_rollback=True):
        transaction.execute("select outbox.emit('a.b', 'a', '1', '{}')")

    assert transaction.execute("select count(*) from outbox.event").fetchone() == (0,)


def test_two_transactions_of_one_key_get_ids_in_the_order_in_which_they_commit(database: str) -> None:
    with psycopg.connect(database) as first, psycopg.connect(database) as second, ThreadPoolExecutor() as pool:
        first.execute("select outbox.emit('first', 'a', '1', '{}')")
        late = pool.submit(second.execute, "select outbox.emit('second', 'a', '1', '{}')")
        wait_until(lambda: _blocks(first), timeout_seconds=20, what="the second to wait for the first")
        first.execute("select outbox.emit('first again', 'a', '1', '{}')")
        first.commit()
        late.result(timeout=20)
        second.commit()

        order = [name for (name,) in first.execute("select type from outbox.event order by id")]

    assert order == ["first", "first again", "second"]


def test_other_keys_do_not_wait(database: str) -> None:
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        second.execute("set lock_timeout = '1s'")
        first.execute("select outbox.emit('a.b', 'a', '1', '{}')")

        second.execute("select outbox.emit('a.b', 'a', '2', '{}'), outbox.emit('a.b', 'b', '1', '{}')")


def test_a_scheduled_event_is_released_when_due_and_not_before(transaction: Transaction) -> None:
    due = _schedule(transaction, "now() - interval '1 s'")
    _schedule(transaction, "now() + interval '1 h'")

    released = transaction.execute("select outbox.release_due(10)").fetchone()

    assert released == (1,)
    assert transaction.execute("select event_id, type, payload from outbox.event").fetchall() == [
        (due, "a.b", {"n": 1})
    ]
    assert transaction.execute("select count(*) from outbox.scheduled").fetchone() == (1,)


def test_a_cancelled_event_is_never_released(transaction: Transaction) -> None:
    event_id = _schedule(transaction, "now()")

    cancelled = [transaction.execute("select outbox.cancel(%s)", [event_id]).fetchone() for _ in range(2)]

    assert cancelled == [(True,), (False,)]
    assert transaction.execute("select outbox.release_due(10)").fetchone() == (0,)


def test_due_events_are_released_in_the_order_in_which_they_are_due(transaction: Transaction) -> None:
    for minutes in (1, 3, 2):
        transaction.execute(
            f"select outbox.schedule('{minutes}', 'a', '1', '{{}}', null, now() - interval '{minutes} min')"
        )

    transaction.execute("select outbox.release_due(2)")
    first = [name for (name,) in transaction.execute("select type from outbox.event order by id")]
    transaction.execute("select outbox.release_due(2)")

    assert first == ["3", "2"]
    assert [name for (name,) in transaction.execute("select type from outbox.event order by id")] == ["3", "2", "1"]


def test_a_key_that_a_host_holds_is_released_later_and_whole(database: str) -> None:
    with psycopg.connect(database) as host, psycopg.connect(database, autocommit=True) as relay:
        for key in ("held", "free"):
            relay.execute("select outbox.schedule('due', 'a', %s, '{}', null, now())", [key])
        host.execute("select outbox.emit('mine', 'a', 'held', '{}')")

        at_once = relay.execute("select outbox.release_due(10)").fetchone()
        host.commit()
        later = relay.execute("select outbox.release_due(10)").fetchone()

        order = relay.execute("select type from outbox.event where aggregate_id = 'held' order by id").fetchall()
    assert (at_once, later) == ((1,), (1,))
    assert order == [("mine",), ("due",)]


def test_only_one_releases_at_a_time(database: str) -> None:
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        for _ in range(2):
            _schedule(first, "now()")
        first.commit()

        taken = (
            first.execute("select outbox.release_due(1)").fetchone(),
            second.execute("select outbox.release_due(1)").fetchone(),
        )

    assert taken == ((1,), (0,))


@pytest.mark.parametrize("due_at", ["null", "'infinity'", "'-infinity'"])
def test_a_time_that_never_comes_is_refused(transaction: Transaction, due_at: str) -> None:
    with pytest.raises(errors.InvalidParameterValue, match=r"expected due_at of event .* to be a time, got"):
        _schedule(transaction, due_at)


def test_keys_are_spread_over_the_shards(transaction: Transaction) -> None:
    query = "select outbox.shard_of('user', n::text, 4) from generate_series(1, 4000) as n"
    counts = Counter(shard for (shard,) in transaction.execute(query))

    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) > 900


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("shard_of('user', '42', 4)", 3),
        ("shard_of('user', '43', 64)", 40),
        ("shard_of('ünï', 'ß', 7)", 4),
        ("shard_of('a', 'b', 1)", 0),
        ("lock_key('user', '42')", 471481556803980074),
    ],
)
def test_hashes_stay_the_same(transaction: Transaction, call: str, value: int) -> None:
    # A change would move keys to other shards while their events are on the way.
    assert transaction.execute(f"select outbox.{call}").fetchone() == (value,)


def _schedule(connection: Transaction, due_at: str) -> UUID:
    statement = f"select outbox.schedule('a.b', 'a', '1', '{{\"n\": 1}}', null, {due_at})"
    (event_id,) = connection.execute(statement).fetchone() or (None,)
    assert isinstance(event_id, UUID)
    return event_id


def _blocks(connection: Transaction) -> bool:
    query = "select from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))"
    return connection.execute(query).fetchone() is not None
