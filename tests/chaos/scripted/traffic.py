"""Events as a relay would publish them: committed, committed twice, malformed, and in transactions that are aborted."""

import contextlib
import json
import logging
import shutil
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its stubs lack it

from outbox.envelope import CloudEventsBinary, StoredEvent
from tests.chaos.plan import seeded

AGGREGATE = "chaos"
TOPIC = f"outbox.event.{AGGREGATE}"
PARTITIONS = 3
_SHIPPED = Path(__file__).parents[3] / "templates"
# A mail that is soon too late (`reading.prepare` shortens its minute): what waits behind an outage expires.
_HURRY = 'event = "user.hurried"\nto = "{{ payload.email }}"\nlane = "bulk"\nexpires_after = "1m"\n'
_MALFORMED, _TWICE, _ABORTED = 0.01, 0.02, 0.01
_KINDS = ("user.registered", "user.role_upgraded", "user.role_upgraded", "user.hurried")


def write_templates(folder: Path) -> Path:
    """Return a library of mails in *folder*: those that are shipped, and one that expires within seconds."""
    shutil.copytree(_SHIPPED, folder)
    shutil.copytree(folder / "role_upgrade", folder / "hurry")
    (folder / "hurry" / "mail.toml").write_text(_HURRY, encoding="utf-8")
    return folder


def make_topic(bootstrap: str, topic: str = TOPIC, partitions: int = PARTITIONS) -> None:
    """Make the topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        made.result(30)


def address(number: int) -> str:
    """Return the recipient of that *number*: the server knows its fate by it."""
    return f"r{number}@chaos.example.com"


@dataclass(slots=True)
class Published:
    """What was committed to Kafka: whom each event is for; those of which no mail can be made."""

    owed: dict[str, str] = field(default_factory=dict)
    malformed: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    aborted: int = 0
    twice: int = 0


class Traffic:
    """Publishes *rate* events a second until told to stop."""

    def __init__(self, bootstrap: str, *, seed: int, rate: float) -> None:
        """Publish to *bootstrap* from the beginning of the block on."""
        self.published = Published()
        self._bootstrap = bootstrap
        self._seed, self._interval = seed, 1 / rate
        self._last: list[tuple[str, str, dict[str, str]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self._encoder = CloudEventsBinary(source="/outbox/chaos")
        options = {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "enable.idempotence": True,
            "message.timeout.ms": 600_000,
        }
        self._producer = Producer(options, logger=_silent())

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """Stop, and wait until Kafka has everything."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, began + number * self._interval - time.monotonic())):
            number += 1
            self._publish(number)
            self._producer.poll(0)
        self._finish()

    def _finish(self) -> None:
        """End each partition with an event that was published before: the marker of an aborted one is no record."""
        for partition in range(PARTITIONS):
            for event_id, kind, payload in self._last:
                self.published.twice += 1
                self._produce(self._producer, event_id, kind, payload, partition=partition)
        self._producer.flush(120)

    def _publish(self, number: int) -> None:
        chance = seeded(self._seed, "event", number)
        kind, lot = chance.choice(_KINDS), chance.random()
        event_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        payload = {"new_role": "ADMIN", "verification_url": f"https://example.com/v/{number}"}
        if lot < _ABORTED:
            self._abort(event_id, kind, payload | {"email": address(number)})
            return
        if lot < _ABORTED + _MALFORMED:
            self.published.malformed.add(event_id)
        else:
            payload["email"] = address(number)
            self.published.owed[event_id] = address(number)
            self._last = [(event_id, kind, payload)]
        again = 1 if lot > 1 - _TWICE else 0
        self.published.twice += again
        for _ in range(1 + again):
            self._produce(self._producer, event_id, kind, payload)

    def _produce(
        self, producer: Producer, event_id: str, kind: str, payload: dict[str, str], *, partition: int = -1
    ) -> None:
        event = StoredEvent(
            event_id=event_id,
            aggregate_type=AGGREGATE,
            aggregate_id=event_id,
            type=kind,
            payload=json.dumps(payload),
            headers=None,
            topic=None,
            created_at="2026-01-01T00:00:00.000000Z",
        )
        record = self._encoder.encode(event)

        def told(error: object, _: object) -> None:
            if error is not None:
                self.published.refused.append(event_id)

        producer.produce(
            TOPIC,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=partition,
            on_delivery=told,
        )

    def _abort(self, event_id: str, kind: str, payload: dict[str, str]) -> None:
        """Publish an event in a transaction that is aborted; one that Kafka is too ill for is left out."""
        options = {
            "bootstrap.servers": self._bootstrap,
            "transactional.id": f"chaos-{event_id}",
            "transaction.timeout.ms": 5000,
        }
        producer = Producer(options, logger=_silent())
        with contextlib.suppress(KafkaException):
            producer.init_transactions(3)
            producer.begin_transaction()
            self._produce(producer, event_id, kind, payload)
            producer.flush(3)
            producer.abort_transaction(3)
            self.published.aborted += 1


def _silent() -> logging.Logger:
    silent = logging.getLogger("tests.chaos.silent")
    silent.propagate = False
    silent.handlers[:] = [logging.NullHandler()]
    return silent
