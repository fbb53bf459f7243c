"""`outbox migrate …` as a person or a deployment calls it."""

import json
from collections.abc import Callable

import psycopg
import pytest

from console.__main__ import run
from console.migrate import state

pytestmark = pytest.mark.versions

Outbox = Callable[..., tuple[int, str, str]]


@pytest.fixture
def outbox(capsys: pytest.CaptureFixture[str]) -> Outbox:
    """Run `outbox migrate`; return its exit code, and what went to stdout and to stderr."""

    def call(dsn: str | None, *arguments: str) -> tuple[int, str, str]:
        code = run(["migrate", *arguments], {"OUTBOX_DATABASE_URL": dsn} if dsn else {})
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_status_fails_until_up_has_run(outbox: Outbox, empty_database: str) -> None:
    before = outbox(empty_database, "status")
    up = outbox(empty_database, "up")
    again = outbox(empty_database, "up")
    after = outbox(empty_database, "status", "--json")

    assert before == (1, "current  none\nhead     0007\npending  0001, 0002, 0003, 0004, 0005, 0006, 0007\n", "")
    assert up == (0, "applied 0001, 0002, 0003, 0004, 0005, 0006, 0007\n", "")
    assert again == (0, "nothing to do\n", "")
    assert (after[0], json.loads(after[1])) == (0, {"current": "0007", "head": "0007", "pending": [], "ahead": False})


def test_sql_and_grants_need_no_database(outbox: Outbox) -> None:
    code, sql, _ = outbox(None, "sql")
    granted = outbox(None, "grants")

    assert code == granted[0] == 0
    assert "create table outbox.event (" in sql
    assert "execute $pgmq$" in sql
    assert "CREATE TABLE outbox.alembic_version" in sql
    assert "create role %I nologin" in granted[1]
    assert "to outbox_writer" in granted[1]


def test_up_without_an_address_names_the_setting(outbox: Outbox) -> None:
    code, _, said = outbox(None, "up")

    assert code == 2
    assert "OUTBOX_DATABASE_URL is required" in said


def test_down_names_what_it_would_drop_and_does_nothing(outbox: Outbox, database: str) -> None:
    code, _, said = outbox(database, "down")

    assert code == 2
    assert "this would drop schema outbox, at revision 0007: alembic_version (about" in said
    assert "fix: add --yes" in said
    assert state(database).pending == ()


@pytest.mark.parametrize(
    ("statement", "owed"),
    [
        ("select outbox.emit('a.b', 'a', '1', '{}')", "1 events"),
        ("select outbox.schedule('a.b', 'a', '1', '{}', null, now())", "1 scheduled"),
        ("insert into outbox.dead_letter (stage, reason) values ('consume', 'malformed')", "1 dead letters"),
        (
            (
                "insert into outbox.delivery (event_id, event_type, aggregate_type, aggregate_id, mail, recipient,"
                " recipient_key, expires_at)"
                " values (gen_random_uuid(), 'a.b', 'a', '1', 'm', 'r@example.com', 'k', now())"
            ),
            "1 deliveries",
        ),
    ],
)
def test_down_refuses_while_something_is_owed_unless_forced(
    outbox: Outbox, database: str, statement: str, owed: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(statement)

    refused = outbox(database, "down", "--yes")
    forced = outbox(database, "down", "--yes", "--force")

    assert refused[0] == 1
    assert f"something is unsettled: {owed}\n" in refused[2]
    assert forced[0] == 0
    assert state(database).current is None


def test_down_on_an_empty_database_has_nothing_to_do(outbox: Outbox, empty_database: str) -> None:
    assert outbox(empty_database, "down", "--yes") == (0, "nothing to do\n", "")


def test_down_to_a_revision_keeps_what_was_before(outbox: Outbox, database: str) -> None:
    code, _, said = outbox(database, "down", "--to", "0003", "--yes")

    assert (code, said) == (0, "dropping what came after 0003\n")
    assert state(database).current == "0003"


def test_down_refuses_while_a_table_is_captured(outbox: Outbox, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create table public.users (id int primary key, email text)")
        connection.execute("select outbox.capture('public.users', 'user', 'id', 'user', 'email')")

    code, _, said = outbox(database, "down", "--yes", "--force")

    assert code == 1
    assert "error: not dropped, for these tables emit events: public.users" in said
    assert "fix: select outbox.release_capture('public.users')" in said
    assert state(database).pending == ()
