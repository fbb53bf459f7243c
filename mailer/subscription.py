"""Kafka, for the consumer: subscribed, committed records only, and what a message is as a record."""

import logging
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from mailer.planning import ReadRecord
from mailer.settings import MailerSettings
from mailer.telemetry import logger

GROUP = "outbox-mailer"
# Seconds. How long one look for records may take; the stop signal and redriven records wait for it.
_POLL_SECONDS = 0.2
# Milliseconds. A consumer that was killed is missed for so long; brokers refuse less than six seconds by default.
_SESSION_TIMEOUT_MS = 6000

OnPartitions = Callable[[Consumer, list[TopicPartition]], None]


def open_consumer(settings: MailerSettings, *, on_assign: OnPartitions, on_revoke: OnPartitions) -> Consumer:
    """Return a consumer that is subscribed, and that commits nothing by itself."""
    consumer = Consumer(
        {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": _SESSION_TIMEOUT_MS // 3,
            "topic.metadata.refresh.interval.ms": int(settings.mailer_topics_refresh_seconds * 1000),
            "fetch.wait.max.ms": 100,
            "reconnect.backoff.max.ms": 2000,
            **settings.kafka_options,
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": GROUP,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "error_cb": _complain,
        },
        logger=_silent(),
    )
    consumer.subscribe([settings.mailer_topics], on_assign=on_assign, on_revoke=on_revoke)
    return consumer


def _silent() -> logging.Logger:
    """Return a logger that says nothing: what librdkafka writes on stderr by itself arrives as an error, too."""
    silent = logging.getLogger("mailer.kafka.silent")
    silent.propagate = False
    silent.handlers[:] = [logging.NullHandler()]
    return silent


def _complain(error: KafkaError) -> None:
    # Every broker that is looked for in vain says so again and again; what it means for us is in the lag.
    logger().warning("mailer.kafka.complained", error=error.name(), detail=error.str())


def read_messages(consumer: Consumer, limit: int) -> list[Message]:
    """Return what there is, as soon as there is something: `consume` alone would wait for a full batch."""
    first = consumer.poll(_POLL_SECONDS)
    if first is None:
        return []
    return [first, *(consumer.consume(limit - 1, 0.0) if limit > 1 else [])]


def record_of(message: Message) -> ReadRecord:
    """Return *message* as the record that it is."""
    return ReadRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value(),
        headers=_headers(message.headers()),
    )


def _headers(
    headers: dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]] | None,
) -> tuple[tuple[str, bytes | None], ...]:
    pairs = headers.items() if isinstance(headers, dict) else headers or ()
    return tuple((name, value.encode() if isinstance(value, str) else value) for name, value in pairs)
