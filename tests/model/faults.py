"""What a world needs to know of a relay, and what can befall it and the systems."""

from collections.abc import Collection, Sequence
from typing import Protocol

from relay.machine import State
from tests.model.kafka_model import Kafka
from tests.model.postgres_model import Postgres

Action = tuple[str, int, str]  # what, to whom, how


class Relay(Protocol):
    """A relay in steps: of the model, or the product's own code."""

    number: int

    @property
    def state(self) -> State:
        """Return the state of its machine."""
        ...

    @property
    def at(self) -> str:
        """Return what it is about to do."""
        ...

    def choices(self, pg: Postgres, kafka: Kafka) -> list[str]:
        """Return the steps that can be next."""
        ...

    def act(self, choice: str, pg: Postgres, kafka: Kafka) -> str:
        """Do *choice*, and return it in words."""
        ...

    def kill(self) -> None:
        """End the process."""
        ...

    def copy(self) -> "Relay":
        """Return a copy."""
        ...

    def key(self, kafka: Kafka) -> tuple[object, ...]:
        """Return what tells two states apart."""
        ...


def possible_faults(  # noqa: C901  # a line a fault
    kinds: Collection[str], relays: Sequence[Relay], pg: Postgres, kafka: Kafka
) -> list[Action]:
    """Return which faults of *kinds* can happen now; those of an EndTxn are choices of the relay that sends it."""
    found = []
    for relay in relays:
        if relay.at in ("dead", "halted", "stopped"):
            continue
        if "kill" in kinds and (relay.number in pg.sessions or relay.at != "lock"):
            found.append(("kill", relay.number, ""))
        if "end session" in kinds and relay.number in pg.sessions:
            found.append(("end session", relay.number, ""))
    if "crash PostgreSQL" in kinds:
        found.append(("crash PostgreSQL", 0, "loses what is not on the disk"))
        if pg.durable != pg.image:
            found.append(("crash PostgreSQL", 1, "loses nothing"))
    for producer, added in enumerate(kafka.added):
        if "time out" in kinds and added:
            found.append(("time out", producer, ""))
    for producer, commit in enumerate(kafka.deciding):
        if "lose markers" in kinds and commit:
            found.append(("lose markers", producer, ""))
    return found
