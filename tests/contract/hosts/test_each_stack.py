"""What is particular to one stack: its ways to be outside a transaction, its unit of work, its errors."""

import warnings
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from sqlalchemy import Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import outbox
from outbox import Event, OutsideTransactionWarning, UnsupportedHostError
from tests.contract.hosts.stacks import DjangoConnection, SqlAlchemyAsyncConnection, SqlAlchemyAsyncConnectionOnPsycopg

Observer = psycopg.Connection[DictRow]

LOCKED = Event(aggregate_type="account", aggregate_id="42", type="account.locked", payload={})


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    __table_args__ = {"schema": "app"}  # noqa: RUF012 - SQLAlchemy's own form

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    yield engine
    engine.dispose()


def types(observer: Observer) -> list[Any]:
    return [row["type"] for row in observer.execute("select type from outbox.event order by id")]


# ------------------------------------------------------------------------------------------------------ SQLAlchemy
def test_a_session_is_not_flushed(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        account = Account(id=1, state="new")
        session.add(account)

        outbox.insert(session, LOCKED)

        assert account in session.new


def test_a_session_that_has_begun_by_its_first_use_does_not_warn(engine: Engine, observer: Observer) -> None:
    with Session(engine) as session, warnings.catch_warnings():
        warnings.simplefilter("error")
        session.add(Account(id=1, state="new"))
        session.flush()
        outbox.insert(session, LOCKED)
        session.commit()

    assert types(observer) == ["account.locked"]


def test_a_session_stays_usable_and_open_after_the_insert(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        outbox.insert(session, LOCKED)

        assert session.in_transaction()
        assert session.get(Account, 42) is not None


def test_a_failed_host_transaction_refuses_the_event(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Account(id=42, state="the id is taken"))
        with pytest.raises(Exception, match="duplicate key"):
            session.flush()

        session.rollback()
        with pytest.warns(OutsideTransactionWarning):
            outbox.insert(session, LOCKED)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_isolation_level_autocommit_warns_inside_what_looks_like_a_transaction(database: str, driver: str) -> None:
    url = make_url(database).set(drivername=f"postgresql+{driver}")
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    with engine.begin() as connection, pytest.warns(OutsideTransactionWarning, match="AUTOCOMMIT") as warned:
        outbox.insert(connection, LOCKED)

    assert warned[0].filename == __file__
    engine.dispose()


@pytest.mark.parametrize("stack", [SqlAlchemyAsyncConnection, SqlAlchemyAsyncConnectionOnPsycopg])
def test_autocommit_warns_through_the_event_loop_too(database: str, stack: type[SqlAlchemyAsyncConnection]) -> None:
    host = stack(database)
    host.engine = host.engine.execution_options(isolation_level="AUTOCOMMIT")

    with pytest.warns(OutsideTransactionWarning, match="AUTOCOMMIT"), host.transaction() as work:
        work.insert(LOCKED)

    host.close()


def test_a_missing_table_is_an_error_that_names_the_command(empty_database: str) -> None:
    engine = create_engine(make_url(empty_database).set(drivername="postgresql+psycopg"), poolclass=NullPool)

    with engine.begin() as connection, pytest.raises(ProgrammingError) as caught:
        outbox.insert(connection, LOCKED)

    assert caught.value.__notes__ == ["the table outbox.event is missing in this database: run `outbox migrate up`"]
    engine.dispose()


# --------------------------------------------------------------------------------------------------------- psycopg
def test_rows_and_cursors_of_another_kind_make_no_difference(database: str, observer: Observer) -> None:
    with psycopg.connect(database, row_factory=dict_row, cursor_factory=psycopg.RawCursor) as connection:
        connection.execute("select 1")
        outbox.insert(connection, LOCKED)

    assert types(observer) == ["account.locked"]


def test_a_cursor_is_refused_before_anything_is_sent(database: str) -> None:
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        with pytest.raises(UnsupportedHostError, match=r"got psycopg\.Cursor"):
            outbox.insert(cursor, LOCKED)

        assert connection.info.transaction_status == TransactionStatus.IDLE


def test_the_first_statement_of_a_psycopg_transaction_warns(database: str) -> None:
    with psycopg.connect(database) as connection, pytest.warns(OutsideTransactionWarning):
        outbox.insert(connection, LOCKED)


def test_autocommit_of_psycopg_warns(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection, pytest.warns(OutsideTransactionWarning):
        outbox.insert(connection, LOCKED)


def test_a_role_without_the_right_is_told_which_grant_it_needs(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("set local role pg_monitor")

        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            outbox.insert(connection, LOCKED)

    assert caught.value.__notes__ == [
        "this role may not insert events: grant it outbox_writer (`outbox migrate grants` prints how)"
    ]


def test_a_read_only_transaction_is_told_so(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("set transaction read only")

        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            outbox.insert(connection, LOCKED)

    assert caught.value.__notes__[0].startswith("this connection is read-only")


# ---------------------------------------------------------------------------------------------------------- Django
def test_django_without_autocommit_is_in_a_transaction(database: str, observer: Observer) -> None:
    host = DjangoConnection(database)
    host.wrapper.set_autocommit(False)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outbox.insert(host.wrapper, LOCKED)
    host.wrapper.commit()

    assert types(observer) == ["account.locked"]
    host.close()


def test_django_says_what_a_missing_table_needs(empty_database: str) -> None:
    host = DjangoConnection(empty_database)

    with pytest.raises(Exception, match="outbox") as caught, host.transaction() as work:
        work.insert(LOCKED)

    assert any("outbox migrate up" in note for note in caught.value.__notes__)
    host.close()
