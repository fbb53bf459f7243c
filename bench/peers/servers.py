"""The servers of the peers' benches: PostgreSQL with logical decoding, Kafka, every table and every topic."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.limit_process import PROGRESS
from bench.limit_process import TOPIC as LIMIT
from bench.peers import outboxes
from bench.peers.connect import ConnectWorker
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 6


@contextmanager
def started() -> Iterator[Stack]:
    """Give running servers with tables and topics; all is gone afterwards."""
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        _decode_logically(servers)
        upgrade(servers.database_url)
        with psycopg.connect(servers.database_url) as connection:
            connection.execute(outboxes.TABLES)
        topics = {outbox.topic: PARTITIONS for outbox in outboxes.BY_NAME.values()} | {LIMIT: PARTITIONS, PROGRESS: 1}
        admin = AdminClient({"bootstrap.servers": servers.kafka_bootstrap})
        made = admin.create_topics([NewTopic(topic, partitions, 1) for topic, partitions in topics.items()])
        for future in made.values():
            future.result(30)
        yield servers


@contextmanager
def worker(servers: Stack) -> Iterator[ConnectWorker]:
    """Give a running worker of Kafka Connect."""
    connect = ConnectWorker(servers.folder, servers.kafka_bootstrap)
    connect.start()
    try:
        yield connect
    finally:
        connect.end()


def _decode_logically(servers: Stack) -> None:
    """Restart PostgreSQL with the log level that Debezium needs."""
    assert servers.postgres is not None  # noqa: S101  asked for
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("alter system set wal_level = 'logical'")
    servers.postgres.stop()
    servers.postgres.start()
