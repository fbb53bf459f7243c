"""What hosts of any language call in SQL, as psql would: one string a statement, no parameters, no types given."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

pytestmark = pytest.mark.versions

Connection = psycopg.Connection[DictRow]

EMIT = "select outbox.emit('user.locked', 'user', '42', '{\"price\": 19.90, \"n\":  18446744073709551617}') as event_id"
SCHEDULE = "select outbox.schedule('user.reminded', 'user', '42', '{{\"n\": 1}}', null, {}) as event_id"
CAPTURE = "select outbox.capture('app.account', 'account', 'id', 'account', 'id', 'state')"


@pytest.fixture
def host(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, row_factory=dict_row) as connection:
        yield connection


def only(connection: Connection, statement: str, *parameters: object) -> dict[str, Any]:
    (row,) = connection.execute(statement.encode(), parameters or None).fetchall()
    return row


def types(connection: Connection) -> list[str]:
    return [row["type"] for row in connection.execute("select type from outbox.event order by id")]


# ------------------------------------------------------------------------------------------------------------ emit
def test_emit_returns_the_id_of_the_event_that_it_inserts(host: Connection) -> None:
    event_id = only(host, EMIT)["event_id"]

    assert only(host, "select event_id, payload::text as text, headers, topic from outbox.event") == {
        "event_id": event_id,
        "text": '{"price": 19.90, "n":  18446744073709551617}',
        "headers": None,
        "topic": None,
    }


@pytest.mark.parametrize(
    "payload", ["jsonb_build_object('n', 1)", "json_build_object('n', 1)", "'{\"n\": 1}'", "'{\"n\": 1}'::text"]
)
def test_emit_takes_whatever_a_host_has_as_json(host: Connection, payload: str) -> None:
    only(host, f"select outbox.emit('t', 'user', '42', {payload}, jsonb_build_object('tenant', '7'))")

    assert only(host, "select payload, headers from outbox.event") == {"payload": {"n": 1}, "headers": {"tenant": "7"}}


def test_two_transactions_emit_about_one_aggregate_one_after_the_other(host: Connection, database: str) -> None:
    only(host, EMIT)

    with psycopg.connect(database) as other:
        other.execute("set local lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(EMIT.encode())


def test_two_transactions_emit_about_two_aggregates_at_once(host: Connection, database: str) -> None:
    only(host, EMIT)

    with psycopg.connect(database) as other:
        other.execute("set local lock_timeout = '50ms'")
        other.execute(EMIT.replace("'42'", "'43'").encode())


@pytest.mark.parametrize(
    "statement",
    [
        "select outbox.emit('', 'user', '42', '{}')",
        "select outbox.emit('t', '', '42', '{}')",
        "select outbox.emit('t', 'user', '', '{}')",
        "select outbox.emit('t', 'user', null, '{}')",
        "select outbox.emit('t', 'user', '42', '{broken')",
        "select outbox.emit('t', 'user', '42', null::json)",
        "select outbox.emit('t', 'user', '42', '{}', '[\"no object\"]')",
        "insert into outbox.event (aggregate_type, aggregate_id, type) values ('user', '42', 't')",
        "insert into outbox.event (id, aggregate_type, aggregate_id, type, payload) values (1, 'u', '4', 't', '{}')",
    ],
)
def test_what_is_no_event_is_refused(host: Connection, statement: str) -> None:
    with pytest.raises((psycopg.errors.IntegrityError, psycopg.errors.DataError, psycopg.errors.ProgrammingError)):
        host.execute(statement.encode())


# --------------------------------------------------------------------------------------------------------- capture
def test_a_captured_table_emits_what_happens_to_its_rows(host: Connection) -> None:
    host.execute(CAPTURE)
    host.execute("insert into app.account values (43, 'new')")
    host.execute("update app.account set state = 'locked' where id = 43")
    host.execute("delete from app.account where id = 43")

    rows = host.execute("select aggregate_type, aggregate_id, type, payload from outbox.event order by id").fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("account", "43", "account.created", {"id": 43, "state": "new"}),
        ("account", "43", "account.updated", {"id": 43, "state": "locked", "_old": {"state": "new"}}),
        ("account", "43", "account.deleted", {"id": 43, "state": "locked"}),
    ]


def test_what_is_rolled_back_is_not_captured(host: Connection) -> None:
    host.execute(CAPTURE)
    host.commit()
    with host.transaction():
        host.execute("update app.account set state = 'locked'")
        raise psycopg.Rollback

    assert types(host) == []


def test_an_update_that_changes_nothing_is_no_event(host: Connection) -> None:
    host.execute(CAPTURE)
    host.execute("update app.account set state = state")

    assert types(host) == []


def test_a_released_table_emits_nothing_more(host: Connection) -> None:
    host.execute(CAPTURE)
    host.execute("select outbox.release_capture('app.account')")
    host.execute("update app.account set state = 'locked'")

    assert types(host) == []


def test_a_column_that_is_not_there_is_refused_by_name(host: Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn, match="colour"):
        host.execute(CAPTURE.replace("'state'", "'colour'").encode())


# -------------------------------------------------------------------------------------------------------- schedule
def release(host: Connection) -> int:
    released: int = only(host, "select outbox.release_due(100) as n")["n"]
    return released


def test_a_scheduled_event_is_no_event_before_it_is_due(host: Connection) -> None:
    only(host, SCHEDULE.format("now() + interval '1 hour'"))

    assert release(host) == 0
    assert types(host) == []


def test_a_scheduled_event_is_an_ordinary_one_with_its_id_once_it_is_due(host: Connection) -> None:
    event_id = only(host, SCHEDULE.format("now()"))["event_id"]

    assert release(host) == 1
    assert only(host, "select event_id, type, payload::text as text from outbox.event") == {
        "event_id": event_id,
        "type": "user.reminded",
        "text": '{"n": 1}',
    }
    assert release(host) == 0


def test_a_cancelled_event_never_comes(host: Connection) -> None:
    event_id = only(host, SCHEDULE.format("now()"))["event_id"]

    assert only(host, "select outbox.cancel(%s) as cancelled", event_id) == {"cancelled": True}
    assert only(host, "select outbox.cancel(%s) as cancelled", event_id) == {"cancelled": False}
    assert release(host) == 0


def test_scheduling_and_cancelling_live_and_die_with_the_transaction(host: Connection) -> None:
    event_id = only(host, SCHEDULE.format("now()"))["event_id"]
    host.commit()
    with host.transaction():
        only(host, SCHEDULE.format("now()"))
        only(host, "select outbox.cancel(%s)", event_id)
        raise psycopg.Rollback

    assert release(host) == 1
    assert only(host, "select event_id from outbox.event") == {"event_id": event_id}


def test_an_event_without_a_time_is_refused(host: Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="due_at"):
        host.execute(SCHEDULE.format("null").encode())
