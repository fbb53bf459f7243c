"""The event lives or dies with the host's transaction, on every stack."""

import contextlib
import warnings
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow

from outbox import Event, OutsideTransactionWarning
from tests.contract.hosts.stacks import Host

pytestmark = pytest.mark.versions

Observer = psycopg.Connection[DictRow]

LOCKED = Event(aggregate_type="account", aggregate_id="42", type="account.locked", payload={"reason": "fraud"})


class AbandonedError(Exception):
    """The host changed its mind."""


def types(observer: Observer) -> list[str]:
    return [row["type"] for row in observer.execute("select type from outbox.event order by id")]


def numbered(count: int) -> list[Event]:
    return [
        Event(aggregate_type="account", aggregate_id=str(number), type=f"account.{number}", payload={"n": number})
        for number in range(count)
    ]


def test_a_committed_event_is_there_with_its_change(host: Host, observer: Observer) -> None:
    with host.transaction() as work:
        work.change()
        work.insert(LOCKED)

    row = observer.execute("select *, payload::text as text from outbox.event").fetchone()
    assert row is not None
    assert (row["aggregate_type"], row["aggregate_id"], row["type"]) == ("account", "42", "account.locked")
    assert (row["text"], row["headers"], row["topic"]) == ('{"reason":"fraud"}', None, None)
    assert observer.execute("select state from app.account").fetchall() == [{"state": "changed"}]


def test_the_event_id_that_is_returned_is_the_one_stored(host: Host, observer: Observer) -> None:
    with host.transaction() as work:
        (event_id,) = work.insert(LOCKED)

    assert observer.execute("select event_id from outbox.event").fetchall() == [{"event_id": event_id}]


def test_nobody_sees_the_event_before_the_host_commits(host: Host, observer: Observer) -> None:
    with host.transaction() as work:
        work.insert(LOCKED)
        seen_before = types(observer)

    assert seen_before == []
    assert types(observer) == ["account.locked"]


def test_a_rolled_back_transaction_leaves_no_event(host: Host, observer: Observer) -> None:
    with contextlib.suppress(AbandonedError), host.transaction() as work:
        work.change()
        work.insert(LOCKED)
        raise AbandonedError

    assert types(observer) == []
    assert observer.execute("select state from app.account").fetchall() == [{"state": "new"}]


def test_a_savepoint_rolled_back_takes_its_event_and_no_other(host: Host, observer: Observer) -> None:
    first, second, third = numbered(3)

    with host.transaction() as work:
        work.insert(first)
        with contextlib.suppress(AbandonedError), work.savepoint():
            work.insert(second)
            raise AbandonedError
        work.insert(third)

    assert types(observer) == ["account.0", "account.2"]


def test_a_savepoint_released_keeps_its_event_in_the_top_level_transaction(host: Host, observer: Observer) -> None:
    with host.transaction() as work:
        work.insert(LOCKED)
        with work.savepoint():
            work.insert(LOCKED)

    assert len(observer.execute("select distinct tx from outbox.event").fetchall()) == 1
    assert types(observer) == ["account.locked"] * 2


def test_the_event_is_in_the_transaction_of_the_change(host: Host, observer: Observer) -> None:
    with host.transaction() as work:
        work.change()
        work.insert(LOCKED)

    same = observer.execute(
        "select e.tx::xid = a.xmin as same from outbox.event e, app.account a"  # xmin: who wrote the row
    ).fetchall()
    assert same == [{"same": True}]


def test_inserting_takes_one_statement(host: Host, observer: Observer) -> None:
    with host.transaction() as work:
        work.insert(LOCKED)

    assert observer.execute("select count(*) as n from app.statement").fetchall() == [{"n": 1}]


def test_a_batch_is_one_statement_and_keeps_its_order(python_host: Host, observer: Observer) -> None:
    with python_host.transaction() as work:
        ids = work.insert(numbered(500))

    rows = observer.execute("select event_id, type from outbox.event order by id").fetchall()
    assert [row["type"] for row in rows] == [f"account.{number}" for number in range(500)]
    assert [row["event_id"] for row in rows] == ids
    assert observer.execute("select count(*) as n from app.statement").fetchall() == [{"n": 1}]


def test_an_empty_batch_sends_nothing(python_host: Host, observer: Observer) -> None:
    with python_host.transaction() as work:
        ids = work.insert([])

    assert ids == []
    assert observer.execute("select count(*) as n from app.statement").fetchall() == [{"n": 0}]


def test_a_batch_may_mix_what_is_optional(python_host: Host, observer: Observer) -> None:
    event_id = UUID("0192f0c1-5d5e-7cc0-8000-000000000001")
    plain, full = (
        LOCKED,
        Event(
            aggregate_type="account",
            aggregate_id="42",
            type="account.noted",
            payload=None,
            headers={"tenant": "zürich"},
            topic="accounts.v2",
            event_id=event_id,
        ),
    )

    with python_host.transaction() as work:
        ids = work.insert([plain, full])

    assert ids[1] == event_id
    rows = observer.execute("select event_id, headers, topic, payload::text as text from outbox.event order by id")
    assert [tuple(row.values()) for row in rows] == [
        (ids[0], None, None, '{"reason":"fraud"}'),
        (event_id, {"tenant": "zürich"}, "accounts.v2", "null"),
    ]


def test_inserting_outside_a_transaction_warns(python_host: Host) -> None:
    with pytest.warns(OutsideTransactionWarning, match="no transaction was open") as warned:
        python_host.insert_outside(LOCKED)

    assert warned[0].filename.endswith("stacks.py")


def test_inserting_inside_a_transaction_does_not_warn(python_host: Host) -> None:
    with warnings.catch_warnings(), python_host.transaction() as work:
        warnings.simplefilter("error")
        work.insert(LOCKED)


def test_headers_are_stored_as_an_object(host: Host, observer: Observer) -> None:
    event = Event(
        aggregate_type="account", aggregate_id="42", type="t", payload={}, headers={"tenant": 'a"b', "x": "ä"}
    )

    with host.transaction() as work:
        work.insert(event)

    assert observer.execute("select headers from outbox.event").fetchall() == [{"headers": {"tenant": 'a"b', "x": "ä"}}]


@pytest.mark.parametrize("text", ["Ärger \\ 'quoted', {braced}", 'NULL"\\,{}%s :x %(y)s $1', "null"])
def test_text_arrives_as_it_is(host: Host, observer: Observer, text: str) -> None:
    with host.transaction() as work:
        work.insert(Event(aggregate_type=text, aggregate_id=text, type=text, payload={text: text}))

    row = observer.execute("select aggregate_type, aggregate_id, type, payload from outbox.event").fetchone()
    assert row == {"aggregate_type": text, "aggregate_id": text, "type": text, "payload": {text: text}}
