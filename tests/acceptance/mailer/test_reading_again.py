"""A record is read again after a rebalance and after an offset reset, and owes one mail all the same."""

from collections.abc import Callable

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined] # its stubs lack it

from devstack.providers import Kafka
from tests.acceptance.mailer.pipeline import Pipeline
from tests.support.waiting import wait_until

GROUP = "outbox-mailer"
PARTITIONS = 4


def publish(running: Pipeline, numbers: range) -> None:
    for n in numbers:
        running.publish(aggregate_id=str(n), email=f"u{n}@example.com", new_role="ADMIN")


def owed_once(running: Pipeline, count: int) -> None:
    """Wait until *count* are owed, and see that none is owed twice, nor lost."""
    running.wait_states({"queued": count}, timeout_seconds=90)
    assert running.query("select count(distinct recipient_key) as n from outbox.delivery") == [{"n": count}]


def test_partitions_that_change_hands_owe_nothing_twice(make_pipeline: Callable[..., Pipeline], kafka: Kafka) -> None:
    running = make_pipeline()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_partitions([NewPartitions(running.topic, PARTITIONS)])[running.topic].result(20)
    first = running.consumer().wait_for("mailer.partition.assigned")
    publish(running, range(40))

    second = running.consumer()  # takes some of them over, with records on their way
    publish(running, range(40, 80))
    second.wait_for("mailer.partition.assigned", timeout_seconds=60)
    first.kill()  # and now all of them, from the last commit on
    publish(running, range(80, 120))

    owed_once(running, 120)


def test_a_group_that_is_set_back_to_the_beginning_owes_nothing_twice(
    make_pipeline: Callable[..., Pipeline], kafka: Kafka
) -> None:
    running = make_pipeline()
    consumer = running.consumer()
    publish(running, range(30))
    owed_once(running, 30)
    assert consumer.stop() == 0

    beginning = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(running.topic, 0, 0)])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    [reset] = admin.alter_consumer_group_offsets([beginning]).values()
    assert [one.error for one in reset.result(20).topic_partitions] == [None]
    assert committed(admin, running.topic) == 0
    publish(running, range(30, 40))
    running.consumer()

    # The last were read after all the others were read again.
    owed_once(running, 40)
    wait_until(lambda: committed(admin, running.topic) == 40, timeout_seconds=60, what="the group to have read all")


def committed(admin: AdminClient, topic: str) -> int:
    """Return from where the group would read on."""
    asked = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(topic, 0)])
    [answer] = admin.list_consumer_group_offsets([asked]).values()
    return int(answer.result(20).topic_partitions[0].offset)
