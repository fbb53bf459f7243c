"""What may never have happened: the checker's own demands, asked of the model's rows and logs.

They are those that are asked of real servers, `tests/support/promises.py`; `check_transaction` asks on top of them that
what became visible together belongs together, the moment it does.
"""

from collections.abc import Iterator
from typing import Any

from relay.window import digest
from tests.model.kafka_model import EVENTS, PROGRESS, Kafka, Transaction
from tests.model.positions import INSTALLATION, decoded
from tests.model.postgres_image import Image
from tests.model.rules import Rules
from tests.support import promises
from tests.support.promises import Kind, Violation


class PromiseBrokenError(Exception):
    """The model found what must not be."""


def check_transaction(transaction: Transaction) -> None:
    """Raise unless the events that became visible are those of the position that did so with them."""
    positions = [decoded(value) for value in transaction.progress if isinstance(value, bytes)]
    if not positions and not transaction.events:
        return  # another shard's
    ids = [value[0] for value in transaction.events if isinstance(value, tuple)]
    if len(positions) != 1:
        raise PromiseBrokenError(f"ids {ids} became visible with {len(positions)} positions: a page is torn")
    [position] = positions
    assert position is not None
    if (position.n, position.sha) != (len(ids), digest(ids)):
        raise PromiseBrokenError(f"ids {ids} became visible with the position of {position.n} others")


def check(image: Image, kafka: Kafka, rules: Rules) -> None:
    """Raise unless every committed event is published exactly once, in order per key, and the chain is unbroken."""
    wrong = [f"{one}" for one in violations(image, kafka) if rules.barrier or one.kind is not Kind.BARRIER]
    if kafka.last_stable_offset(EVENTS) != kafka.end_offset(EVENTS):
        wrong.append("a transaction is left open")
    if wrong:
        raise PromiseBrokenError("; ".join(wrong))


def violations(image: Image, kafka: Kafka, *, complete: bool = True) -> Iterator[Violation]:
    """Yield what the checker finds; *complete*: everything that is committed has to be published by now."""
    who = INSTALLATION
    events = [
        promises.Event(row.id, row.tx, row.name, ("t", row.key), "t", deleted=row.name in image.deleted)
        for row in image.rows
    ]
    barriers = {(0, seq): promises.Barrier(0, seq, batch.epoch, batch.a, batch.b) for seq, batch in image.batches}
    rows = promises.Rows((who.install, who.gen, who.sysid), 1, events, barriers=barriers)
    seen: list[Any] = list(kafka.read_committed(EVENTS))
    published = [promises.Published("t", 0, n, key, name) for n, (_, name, key) in enumerate(seen)]
    progress = [_facts(value) for value in kafka.read_committed(PROGRESS) if isinstance(value, bytes)]
    yield from promises.exactly_once(rows, published, complete=complete)
    yield from promises.in_order(rows, published)
    for violation in promises.unbroken(rows, progress):
        if not (violation.kind is Kind.BARRIER and image.pruned_seq):  # retention takes barrier rows
            yield violation
    yield from promises.pages(rows, progress)


def _facts(value: bytes) -> dict[str, Any]:
    decoded_value = decoded(value)
    assert decoded_value is not None
    return {name: getattr(decoded_value, name) for name in decoded_value.__slots__}
