"""How many copies of a partition there are now, and what that means for whoever writes to it. No I/O.

A broker that is gone may still be listed as in sync: while the controllers have no majority, nobody takes it off. So
what counts is which of the brokers that should hold a copy are there.
"""

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass

# What a reason begins with that is the brokers' to mend: the shard waits, and goes on by itself.
WAITING = "waiting for Kafka"
_NAMED = 3  # partitions in one sentence; the others are counted


@dataclass(frozen=True, slots=True)
class Replicas:
    """The copies of one partition: brokers by id, *in_sync* and *leader* (-1: none) as the brokers list them."""

    topic: str
    partition: int
    leader: int
    replicas: frozenset[int]
    in_sync: frozenset[int]
    present: frozenset[int]  # the brokers that take connections
    min_in_sync: int = 1

    @property
    def alive(self) -> frozenset[int]:
        """Return who has everything and is there."""
        return self.in_sync & self.present

    @property
    def leaderless(self) -> bool:
        """Return whether nobody takes what is written."""
        return self.leader not in self.present

    @property
    def short(self) -> bool:
        """Return whether nothing can be written: no leader, or fewer in sync than `min.insync.replicas`."""
        return self.leaderless or len(self.alive) < self.min_in_sync

    @property
    def thin(self) -> bool:
        """Return whether a copy is missing."""
        return self.alive < self.replicas

    def __str__(self) -> str:
        """Return what there is, and who is missing."""
        led = "no leader, " if self.leaderless else ""
        said = f"{self.topic}/{self.partition}: {led}{len(self.alive)} in sync of min {self.min_in_sync}"
        if missing := self.replicas - self.present:
            return f"{said}, missing broker {_ids(missing)}"
        return f"{said}, behind: broker {_ids(self.replicas - self.alive)}" if self.thin else said


def summary(found: Iterable[Replicas]) -> str:
    """Return the first few of *found* in words, and how many there are beside them."""
    every = sorted(found, key=lambda one: (not one.leaderless, one.topic, one.partition))
    more = f"; and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return "; ".join(str(one) for one in every[:_NAMED]) + more


def known_brokers(alive: Collection[int], replicas: Iterable[Iterable[int]]) -> frozenset[int]:
    """Return the ids of brokers that answer, and of those that should hold a copy of something."""
    return frozenset(alive).union(*replicas)


def partition_of(transactional_id: str, partitions: int) -> int:
    """Return which partition of the transaction log keeps *transactional_id*: by the absolute value of Java's hash."""
    code = 0
    for (unit,) in struct.iter_unpack(">H", transactional_id.encode("utf-16-be")):
        code = (31 * code + unit) & 0xFFFFFFFF
    signed = code - (1 << 32) if code >> 31 else code
    return (0 if signed == -(1 << 31) else abs(signed)) % partitions  # Java's smallest number has no absolute value


def _ids(brokers: Iterable[int]) -> str:
    return ", ".join(str(broker) for broker in sorted(brokers))
