"""A window is what snapshot B sees and snapshot A did not: nothing is missed, and nothing stalls."""

import psycopg
import pytest

from relay.leases import Session
from relay.source import Source
from relay.window import ORIGIN, Position
from tests.integration.relay.conftest import Connect, Reader, insert, outlive

pytestmark = pytest.mark.versions


def test_an_idle_database_has_no_window(reader: Reader, connect: Connect) -> None:
    host = connect()
    insert(host, "a")
    host.commit()

    assert reader.read() == ["a"]
    assert reader.read() == []
    assert reader.source.find(seq=1, a=reader.a, b=reader.a) is None


def test_what_commits_late_is_in_a_later_window_although_its_id_is_smaller(reader: Reader, connect: Connect) -> None:
    late, quick = connect(), connect()
    insert(late, "late")
    insert(quick, "quick")
    quick.commit()
    assert reader.read() == ["quick"]

    late.commit()

    assert reader.read() == ["late"]
    assert reader.read() == []


def test_a_window_goes_in_the_order_of_ids_whatever_the_order_of_commits(reader: Reader, connect: Connect) -> None:
    first, second, third = connect(), connect(), connect()
    insert(first, "1")
    insert(second, "2")
    insert(third, "3")
    insert(first, "4")
    reader.read()
    for connection in (third, first, second):
        connection.commit()

    assert reader.read() == ["1", "2", "3", "4"]


def test_rolled_back_events_are_in_no_window(reader: Reader, connect: Connect) -> None:
    host = connect()
    insert(host, "kept")
    with host.transaction() as savepoint:
        insert(host, "savepoint rolled back")
        raise psycopg.Rollback(savepoint)
    with host.transaction():
        insert(host, "savepoint released")
    host.commit()
    insert(host, "rolled back")
    host.rollback()

    assert reader.read() == ["kept", "savepoint released"]
    assert reader.read() == []


def test_savepoints_of_a_transaction_that_a_snapshot_saw_running_come_with_it(reader: Reader, connect: Connect) -> None:
    host, other = connect(), connect()
    insert(host, "before")
    insert(other, "other")
    other.commit()
    assert reader.read() == ["other"]

    with host.transaction():
        insert(host, "in a savepoint")
    host.commit()

    assert reader.read() == ["before", "in a savepoint"]


def test_a_prepared_transaction_is_read_after_its_second_phase(reader: Reader, connect: Connect) -> None:
    host, other = connect(), connect()
    host.tpc_begin("one")
    insert(host, "prepared")
    host.tpc_prepare()
    insert(other, "other")
    other.commit()
    assert reader.read() == ["other"]
    assert reader.read() == []

    host.tpc_commit()

    assert reader.read() == ["prepared"]


def test_a_prepared_transaction_that_is_rolled_back_leaves_nothing(reader: Reader, connect: Connect) -> None:
    host = connect()
    host.tpc_begin("two")
    insert(host, "prepared")
    host.tpc_prepare()
    assert reader.read() == []

    host.tpc_rollback()

    assert reader.read() == []


def test_a_transaction_open_over_many_windows_holds_up_nobody_and_is_not_missed(
    reader: Reader, connect: Connect
) -> None:
    slow, host = connect(), connect()
    insert(slow, "slow")
    for number in range(6):
        insert(host, f"quick {number}")
        host.commit()
        assert reader.read() == [f"quick {number}"]

    slow.commit()

    assert reader.read() == ["slow"]


def test_rows_of_one_copy_are_all_read_in_pages(reader: Reader, connect: Connect) -> None:
    host = connect()
    with host.cursor().copy("copy outbox.event (aggregate_type, aggregate_id, type, payload) from stdin") as copy:
        for number in range(11):
            copy.write_row(("t", str(number), "happened", "{}"))
    host.commit()

    assert reader.read() == [str(number) for number in range(11)]
    assert [len(page) for page in reader.pages] == [4, 4, 3]


def test_a_page_that_ends_with_the_window_says_so(reader: Reader, connect: Connect) -> None:
    host = connect()
    insert(host, *"abcdefgh")
    host.commit()

    reader.read()

    assert reader.pages == [list("abcd"), list("efgh")]


def test_old_and_young_transactions_share_pages_in_the_order_of_ids(reader: Reader, connect: Connect) -> None:
    old, young = connect(), connect()
    insert(old, "1", "2", "3")
    outlive(connect)
    reader.read()
    insert(young, "4", "5")
    insert(old, "6")
    insert(young, "7")
    young.commit()
    old.commit()

    assert reader.read() == list("1234567")
    assert reader.pages == [list("1234"), list("567")]


