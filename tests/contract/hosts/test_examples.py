"""The one-file hosts in examples/, run on a real database."""

from pathlib import Path

import psycopg
import pytest
from psycopg.rows import DictRow

from examples.django_host import lock
from examples.psycopg_host import lock_dormant
from tests.contract.hosts.stacks import DjangoConnection

PLAIN = (Path(__file__).parents[3] / "examples" / "plain.sql").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def plain(observer: psycopg.Connection[DictRow]) -> None:
    """Run the first example statement by statement, as psql does."""
    lines = [line for line in PLAIN.splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";\n"):
        observer.execute(statement.encode())


def types(observer: psycopg.Connection[DictRow]) -> list[str]:
    return [row["type"] for row in observer.execute("select type from outbox.event order by id")]


def test_plain_sql_tells_what_was_committed(observer: psycopg.Connection[DictRow]) -> None:
    assert types(observer) == ["user.locked", "user.unlocked"]
    assert observer.execute("select state from app.customer").fetchall() == [{"state": "locked"}]


def test_the_psycopg_job_tells_every_owner(database: str, observer: psycopg.Connection[DictRow]) -> None:
    observer.execute("insert into app.customer select n, n || '@example.com' from generate_series(100, 104) n")

    with psycopg.connect(database, autocommit=True) as connection:
        assert [lock_dormant(connection, at_most=3) for _ in range(3)] == [3, 2, 0]

    assert types(observer)[2:] == ["user.locked"] * 5


def test_the_django_view_tells_the_owner(database: str, observer: psycopg.Connection[DictRow]) -> None:
    host = DjangoConnection(database)

    event_id = lock(42, reason="fraud")

    row = observer.execute("select event_id, payload from outbox.event order by id desc limit 1").fetchone()
    assert row == {"event_id": event_id, "payload": {"email": "ada@example.com", "reason": "fraud"}}
    host.close()
