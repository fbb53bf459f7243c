"""`faststream_process.py DATABASE_URL BOOTSTRAP [create]`: faststream-outbox as its documentation sets it up for Kafka.

It runs in the environment of `faststream.lock`, which has nothing of ours. Sixteen workers and pages of 500 instead of
one and 10: by default it publishes one row at a time. So many workers keep no order per key; one would.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"
# What it imports is not in the project's environment.

import asyncio
import logging
import sys

from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaResponse
from faststream_outbox import OutboxBroker, make_outbox_table
from faststream_outbox.annotations import OutboxMessage
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

QUEUE, TOPIC, WORKERS = "bench", "bench.faststream", 16

metadata = MetaData()
table = make_outbox_table(metadata, table_name="faststream_outbox")


async def create(database_url: str) -> None:
    """Make the table."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


async def relay(database_url: str, bootstrap: str) -> None:
    """Publish until told to stop."""
    engine = create_async_engine(database_url, pool_size=WORKERS + 4)
    outbox = OutboxBroker(engine, outbox_table=table, logger=None)
    kafka = KafkaBroker(bootstrap, enable_idempotence=True, linger_ms=5, max_batch_size=262_144, logger=None)
    publisher = kafka.publisher(TOPIC)

    @publisher
    @outbox.subscriber(
        QUEUE,
        max_workers=WORKERS,
        fetch_batch_size=500,
        terminal_flush_batch_size=100,
        min_fetch_interval=0.05,
        max_fetch_interval=1.0,
        lease_ttl_seconds=10.0,
    )
    async def publish(body: bytes, message: OutboxMessage) -> KafkaResponse:
        return KafkaResponse(body, key=message.headers["key"].encode())

    await FastStream(outbox, on_startup=[kafka.start], after_shutdown=[kafka.stop]).run(log_level=logging.WARNING)


if __name__ == "__main__":
    url = sys.argv[1].replace("postgresql://", "postgresql+asyncpg://", 1)
    asyncio.run(create(url) if sys.argv[3:] == ["create"] else relay(url, sys.argv[2]))
