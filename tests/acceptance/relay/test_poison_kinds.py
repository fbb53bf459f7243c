"""Rule 8 with everything that Kafka refuses at once, and with an authorizer: only the guilty are given up."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # no __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from devstack import folders
from devstack.kafka import EmbeddedKafka, alone
from devstack.processes import free_port
from tests.support.checker import check
from tests.support.relays import Relays, relays_on
from tests.support.topics import TopicAdmin

RELAY = {
    "kafka_options": '{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",'
    ' "sasl.username": "relay", "sasl.password": "secret"}'
}
MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
# What a relay needs: (kind of resource, how its names begin, operation).
RIGHTS = (
    (ResourceType.TOPIC, "outbox.", AclOperation.ALL),
    (ResourceType.TRANSACTIONAL_ID, "outbox.", AclOperation.ALL),
    (ResourceType.GROUP, "outbox.", AclOperation.READ),
)
TOPIC = "forbidden"
GOOD = 5000


class GuardedKafka(EmbeddedKafka):
    """A broker with an authorizer: who comes without a name may do everything, the user `relay` what he is granted."""

    def __init__(self, folder: Path) -> None:
        port, guarded, controller = free_port(), free_port(), free_port()
        own = alone(port, controller)
        more = {
            "listeners": f"{own['listeners']},GUARDED://127.0.0.1:{guarded}",
            "advertised.listeners": f"{own['advertised.listeners']},GUARDED://127.0.0.1:{guarded}",
            "listener.security.protocol.map": f"{own['listener.security.protocol.map']},GUARDED:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": f'{MODULE} required user_relay="secret";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        super().__init__(folder, port=port, settings={**own, **more})
        self.guarded = f"127.0.0.1:{guarded}"

    def grant(self, kind: ResourceType, name: str, operation: AclOperation) -> None:
        self._change(kind, name, operation, AclPermissionType.ALLOW)

    def deny(self, kind: ResourceType, name: str, operation: AclOperation) -> None:
        self._change(kind, name, operation, AclPermissionType.DENY)

    def allow_again(self, kind: ResourceType, name: str, operation: AclOperation) -> None:
        prefixed, deny = ResourcePatternType.PREFIXED, AclPermissionType.DENY
        wanted = AclBindingFilter(kind, name, prefixed, "User:relay", "*", operation, deny)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.delete_acls([wanted])[wanted].result(20)

    def _change(self, kind: ResourceType, name: str, operation: AclOperation, permission: AclPermissionType) -> None:
        prefixed = ResourcePatternType.PREFIXED
        binding = AclBinding(kind, name, prefixed, "User:relay", "*", operation, permission)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_acls([binding])[binding].result(20)


@pytest.fixture(scope="session")
def guarded_kafka() -> Iterator[GuardedKafka]:
    folder = folders.new_run_folder()
    started = GuardedKafka.started(folder)
    for kind, name, operation in RIGHTS:
        started.grant(kind, name, operation)
    admin = AdminClient({"bootstrap.servers": started.bootstrap})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(20)
    started.grant(ResourceType.TOPIC, TOPIC, AclOperation.DESCRIBE)
    yield started
    started.close()
    folders.remove(folder)


@pytest.fixture
def relays(database: str, guarded_kafka: GuardedKafka, tmp_path: Path) -> Iterator[Relays]:
    with relays_on(database, guarded_kafka.guarded, tmp_path) as started:
        yield started


def insert_good(database: str, kind: str, count: int) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
            " select %s, (n %% 50)::text, 'thing.happened', '{}' from generate_series(1, %s) as n",
            (kind, count),
        )


# By reason: payload, topic, key and headers of an event that Kafka refuses for it. The long key does not compress.
POISON: Mapping[str, str] = {
    "payload_too_large": "json_build_object('pad', repeat('x', 1200000)), null, 'large', null",
    "invalid_topic": "'{}', 'outbox. not a topic', 'nowhere', null",
    "topic_unauthorised": "'{}', 'forbidden', 'forbidden', null",
    "payload_too_large, by headers": "'{}', null, 'heavy', jsonb_build_object('pad', repeat('x', 1200000))",
    "unknown_topic": "'{}', 'outbox.missing', 'missing', null",
    "payload_too_large, by key": (
        "'{}', null, (select string_agg(md5(n::text), '') from generate_series(1, 40000) as n), null"
    ),
}
# The same of events that look no better, and that Kafka takes.
STRANGE = (
    """'{}', null, 'odd', '{"": "no name", "null": null, "nested": {"a": [1]}, "a b": "\\u00e9"}'::jsonb""",
    "'{}', null, 'odd', (select jsonb_object_agg('h' || n, n) from generate_series(1, 20000) as n)",
    "'{}', null, 'odd', jsonb_build_object(repeat('n', 40000), 'a name longer than 32767')",
)


def insert_poison(database: str, kind: str, columns: str) -> None:
    statement = (
        "insert into outbox.event (aggregate_type, type, payload, topic, aggregate_id, headers)"
        f" select '{kind}', 'thing.happened', {columns}"
    )
    with psycopg.connect(database) as connection:
        connection.execute(statement.encode())


def reasons(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute("select reason from outbox.dead_letter order by event_row_id").fetchall()
    return [reason for (reason,) in rows]


# A missing topic may not be made, or none would be unknown.
NO_NEW_TOPICS = {**RELAY, "topics_create": "false"}


def make_topic(kafka: GuardedKafka, kind: str) -> None:
    TopicAdmin(kafka.bootstrap).create(f"outbox.event.{kind}", partitions=3)


@pytest.mark.parametrize("policy", ["park-key", "skip"])
def test_only_the_guilty_of_a_large_batch_are_given_up(
    policy: str, *, database: str, guarded_kafka: GuardedKafka, relays: Relays, aggregate_type: str
) -> None:
    make_topic(guarded_kafka, aggregate_type)
    relays.drain(settings=RELAY)  # makes the progress topic
    for columns in POISON.values():
        insert_good(database, aggregate_type, GOOD // len(POISON))
        insert_poison(database, aggregate_type, columns)
    insert_good(database, aggregate_type, GOOD % len(POISON))

    relays.drain(settings={**NO_NEW_TOPICS, "relay_poison_policy": policy})

    assert reasons(database) == [kind.partition(",")[0] for kind in POISON]
    assert len(check(database, guarded_kafka.bootstrap).published) == GOOD


@pytest.mark.parametrize("columns", POISON.values(), ids=POISON.keys())
def test_with_block_each_of_them_stops_the_shard_and_says_so(
    columns: str, database: str, guarded_kafka: GuardedKafka, relays: Relays, aggregate_type: str
) -> None:
    make_topic(guarded_kafka, aggregate_type)
    relays.drain(settings=RELAY)
    insert_good(database, aggregate_type, 20)
    insert_poison(database, aggregate_type, columns)
    insert_good(database, aggregate_type, 20)

    blocked = relays.start("drain", settings={**NO_NEW_TOPICS, "relay_poison_policy": "block"})

    assert blocked.wait() == 1, blocked.output
    assert "shard 0 is blocked by event" in blocked.output
    assert reasons(database) == []
    assert len(check(database, guarded_kafka.bootstrap, complete=False).published) == 20


def test_headers_that_look_like_poison_are_published(
    database: str, guarded_kafka: GuardedKafka, relays: Relays, aggregate_type: str
) -> None:
    for columns in STRANGE:
        insert_poison(database, aggregate_type, columns)

    relays.drain(settings=RELAY)

    assert reasons(database) == []
    assert len(check(database, guarded_kafka.bootstrap).published) == len(STRANGE)


def installation(database: str) -> str:
    with psycopg.connect(database) as connection:
        row = connection.execute("select 'outbox.' || install_id from outbox.meta").fetchone()
    assert row is not None
    return str(row[0])


# By what is denied: kind of the resource, what its name ends with, the operation, what the relay says to grant.
LACKING: Mapping[str, tuple[ResourceType, str, AclOperation, str]] = {
    "transactional id": (ResourceType.TRANSACTIONAL_ID, ".1.0", AclOperation.WRITE, "--transactional-id outbox."),
    "progress topic, writing": (ResourceType.TOPIC, ".progress", AclOperation.WRITE, "--topic outbox."),
    "progress topic, reading": (ResourceType.TOPIC, ".progress", AclOperation.READ, "--topic outbox."),
    "progress topic, at all": (ResourceType.TOPIC, ".progress", AclOperation.DESCRIBE, "--topic outbox."),
}


@pytest.mark.parametrize("denied", LACKING)
def test_a_right_that_every_page_needs_is_asked_for_and_no_event_is_given_up(
    denied: str, *, database: str, guarded_kafka: GuardedKafka, relays: Relays, aggregate_type: str
) -> None:
    kind, ending, operation, said = LACKING[denied]
    insert_good(database, aggregate_type, 1)
    relays.drain(settings=RELAY)
    guarded_kafka.deny(kind, f"{installation(database)}{ending}", operation)
    insert_good(database, aggregate_type, 200)

    refused = relays.start("drain", settings={**RELAY, "relay_poison_policy": "skip"})

    assert refused.wait() == 1, refused.output
    assert f"kafka-acls --add --allow-principal User:<the relay's> {said}" in refused.output
    assert reasons(database) == []
    guarded_kafka.allow_again(kind, f"{installation(database)}{ending}", operation)
    relays.drain(settings=RELAY)
    assert len(check(database, guarded_kafka.bootstrap).published) == 201
