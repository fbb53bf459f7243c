"""`outbox.capture`: events of a host that cannot be changed."""

import psycopg
import pytest
from psycopg import errors

pytestmark = pytest.mark.versions

Transaction = psycopg.Connection


@pytest.fixture
def users(transaction: Transaction) -> Transaction:
    """A transaction with a host's table, captured."""
    transaction.execute(
        'create table public.users (id int primary key, email text, secret text, "Full Name" text, joined numeric)'
    )
    transaction.execute("select outbox.capture('public.users', 'user', 'id', 'user', 'email', 'Full Name', 'joined')")
    return transaction


def test_each_change_of_a_row_is_an_event(users: Transaction) -> None:
    users.execute(
        "insert into users values (1, 'ada@example.com', 's', 'Ada', 1.10), (2, 'bo@example.com', 's', null, null)"
    )
    users.execute("update users set email = 'countess@example.com' where id = 1")
    users.execute("delete from users where id = 2")

    assert _events(users) == [
        ("user.created", "1", {"email": "ada@example.com", "Full Name": "Ada", "joined": 1.1}),
        ("user.created", "2", {"email": "bo@example.com", "Full Name": None, "joined": None}),
        (
            "user.updated",
            "1",
            {"email": "countess@example.com", "Full Name": "Ada", "joined": 1.1, "_old": {"email": "ada@example.com"}},
        ),
        ("user.deleted", "2", {"email": "bo@example.com", "Full Name": None, "joined": None}),
    ]


def test_numbers_keep_their_digits(users: Transaction) -> None:
    users.execute("insert into users values (1, null, null, null, 123456789012345678901234567890.10)")

    (payload,) = users.execute("select payload::text from outbox.event").fetchone() or ("",)
    assert "123456789012345678901234567890.10" in payload


def test_an_update_of_other_columns_is_no_event(users: Transaction) -> None:
    users.execute("insert into users values (1, 'ada@example.com', 's')")
    users.execute("update users set secret = 't', email = email")

    assert [kind for kind, _, _ in _events(users)] == ["user.created"]


def test_a_column_that_was_not_named_never_leaves(users: Transaction) -> None:
    users.execute("insert into users values (1, 'ada@example.com', 'hunter2')")
    users.execute("update users set email = 'b@example.com', secret = 'hunter3'")
    users.execute("delete from users")

    assert users.execute("select count(*) from outbox.event where payload::text like '%hunter%'").fetchone() == (0,)


def test_events_go_with_the_rows(users: Transaction) -> None:
    with users.transaction(force_rollback=True):
        users.execute("insert into users values (1, 'ada@example.com')")

    assert _events(users) == []


def test_a_host_needs_no_rights_in_our_schema(users: Transaction) -> None:
    users.execute("create role plain_host")
    users.execute("grant insert on users to plain_host")
    users.execute("set local role plain_host")

    users.execute("insert into users values (1, 'ada@example.com')")

    users.execute("reset role")
    assert [kind for kind, _, _ in _events(users)] == ["user.created"]


def test_a_released_table_emits_nothing(users: Transaction) -> None:
    users.execute("select outbox.release_capture('users')")
    users.execute("insert into users values (1, 'ada@example.com')")

    assert _events(users) == []
    with pytest.raises(errors.UndefinedObject, match='trigger "outbox_capture" for table "users" does not exist'):
        users.execute("select outbox.release_capture('users')")


def test_a_table_is_captured_once_with_the_last_arguments(users: Transaction) -> None:
    users.execute("select outbox.capture('public.users', 'person', 'id', 'person', 'email')")
    users.execute("insert into users values (1, 'ada@example.com')")

    assert _events(users) == [("person.created", "1", {"email": "ada@example.com"})]


@pytest.mark.parametrize(("constraint", "locked"), [("", 1), ("unique", 0)])
def test_an_aggregate_that_is_no_row_is_locked(transaction: Transaction, constraint: str, locked: int) -> None:
    transaction.execute(f"create table lines (line int, order_id int {constraint})")
    transaction.execute("select outbox.capture('lines', 'order', 'order_id', 'line', 'line')")

    transaction.execute("insert into lines values (1, 7)")

    locks = transaction.execute("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
    assert locks.fetchone() == (locked,)


def test_a_partitioned_table_is_captured_whole(transaction: Transaction) -> None:
    transaction.execute(
        "create table orders (id int, region text, primary key (id, region)) partition by list (region)"
    )
    transaction.execute("create table orders_eu partition of orders for values in ('eu')")
    transaction.execute("select outbox.capture('orders', 'order', 'id', 'order', 'region')")

    transaction.execute("insert into orders values (1, 'eu')")

    assert _events(transaction) == [("order.created", "1", {"region": "eu"})]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ("'users', 'user', 'nope', 'user', 'email'", errors.UndefinedColumn, "expected a column of users, got nope"),
        ("'users', 'user', 'id', 'user', 'nope'", errors.UndefinedColumn, "expected a column of users, got nope"),
        ("'users', 'user', 'id', 'user', variadic '{}'", errors.InvalidParameterValue, "got none"),
        ("'users', '', 'id', 'user', 'email'", errors.InvalidParameterValue, "expected an aggregate type"),
        ("'users', 'user', 'id', null, 'email'", errors.InvalidParameterValue, "expected an aggregate type"),
        ("'nowhere', 'user', 'id', 'user', 'email'", errors.UndefinedTable, "nowhere"),
    ],
)
def test_what_cannot_be_captured_is_refused(
    users: Transaction, arguments: str, error: type[psycopg.Error], message: str
) -> None:
    with pytest.raises(error, match=message):
        users.execute(f"select outbox.capture({arguments})")


def test_arguments_are_data_whatever_they_hold(users: Transaction) -> None:
    users.execute("select outbox.capture('users', %s, 'id', 'user', 'Full Name')", ["it's '); drop table users; --"])
    users.execute("insert into users (id) values (1)")

    assert users.execute("select aggregate_type from outbox.event").fetchall() == [("it's '); drop table users; --",)]


def _events(connection: Transaction) -> list[tuple[str, str, object]]:
    return connection.execute("select type, aggregate_id, payload from outbox.event order by id").fetchall()
