"""Each loss of the PostgreSQL proxy really happens: what the client is told, and what the server has done."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.postgres_proxy import Cut, Loss, PostgresProxy
from tests.support.waiting import wait_until

INSERT = "insert into kept values (%s)"


@pytest.fixture
def proxy(empty_database: str) -> Iterator[PostgresProxy]:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create table kept (n int)")
    made = PostgresProxy(empty_database)
    yield made
    made.close()


def kept(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        return [n for (n,) in connection.execute("select n from kept order by n").fetchall()]


def test_without_a_cut_everything_passes(empty_database: str, proxy: PostgresProxy) -> None:
    with psycopg.connect(proxy.dsn) as connection:
        connection.execute(INSERT, (1,))

    assert kept(empty_database) == [1]


def test_a_lost_statement_is_not_carried_out(empty_database: str, proxy: PostgresProxy) -> None:
    cut = proxy.cut(Cut("into kept", Loss.STATEMENT, after=1))
    with psycopg.connect(proxy.dsn, autocommit=True) as connection:
        connection.execute(INSERT, (1,))

        with pytest.raises(psycopg.OperationalError):
            connection.execute(INSERT, (2,))

    assert cut.done
    assert kept(empty_database) == [1]


@pytest.mark.parametrize("prepare", [False, True], ids=["at once", "prepared before"])
def test_a_lost_answer_is_of_a_statement_that_was_carried_out(
    prepare: bool,  # noqa: FBT001  # a parameter of the test
    empty_database: str,
    proxy: PostgresProxy,
) -> None:
    cut = proxy.cut(Cut("into kept", Loss.ANSWER, after=1))
    with psycopg.connect(proxy.dsn, autocommit=True) as connection:
        connection.execute(INSERT, (1,), prepare=prepare)

        with pytest.raises(psycopg.OperationalError):
            connection.execute(INSERT, (2,), prepare=prepare)

    assert cut.done
    assert kept(empty_database) == [1, 2]


def test_a_commit_is_sent_and_its_answer_lost(empty_database: str, proxy: PostgresProxy) -> None:
    proxy.cut(Cut("COMMIT", Loss.ANSWER, armed_by="into kept"))
    with psycopg.connect(proxy.dsn) as connection:
        connection.execute("select 1")
        connection.commit()  # not armed yet
        connection.execute(INSERT, (1,))

        with pytest.raises(psycopg.OperationalError):
            connection.commit()

    assert kept(empty_database) == [1]


def test_a_commit_that_is_lost_leaves_nothing(empty_database: str, proxy: PostgresProxy) -> None:
    proxy.cut(Cut("COMMIT", Loss.STATEMENT, armed_by="into kept"))
    with psycopg.connect(proxy.dsn) as connection:
        connection.execute(INSERT, (1,))

        with pytest.raises(psycopg.OperationalError):
            connection.commit()

    assert kept(empty_database) == []


def test_silence_leaves_the_connection_open(proxy: PostgresProxy) -> None:
    cut = proxy.cut(Cut("into kept", Loss.SILENCE))
    connection = psycopg.connect(proxy.dsn, autocommit=True)
    connection.pgconn.send_query(b"insert into kept values (1)")
    connection.pgconn.flush()

    for _ in range(2):
        with psycopg.connect(proxy.dsn, autocommit=True) as other:  # another connection is not concerned
            other.execute("select 1")
    wait_until(lambda: cut.done, timeout_seconds=10, what="the silence")
    assert connection.pgconn.status == psycopg.pq.ConnStatus.OK
    assert connection.pgconn.is_busy()
    proxy.cut_all()
    connection.close()


def test_every_connection_can_be_cut_and_new_ones_are_taken(proxy: PostgresProxy) -> None:
    with psycopg.connect(proxy.dsn, autocommit=True) as connection:
        connection.execute("select 1")

        assert proxy.cut_all() == 1

        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    with psycopg.connect(proxy.dsn) as again:
        assert again.execute("select 1").fetchone() == (1,)


def test_who_is_isolated_loses_its_connection_and_gets_no_other_until_it_rejoins(
    empty_database: str, proxy: PostgresProxy
) -> None:
    with psycopg.connect(proxy.dsn, autocommit=True) as connection:
        connection.execute(INSERT, (1,))
        proxy.isolate()
        with pytest.raises(psycopg.OperationalError):
            connection.execute(INSERT, (2,))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.dsn)

    proxy.rejoin()

    with psycopg.connect(proxy.dsn, autocommit=True) as connection:
        connection.execute(INSERT, (3,))
    assert kept(empty_database) == [1, 3]
