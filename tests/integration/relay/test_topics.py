"""How topics are made on one broker, and on brokers that say that there are more of them."""

import uuid

import pytest

from devstack import providers
from relay.errors import SinkUnavailableError
from relay.telemetry import Telemetry
from relay.topics import TopicPlan, Topics
from tests.support.topics import TopicAdmin


def topics(kafka: providers.Kafka, events: list[str], *, replication: int | None = None) -> Topics:
    plan = TopicPlan(create=True, partitions=2, replication=replication, min_insync=None)
    return Topics({"bootstrap.servers": kafka.bootstrap}, plan, Telemetry(lambda event, _: events.append(event)))


def test_on_one_broker_a_topic_has_one_replica_and_the_relay_warns(kafka: providers.Kafka) -> None:
    name, events = f"made-{uuid.uuid4().hex[:12]}", list[str]()
    made = topics(kafka, events)

    made.ensure(name)

    found = made.describe(name)
    assert found is not None
    assert (found.partitions, found.replication, found.settings["min.insync.replicas"]) == (2, 1, "1")
    assert found.settings["unclean.leader.election.enable"] == "false"
    assert events == ["relay.topic.created", "relay.topic.unsafe"]


def test_replicas_that_were_asked_for_are_no_reason_to_warn(kafka: providers.Kafka) -> None:
    name, events = f"made-{uuid.uuid4().hex[:12]}", list[str]()

    topics(kafka, events, replication=1).ensure(name)

    assert events == ["relay.topic.created"]


def test_more_replicas_than_there_are_brokers_are_waited_for_where_they_were_asked_for(kafka: providers.Kafka) -> None:
    name = f"made-{uuid.uuid4().hex[:12]}"

    with pytest.raises(SinkUnavailableError, match=r"cannot be created.*replication factor"):
        topics(kafka, [], replication=3).ensure(name)

    assert name not in TopicAdmin(kafka.bootstrap).topics()
