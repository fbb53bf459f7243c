"""From Kafka to deliveries: read committed records, owe what they owe, and only then commit the offsets.

A record that is read again, after a crash, a rebalancing or an offset reset, owes nothing new. A batch is planned whole
before the next is asked for, so that nothing is in flight when partitions are taken away. While PostgreSQL is away the
batch is kept and tried again; while Kafka is away librdkafka keeps looking for it.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from mailer.database import DATABASE_AWAY
from mailer.permits import Permits
from mailer.planning import Plan, ReadRecord
from mailer.settings import MailerSettings
from mailer.subscription import open_consumer, read_messages, record_of
from mailer.telemetry import ConsumerMetrics, logger
from runtime.stopping import StopSignal

# Seconds.
_RECONNECT_SECONDS = 1.0
_PENDING_EVERY_SECONDS = 1.0
_LAG_EVERY_SECONDS = 5.0


class Owing(Protocol):
    """What the consumer needs of the database."""

    def plan(self, records: Sequence[ReadRecord]) -> list[Plan]:
        """Owe what *records* owe and keep what is wrong with them, in one transaction; return what came of each."""
        ...

    def plan_pending(self) -> list[Plan]:
        """Plan again the kept records that an operator sent back; return what came of each."""
        ...


class ConsumerLoop:
    """Consumes until stopped."""

    def __init__(
        self, settings: MailerSettings, *, owing: Owing, permits: Permits, stop: StopSignal, metrics: ConsumerMetrics
    ) -> None:
        """Make one that has not joined its group yet."""
        self._settings = settings
        self._owing = owing
        self._permits = permits
        self._stop = stop
        self._metrics = metrics
        self._log = logger()
        self._alive_at = time.monotonic()
        self._pending_at = 0.0
        self._lag_at = 0.0
        self._assigned = 0
        self._database_is_there = True

    def live(self) -> bool:
        """Return whether the loop has come round lately."""
        return time.monotonic() - self._alive_at < timedelta(minutes=1).total_seconds()

    def ready(self) -> tuple[bool, str]:
        """Return whether records would be planned now, and in words."""
        if not self._database_is_there:
            return False, "PostgreSQL is away"
        return True, f"{self._assigned} partitions assigned"

    def run(self) -> None:
        """Consume until stopped; what was planned is committed before this returns."""
        consumer = open_consumer(self._settings, on_assign=self._on_assign, on_revoke=self._on_revoke)
        try:
            while not self._stop.is_set():
                self._alive_at = time.monotonic()
                self._round(consumer)
        finally:
            consumer.close()

    def _round(self, consumer: Consumer) -> None:
        messages = read_messages(consumer, self._settings.mailer_batch_records)
        records = [record_of(message) for message in messages if self._is_record(message)]
        if records:
            plans = self._insist(lambda: self._owing.plan(records))
            if plans is None:
                return  # stopped while PostgreSQL was away: the offsets stay where they are
            self._commit(consumer, records)
            self._told(plans)
        if time.monotonic() - self._pending_at > _PENDING_EVERY_SECONDS:
            self._told(self._insist(self._owing.plan_pending) or [])
            self._pending_at = time.monotonic()
        if time.monotonic() - self._lag_at > _LAG_EVERY_SECONDS:
            self._measure_lag(consumer)

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise KafkaException(error)
        self._log.warning("mailer.kafka.complained", error=error.name(), detail=error.str())
        return False

    def _insist(self, work: Callable[[], list[Plan]]) -> list[Plan] | None:
        """Return what *work* returns, trying until PostgreSQL is there; nothing when stopped before that."""
        while True:
            try:
                plans = work()
            except DATABASE_AWAY as error:
                self._database_is_there = False
                self._log.warning("mailer.database.lost", error=type(error).__name__)
                self._alive_at = time.monotonic()
                if self._stop.wait(_RECONNECT_SECONDS):
                    return None
            else:
                if not self._database_is_there:
                    self._database_is_there = True
                    self._log.info("mailer.database.found")
                return plans

    def _commit(self, consumer: Consumer, records: Sequence[ReadRecord]) -> None:
        last = {(record.topic, record.partition): record.offset + 1 for record in records}
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in last.items()]
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # Rebalanced or away: whoever reads these records again owes nothing new.
            self._log.warning("mailer.kafka.complained", error=error.args[0].name(), detail=error.args[0].str())

    def _told(self, plans: Sequence[Plan]) -> None:
        """Count and log what was planned, and issue permits for it."""
        lanes = Counter(owed.mail.lane for plan in plans for owed in plan.owed)
        self._issue(lanes)
        for plan in plans:
            for owed in plan.owed:
                self._metrics.planned.labels(owed.mail.name).inc()
            for bad in plan.malformed:
                self._metrics.buried.labels(bad.reason).inc()
                self._log.warning(
                    "mailer.record.buried",
                    topic=plan.record.topic,
                    partition=plan.record.partition,
                    offset=plan.record.offset,
                    event_id=bad.event_id,
                    mail=bad.mail,
                    reason=bad.reason,
                )
        self._metrics.records.inc(len(plans))
        if lanes:
            self._log.info("mailer.batch.planned", records=len(plans), deliveries=lanes.total())

    def _issue(self, lanes: Counter[str]) -> None:
        try:
            self._permits.issue(lanes)
        except DATABASE_AWAY as error:
            # The deliveries are safe; the sweeper issues what is missing here.
            self._log.warning("mailer.permit.publish_failed", error=type(error).__name__)

    def _measure_lag(self, consumer: Consumer) -> None:
        self._lag_at = time.monotonic()
        try:
            partitions = consumer.position(consumer.assignment())
        except KafkaException:
            return  # away, or rebalancing: the next look says more
        lag = 0
        for partition in partitions:
            ends = consumer.get_watermark_offsets(partition, cached=True)
            if partition.offset >= 0 and ends is not None:
                lag += max(0, ends[1] - partition.offset)
        self._metrics.lag.set(lag)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._assigned += len(partitions)
        self._log.info("mailer.partition.assigned", count=len(partitions), topics=_topics(partitions))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # What was read of them is planned and committed already: this is called from within the next look for records.
        consumer.incremental_unassign(partitions)
        self._assigned -= len(partitions)
        self._log.info("mailer.partition.revoked", count=len(partitions), topics=_topics(partitions))


def _topics(partitions: Sequence[TopicPartition]) -> list[str]:
    return sorted({partition.topic for partition in partitions})
