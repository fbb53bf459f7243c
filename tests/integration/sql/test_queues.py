"""Celery's default broker, `pgmq://`, as a login that may do nothing but what outbox_mailer may."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from psycopg import sql

from console.migrate import downgrade, upgrade
from console.migration_files import statement

pytestmark = pytest.mark.versions

OPTIONS = {"init_extension": False, "wait_time_seconds": 0, "use_notify": True, "visibility_timeout": 60}


@pytest.fixture
def mailer(database: str) -> Iterator[str]:
    """The address of the database for a login that is a member of outbox_mailer."""
    name = f"mailer_{uuid4().hex[:8]}"
    parts = urlsplit(database)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            sql.SQL("create role {} login password 'secret' in role outbox_mailer").format(sql.Identifier(name))
        )
        yield f"pgmq://{name}:secret@{parts.hostname}:{parts.port}{parts.path}"
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_kombu_declares_sends_and_receives_as_the_mailer(mailer: str) -> None:
    received: list[object] = []

    def receive(body: object, message: Any) -> None:
        received.append(body)
        message.ack()

    exchange = Exchange("outbox.mail", type="direct")  # type: ignore[no-untyped-call]  # kombu has no types
    queue = Queue("outbox.mail.default", exchange, routing_key="default")  # type: ignore[no-untyped-call]

    for number in range(2):  # the second worker finds the queue
        with Connection(mailer, transport_options=OPTIONS) as connection:  # type: ignore[no-untyped-call]
            with connection.Producer() as producer:
                producer.publish(
                    {"number": number},
                    exchange=queue.exchange,
                    routing_key="default",
                    declare=[queue],
                    serializer="json",
                )
            with connection.Consumer(queue, callbacks=[receive]):
                connection.drain_events(timeout=20)

    assert received == [{"number": 0}, {"number": 1}]


def test_a_pgmq_that_is_there_is_left_alone(empty_database: str) -> None:
    upgrade(empty_database, to="0003")
    heard: list[str | None] = []
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create schema pgmq")
        connection.execute("create table pgmq.meta (theirs text)")
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))

        connection.execute(statement("0004_pgmq.sql"))
        connection.execute(statement("0004_pgmq_grants.sql"))

        functions = connection.execute(
            "select count(*) from pg_proc where pronamespace = 'pgmq'::regnamespace"
        ).fetchone()
        granted = connection.execute("select has_schema_privilege('outbox_mailer', 'pgmq', 'usage')").fetchone()
    assert heard == ["schema pgmq exists and is left alone"]
    assert (functions, granted) == ((0,), (False,))

    upgrade(empty_database)
    downgrade(empty_database)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select count(*) from pgmq.meta").fetchone() == (0,)
