"""What the pages for hosts tell them to write, run as it stands there."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import models
from psycopg.rows import DictRow
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.contract.hosts.stacks import DjangoConnection

DOCS = Path(__file__).parents[3] / "docs"
INSERTING = DOCS / "how-to" / "insert-events.md"
DEBEZIUM = DOCS / "reference" / "debezium-mapping.md"
# A heading of either depth, or a block of code in some language.
PARTS = re.compile(r"^###? (.*?)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> dict[str, str]:
    """Return the code of a language by the heading that it stands under, numbered where there are several."""
    found: dict[str, str] = {}
    heading = ""
    for new_heading, code_language, code in PARTS.findall(page.read_text(encoding="utf-8")):
        heading = new_heading or heading
        if code_language == language:
            same = sum(name.startswith(heading) for name in found)
            found[f"{heading} {same + 1}"] = code
    return found


PYTHON = blocks(INSERTING, "python")
SQL = blocks(INSERTING, "sql")
FIRST = PYTHON.pop("Python 1")


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    __table_args__ = {"schema": "app"}  # noqa: RUF012 - SQLAlchemy's own form

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]


@pytest.fixture
def names(database: str) -> Iterator[dict[str, Any]]:
    """What the page's Python takes for granted."""
    django = DjangoConnection(database)
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    async_engine = create_async_engine(make_url(database).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    yield {
        "dsn": database,
        "engine": engine,
        "async_engine": async_engine,
        "Account": Account,
        "DjangoAccount": django_account(),
    }
    engine.dispose()
    django.close()


def django_account() -> type[models.Model]:
    """Return Django's model of the account; made once, and only where Django is set up."""
    global _django_account  # noqa: PLW0603 - Django registers a model for ever
    if _django_account is None:
        meta = type("Meta", (), {"app_label": "app", "db_table": '"app"."account"', "managed": False})
        fields: dict[str, object] = {"id": models.IntegerField(primary_key=True), "state": models.TextField()}
        _django_account = type("DjangoAccount", (models.Model,), {**fields, "Meta": meta, "__module__": __name__})
    return _django_account


_django_account: type[models.Model] | None = None


def test_the_page_has_the_examples_it_promises() -> None:
    assert set(PYTHON) == {
        "SQLAlchemy 1",
        "SQLAlchemy 2",
        "psycopg 3 1",
        "psycopg 3 2",
        "Django 1",
        "Beside your own Alembic 1",
    }
    assert set(SQL) == {
        "SQL and psql 1",
        "SQL and psql 2",
        "SQL and psql 3",
        "Programs that cannot be changed 1",
        "Delayed events 1",
        "Least privilege 1",
    }
    assert blocks(INSERTING, "java")
    assert blocks(INSERTING, "go")
    assert blocks(INSERTING, "js")


@pytest.mark.parametrize("block", [name for name in PYTHON if "Alembic" not in name])
def test_python_inserts_the_event(block: str, names: dict[str, Any], observer: psycopg.Connection[DictRow]) -> None:
    exec(FIRST + PYTHON[block], names)  # noqa: S102 - the project's own page
    if "lock_account" in names:
        names["event_id"] = asyncio.run(names["lock_account"]())

    assert observer.execute("select event_id, type from outbox.event").fetchall() == [
        {"event_id": names["event_id"], "type": "user.locked"}
    ]
    assert observer.execute("select state from app.account where id = 42").fetchall() == [{"state": "locked"}]


def test_the_filter_for_alembic_is_there(names: dict[str, Any]) -> None:
    exec(PYTHON["Beside your own Alembic 1"], names)  # noqa: S102 - the project's own page

    assert names["options"]["include_name"]("outbox", "schema", {}) is False


@pytest.mark.parametrize(
    ("block", "types"),
    [
        ("SQL and psql 1", ["user.locked"]),
        ("SQL and psql 2", ["user.unlocked"]),
        ("SQL and psql 3", ["user.unlocked", "user.unlocked"]),
        ("Programs that cannot be changed 1", ["account.updated"]),
        ("Delayed events 1", []),
    ],
)
def test_sql_inserts_its_events(block: str, types: list[str], observer: psycopg.Connection[DictRow]) -> None:
    observer.execute(SQL[block].encode())

    assert [row["type"] for row in observer.execute("select type from outbox.event order by id")] == types


def test_a_role_made_as_the_page_says_can_insert(observer: psycopg.Connection[DictRow]) -> None:
    with observer.transaction(force_rollback=True):  # roles belong to the whole cluster
        observer.execute(SQL["Least privilege 1"].encode())
        observer.execute("set local role shop")

        observer.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload) values ('a', '1', 't', '{}')"
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            observer.execute("select * from outbox.event")


def test_a_host_of_debeziums_table_can_insert_through_the_view(observer: psycopg.Connection[DictRow]) -> None:
    with observer.transaction(force_rollback=True):
        observer.execute(blocks(DEBEZIUM, "sql")["Coming from Debezium 1"].encode())

        rows = observer.execute("select aggregate_type, aggregate_id, type, payload from outbox.event").fetchall()
        assert [tuple(row.values()) for row in rows] == [("account", "42", "user.locked", {"email": "ada@example.com"})]
