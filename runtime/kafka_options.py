"""Which librdkafka options may be passed through: not those that the guarantee rests on, nor ours."""

from collections.abc import Mapping
from typing import Final

_POSITION = "the position travels in the same Kafka transaction as the events"
_UNCLEAN = "a page is clean only when its commit was answered within fixed times"

REFUSED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "it is kafka_bootstrap",
    "metadata.broker.list": "it is kafka_bootstrap",
    "transactional.id": f"{_POSITION}, and its name fences a predecessor",
    "transaction.timeout.ms": "a broker must end a dead relay's transaction before its successor gives up waiting",
    "enable.idempotence": "without it a retried request doubles events",
    "enable.gapless.guarantee": "it follows from idempotence",
    "acks": "an event is published once every in-sync replica has it",
    "request.required.acks": "an event is published once every in-sync replica has it",
    "max.in.flight": "idempotence needs 5 at most, and order needs idempotence",
    "max.in.flight.requests.per.connection": "idempotence needs 5 at most, and order needs idempotence",
    "retries": "idempotence retries safely; fewer retries would fail pages for nothing",
    "message.send.max.retries": "idempotence retries safely; fewer retries would fail pages for nothing",
    "message.timeout.ms": "the transaction's timeout bounds a page; a shorter one drops records from its middle",
    "delivery.timeout.ms": "the transaction's timeout bounds a page; a shorter one drops records from its middle",
    "request.timeout.ms": _UNCLEAN,
    "socket.timeout.ms": _UNCLEAN,
    "partitioner": "a key's partition must be the one that other Kafka clients compute, or its order is lost",
    "message.max.bytes": "it follows the limits of the topics, so that what is too large is found alone",
    "delivery.report.only.error": "delivery reports are how the relay knows what came of a record",
    "debug": "the relay reads the answers to its commits from librdkafka's `eos` log",
    "isolation.level": "a reader of uncommitted records would see what was aborted",
    "enable.auto.commit": "offsets are committed after PostgreSQL has committed",
    "enable.auto.offset.store": "offsets are committed after PostgreSQL has committed",
    "auto.offset.reset": "a reader that loses its offset must not skip to the end",
    "enable.partition.eof": "the position is read to the end of its partition",
    "group.id": "the consumer's group is fixed: a second group would plan every mail again",
    "plugin.library.paths": "it loads foreign code into the process that holds the credentials",
}


def refusals(options: Mapping[str, str]) -> list[str]:
    """Return a sentence for each option that may not be set."""
    return [f"{name!r} cannot be set: {REFUSED[name]}" for name in options if name in REFUSED]
