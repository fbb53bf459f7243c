"""What is done to the system: a function a kind of fault, called by that kind's own thread."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from devstack.providers import Kafka, Postgres
from mailer.subscription import GROUP
from tests.chaos.journal import Journal
from tests.chaos.scripted.fleet import Fleet
from tests.chaos.scripted.plan import Fault, place
from tests.chaos.scripted.server import MailServer
from tests.chaos.scripted.traffic import PARTITIONS, TOPIC
from tests.chaos.scripted.traps import Trap, Traps

# Seconds for a connection to come to where a trap is.
_TRAP_WAITS = 25.0
_SETTLED = """
select id from outbox.dead_letter where stage = 'deliver' and resolved_at is null order by random() limit 3
"""
_DOUBTFUL = "select delivery_id from outbox.dead_letter where reason = 'in_doubt' and resolved_at is null limit 1"
_QUEUED = "select id from outbox.delivery where state = 'queued' order by random() limit 1"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that can be broken. *stop* ends the storm; *settled* has the deliveries that a person decided on."""

    dsn: str
    lease_seconds: float
    postgres: Postgres
    kafka: Kafka
    servers: Sequence[MailServer]
    traps: Traps
    fleet: Fleet
    journal: Journal
    stop: threading.Event = field(default_factory=threading.Event)
    settled: set[int] = field(default_factory=set)
    mending: threading.Lock = field(default_factory=threading.Lock)


def _kill_at(world: World, chance: random.Random) -> None:
    alone = chance.random() < 0.6  # Celery's child, as the kernel ends what takes too much memory; else all of it

    def spring(port: int) -> None:
        world.fleet.kill_owner(port, alone=alone)

    _lay(world, chance, Fault.KILL_AT, spring)


def _pause_at(world: World, chance: random.Random) -> None:
    paused = []

    def spring(port: int) -> None:
        if (process := world.fleet.pause_owner(port)) is not None:
            paused.append(process)

    _lay(world, chance, Fault.PAUSE_AT, spring)
    if paused:
        world.stop.wait(world.lease_seconds + chance.uniform(0.5, 3.0))
    for process in paused:
        world.fleet.resume(process)


def _lay(world: World, chance: random.Random, kind: Fault, spring: Callable[[int], object]) -> None:
    step, after = place(chance)
    trap = Trap(step, after, spring)
    world.traps.lay(trap)
    sprung = trap.sprung.wait(_TRAP_WAITS)
    world.traps.take_away(trap)
    where = f"{'after' if after else 'at'} {step}"
    world.journal.count(f"{kind}: {where}" if sprung else f"not reached: {where}")


def _kill(world: World, chance: random.Random) -> None:
    world.fleet.kill(chance.choice(world.fleet.kinds("worker")))
    world.journal.count(Fault.KILL)


def _terminate(world: World, chance: random.Random) -> None:
    world.fleet.terminate(chance.choice(world.fleet.kinds("worker")))
    world.journal.count(Fault.TERMINATE)


def _consumer(world: World, chance: random.Random) -> None:
    world.fleet.kill(chance.choice(world.fleet.kinds("consumer")))
    world.journal.count(Fault.CONSUMER)


def _sweeper(world: World, chance: random.Random) -> None:
    world.fleet.kill(chance.choice(world.fleet.kinds("sweeper")))
    world.journal.count(Fault.SWEEPER)


def _postgres(world: World, chance: random.Random) -> None:
    with world.mending:
        world.postgres.crash()
        world.fleet.broker_was_lost()
        world.journal.count(Fault.POSTGRES)
        if chance.random() < 0.4:  # what it had read and not yet owed must be read again
            world.stop.wait(chance.uniform(0.5, 2.0))
            world.fleet.kill(chance.choice(world.fleet.kinds("consumer")))
            world.journal.count(f"{Fault.CONSUMER}, PostgreSQL away")
        world.stop.wait(chance.uniform(0.1, 2.0))
        world.postgres.start()


def _broker(world: World, chance: random.Random) -> None:
    with world.mending:
        world.kafka.crash()
        world.journal.count(Fault.BROKER)
        world.stop.wait(chance.uniform(0.1, 3.0))
        world.kafka.start()


def _away(world: World, chance: random.Random) -> None:
    chosen = world.servers if chance.random() < 0.3 else [chance.choice(world.servers)]
    for server in chosen:
        server.away = True
    world.journal.count(Fault.AWAY)
    world.stop.wait(chance.uniform(0.5, 4.0))
    for server in chosen:
        server.away = False


def _offsets(world: World, _: random.Random) -> None:
    with world.mending:
        if set_back(world):
            world.journal.count(Fault.OFFSETS)


def set_back(world: World) -> bool:
    """Have everything read again, and return whether Kafka agreed: a member not yet missed keeps its offsets."""
    names = world.fleet.kinds("consumer")
    for process in [world.fleet.terminate(name, hold=True) for name in names]:
        process.wait(60)
    try:
        return _set_back(world.kafka.bootstrap)
    except KafkaException as error:
        world.journal.note("offsets stayed", error=str(error))
        return False
    finally:
        for name in names:
            world.fleet.release(name)


def _set_back(bootstrap: str) -> bool:
    offsets = [TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP, offsets)], request_timeout=10)
    return all(answer.result(15) for answer in asked.values())


def _operator(world: World, chance: random.Random) -> None:
    """Redrive some dead letters, say that one in doubt arrived, or cancel what is queued."""
    try:
        with psycopg.connect(world.dsn, autocommit=True) as connection:
            lot = chance.random()
            if lot < 0.6:
                for (letter,) in connection.execute(_SETTLED).fetchall():
                    connection.execute("select outbox.redrive(%s, 'chaos')", (letter,))
                    world.journal.count("redriven")
            elif found := connection.execute(_DOUBTFUL if lot < 0.8 else _QUEUED).fetchone():
                as_state = "sent" if lot < 0.8 else "cancelled"
                world.settled.add(found[0])
                connection.execute("select outbox.settle_delivery(%s, %s, 'chaos')", (found[0], as_state))
                world.journal.count(f"{as_state} by an operator")
    except psycopg.Error as error:  # it has moved on, or PostgreSQL is away
        world.journal.note("an operator was refused", error=str(error))


INJECTORS: Mapping[Fault, Callable[[World, random.Random], None]] = {
    Fault.KILL_AT: _kill_at,
    Fault.PAUSE_AT: _pause_at,
    Fault.KILL: _kill,
    Fault.TERMINATE: _terminate,
    Fault.CONSUMER: _consumer,
    Fault.SWEEPER: _sweeper,
    Fault.POSTGRES: _postgres,
    Fault.BROKER: _broker,
    Fault.AWAY: _away,
    Fault.OFFSETS: _offsets,
    Fault.OPERATOR: _operator,
}
