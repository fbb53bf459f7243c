"""Why nothing can be written: which partitions lack a leader or copies in sync. Asked only after something failed."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from relay.lease import Installation
from relay.replicas import Replicas, partition_of, summary
from relay.topics import Topics

TRANSACTIONS = "__transaction_state"
_ANSWER = 5.0  # seconds until we say that nobody answers; whoever does ends the wait
_CONNECT = 0.5  # seconds until a broker counts as gone


def shortage(topics: Topics, installation: Installation, shard: int) -> str | None:
    """Return in words where nothing can be written of what *shard* writes to; None if that is not why we fail.

    That is its partition of the progress topic, the coordinator's log, and every topic that a relay here has published
    to. Raise SinkUnavailableError if no broker says so.
    """
    metadata = topics.cluster(seconds=_ANSWER)
    log = metadata.topics.get(TRANSACTIONS)
    parts = len(log.partitions) if log is not None else 0
    own = {installation.progress_topic: shard}
    if parts:
        own[TRANSACTIONS] = partition_of(installation.transactional_id(shard), parts)
    names = topics.seen | own.keys()
    thin = [one for one in copies(metadata, names, own) if one.thin]
    # Without a majority of the controllers nobody answers for settings: what was seen before has to do.
    judged = [replace(one, min_in_sync=topics.min_in_sync(one.topic)) for one in thin]
    return summary(one for one in judged if one.short) or None


def copies(metadata: Any, names: frozenset[str], own: Mapping[str, int]) -> list[Replicas]:  # noqa: ANN401  # the driver's own class
    """Return the copies of each partition of *names*; of those topics where one partition is our *own*, of that."""
    parts = [(name, part) for name, part in _partitions(metadata, names) if own.get(name, part.id) == part.id]
    wanted = {broker for _, part in parts for broker in part.replicas}
    present = frozenset(broker for broker in wanted if takes_connections(metadata, broker))
    return [
        Replicas(name, part.id, part.leader, frozenset(part.replicas), frozenset(part.isrs), present)
        for name, part in parts
    ]


def _partitions(metadata: Any, names: frozenset[str]) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # the driver's own class
    for name in sorted(names & metadata.topics.keys()):
        for part in metadata.topics[name].partitions.values():
            yield name, part


def takes_connections(metadata: Any, broker: int) -> bool:  # noqa: ANN401  # the driver's own class
    """Return whether *broker* is there: the others may list it for ever, while the controllers have no majority."""
    listed = metadata.brokers.get(broker)
    if listed is None:
        return False
    try:
        with socket.create_connection((listed.host, listed.port), timeout=_CONNECT):
            return True
    except OSError:
        return False
