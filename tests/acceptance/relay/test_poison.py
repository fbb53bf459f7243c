"""Rule 8: what cannot be published is found alone and kept; its neighbours go on, and its key keeps its order."""

import psycopg
import pytest

from devstack import providers
from tests.acceptance.conftest import Insert
from tests.support.checker import check, read_committed
from tests.support.relays import Relays
from tests.support.topics import TopicAdmin

TOO_LARGE = 1_200_000


def letters(database: str) -> list[tuple[str, str, bool, bool]]:
    """Return reason, key, parks and whether resolved, in the order of the rows."""
    with psycopg.connect(database) as connection:
        return connection.execute(
            "select reason, aggregate_id, parks, resolved_at is not null from outbox.dead_letter order by id"
        ).fetchall()


def resolve(database: str, action: str, key: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "select case %s when 'redrive' then outbox.redrive(id, 'mended') else outbox.discard(id, 'mended') end"
            " from outbox.dead_letter where aggregate_id = %s and behind is null and resolved_at is null",
            (action, key),
        )


def published_numbers(kafka: providers.Kafka, database: str, topic: str, key: str) -> list[int]:
    """Return the `n` of the payloads that consumers of *topic* see under *key*, in order."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("select event_id::text, (payload->>'n')::int from outbox.event").fetchall()
    numbers: dict[str, int] = dict(rows)
    return [numbers[record.event_id] for record in read_committed(kafka.bootstrap, [topic]) if record.key == key]


def test_with_park_key_later_events_of_the_key_wait_and_others_go_on(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(6)
    insert(1, key="sick", pad=TOO_LARGE)
    insert(2, key="sick")
    insert(6)

    relays.drain()

    assert letters(database) == [
        ("payload_too_large", "sick", True, False),
        ("held_behind", "sick", False, False),
        ("held_behind", "sick", False, False),
    ]
    seen = check(database, kafka.bootstrap)
    assert len(seen.published) == 12


def test_a_redriven_head_that_fails_again_parks_its_key_again(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(1, key="sick", pad=TOO_LARGE)
    insert(1, key="sick")
    relays.drain()

    resolve(database, "redrive", "sick")
    relays.drain()

    assert letters(database) == [
        ("payload_too_large", "sick", True, True),
        ("held_behind", "sick", False, True),
        ("payload_too_large", "sick", True, False),
        ("held_behind", "sick", False, False),
    ]
    check(database, kafka.bootstrap)


def test_a_discarded_head_lets_its_key_go_in_order(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    insert(1, key="sick", pad=TOO_LARGE)
    insert(3, key="sick")
    relays.drain()
    insert(2, key="sick")  # committed and not yet read when the key is let go

    resolve(database, "discard", "sick")
    relays.drain()

    assert published_numbers(kafka, database, f"outbox.event.{aggregate_type}", "sick") == [1, 2, 3, 1, 2]
    check(database, kafka.bootstrap)


def test_a_redriven_head_goes_before_what_waited_behind_it(
    database: str, kafka: providers.Kafka, relays: Relays, aggregate_type: str
) -> None:
    topic = f"outbox.event.{aggregate_type}"
    admin = TopicAdmin(kafka.bootstrap)
    admin.create(topic, config={"max.message.bytes": "20000"})
    with psycopg.connect(database, autocommit=True) as connection:
        for number, size in ((1, 50_000), (2, 10), (3, 10)):
            connection.execute(
                "select outbox.emit('thing.happened', %s, 'sick',"
                " json_build_object('n', %s::int, 'pad', repeat('x', %s)))",
                (aggregate_type, number, size),
            )
    relays.drain()
    assert [letter[0] for letter in letters(database)] == ["payload_too_large", "held_behind", "held_behind"]

    admin.alter(topic, "max.message.bytes", "100000")
    resolve(database, "redrive", "sick")
    relays.drain()

    assert published_numbers(kafka, database, topic, "sick") == [1, 2, 3]
    check(database, kafka.bootstrap)


def test_a_topic_with_a_smaller_limit_makes_nobody_elses_event_poison(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert, aggregate_type: str
) -> None:
    topic = f"outbox.event.{aggregate_type}"
    admin = TopicAdmin(kafka.bootstrap)
    admin.create(topic, config={"max.message.bytes": "20000"})
    insert(300, pad=300)
    insert(1, key="large", pad=500_000, topic=f"{topic}.large")
    insert(1, key="sick", pad=50_000)

    drained = relays.drain()

    assert letters(database) == [("payload_too_large", "sick", True, False)]
    assert len(drained.events("relay.page.failed")) == 3, "with others, and twice alone"
    check(database, kafka.bootstrap)


def test_with_skip_later_events_of_the_key_go_on(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(1, key="sick", topic="not a topic")
    insert(2, key="sick")

    relays.drain(settings={"relay_poison_policies": '{"not a *": "skip"}'})

    assert letters(database) == [("invalid_topic", "sick", False, False)]
    assert len(check(database, kafka.bootstrap).published) == 2


def test_with_block_nothing_behind_the_event_is_published(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(2)
    insert(1, key="sick", pad=TOO_LARGE)
    insert(2)

    blocked = relays.start("drain", settings={"relay_poison_policy": "block"})

    assert blocked.wait() == 1
    assert "shard 0 is blocked by event" in blocked.output
    assert letters(database) == []
    assert len(check(database, kafka.bootstrap, complete=False).published) == 2


def test_without_topics_create_a_missing_topic_is_poison(
    database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(2)

    relays.drain(settings={"topics_create": "false", "relay_poison_policy": "skip"})

    assert [reason for reason, *_ in letters(database)] == ["unknown_topic", "unknown_topic"]
    check(database, kafka.bootstrap)


@pytest.mark.parametrize("place", ["relay.dead_letter.written:1", "relay.event.held:1", "relay.key.released:1"])
def test_a_relay_killed_while_it_isolates_leaves_each_event_once(
    place: str, database: str, kafka: providers.Kafka, relays: Relays, insert: Insert
) -> None:
    insert(3)
    insert(1, key="sick", pad=TOO_LARGE)
    insert(2, key="sick")
    insert(3)
    if place.startswith("relay.key"):
        relays.drain()
        resolve(database, "discard", "sick")
        insert(1, key="sick")

    killed = relays.start("drain", crash_at=place)
    assert killed.wait() == -9, killed.output
    relays.drain()

    check(database, kafka.bootstrap)