def test_a_page_that_ends_within_an_old_transaction_is_followed_by_what_is_behind_it(
    reader: Reader, connect: Connect
) -> None:
    old = connect()
    insert(old, *"123456")
    outlive(connect)
    reader.read()
    old.commit()

    assert reader.read() == list("123456")
    assert reader.pages == [list("1234"), list("56")]


def test_a_page_holds_about_as_many_bytes_as_it_may_and_always_one_row(session: Session, connect: Connect) -> None:
    host = connect()
    insert(host, *"abcdef", pad=40_000)
    host.commit()
    reader = Reader(Source(session.connection, shard=0, shards=1, rows=100, page_bytes=50_000))

    assert reader.read() == list("abcdef")
    assert len(reader.pages[0]) < 6

    tiny = Reader(Source(session.connection, shard=0, shards=1, rows=100, page_bytes=1))
    assert tiny.read() == list("abcdef")
    assert tiny.pages == [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]


def test_a_window_is_resumed_behind_the_last_id_also_for_old_transactions(session: Session, connect: Connect) -> None:
    source = Source(session.connection, shard=0, shards=1, rows=2, page_bytes=1_000_000)
    old, young = connect(), connect()
    insert(old, "1")
    outlive(connect)
    a = source.snapshot()
    insert(young, "2", "3")
    insert(old, "4")
    young.commit()
    old.commit()
    window = source.find(seq=5, a=a, b=source.snapshot())
    assert window is not None
    first = source.page(window, after=0)
    assert first.end is not None

    resumed = source.resume(Position(seq=5, a=window.a, b=window.b, last_id=first.end), n=window.n)
    rest = source.page(resumed, after=first.end)

    assert [row.event.aggregate_id for row in (*first.rows, *rest.rows)] == ["1", "2", "3", "4"]
    assert rest.end is None


def test_the_shards_of_a_window_are_disjoint_and_complete(session: Session, connect: Connect) -> None:
    host = connect()
    keys = [str(number) for number in range(40)]
    insert(host, *keys)
    host.commit()

    parts = [Reader(Source(session.connection, shard=n, shards=3, rows=7, page_bytes=10**6)).read() for n in range(3)]

    assert sorted(key for part in parts for key in part) == sorted(keys)
    assert all(parts)


def test_an_event_is_read_as_it_was_written(session: Session, connect: Connect) -> None:
    host = connect()
    host.execute(
        "insert into outbox.event (event_id, aggregate_type, aggregate_id, type, payload, headers, topic, created_at)"
        " values ('00000000-0000-4000-8000-000000000001', 'ü', 'k', 'happened',"
        """ '{"n": 12345678901234567890.10, "a":  "é"}', '{"x": "y"}', 'own.topic', '2026-11-24 15:45:00.12+05:45')"""
    )
    host.commit()
    source = Source(session.connection, shard=0, shards=1, rows=2, page_bytes=1_000_000)
    window = source.find(seq=1, a=ORIGIN, b=source.snapshot())
    assert window is not None

    [row] = source.page(window, after=0).rows

    assert row.event.event_id == "00000000-0000-4000-8000-000000000001"
    assert row.event.payload == '{"n": 12345678901234567890.10, "a":  "é"}'
    assert row.event.headers == '{"x": "y"}'
    assert row.event.topic == "own.topic"
    assert row.event.created_at == "2026-11-24T10:00:00.120000Z"


def test_an_event_without_end_of_time_is_read(session: Session, connect: Connect) -> None:
    """Python has no such time, and the relay could not read the page."""
    host = connect()
    insert(host, "before")
    host.execute(
        "insert into outbox.event (aggregate_type, aggregate_id, type, payload, created_at)"
        " values ('t', 'k', 'happened', '{}', 'infinity'), ('t', 'k', 'happened', '{}', '12026-01-01+00')"
    )
    host.commit()
    source = Source(session.connection, shard=0, shards=1, rows=5, page_bytes=1_000_000)
    window = source.find(seq=1, a=ORIGIN, b=source.snapshot())
    assert window is not None

    _, endless, far = source.page(window, after=0).rows

    assert (endless.event.created_at, far.event.created_at) == ("infinity", "12026-01-01T00:00:00.000000Z")


def test_looking_for_a_window_writes_nothing(session: Session, reader: Reader, connect: Connect) -> None:
    host = connect()
    insert(host, "a")
    host.commit()

    reader.read()

    row = session.connection.execute("select pg_current_xact_id_if_assigned() is null").fetchone()
    assert row == (True,)
    assert session.current_snapshot() == reader.a
