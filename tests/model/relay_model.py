"""A relay in steps: the decisions are the product's own, each call to a system is one atomic step.

STANDING_BY and RENEWING are in taking_over.py, READING in reading.py, PUBLISHING in publishing.py. Each names the calls
that its steps stand for; that the product makes the same calls in the same order is shown by test_conformance.py.

Left out: poison, dead letters, parked keys, heartbeats.
"""

from collections.abc import Callable, Mapping

from relay.machine import State
from tests.model import publishing, reading, taking_over
from tests.model.kafka_model import Kafka
from tests.model.postgres_model import ConnectionLostError, Postgres
from tests.model.publishing import END_FAULTS
from tests.model.relay_memory import LeaseLost, Memory

Step = Callable[[Memory, Postgres, Kafka], str]

_STEPS: Mapping[str, Step] = {
    "lock": taking_over.lock,
    "warm up": taking_over.warm_up,
    "epoch": taking_over.epoch,
    "check": taking_over.check,
    "init": taking_over.init,
    "init the other": taking_over.init_the_other,
    "read": taking_over.read,
    "give up": taking_over.give_up,
    "judge": taking_over.judge,
    "mark": taking_over.mark,
    "look": reading.look,
    "mirror": reading.mirror,
    "ahead": reading.ahead,
    "produce": publishing.produce,
    "barrier": publishing.barrier,
    "follow": publishing.follow,
    "follow barrier": publishing.follow_barrier,
    "follow end": publishing.follow_end,
}


class RelayModel(Memory):
    """One relay process."""

    __slots__ = ()

    def choices(self, pg: Postgres, kafka: Kafka) -> list[str]:  # noqa: PLR0911  # a line a step
        """Return the steps that can be next; none while it waits for somebody else, or has nothing to do."""
        match self.at:
            case "halted" | "stopped" | "dead":
                return []
            case "lock":
                return self._standing_by(pg, kafka)
            case "init" | "init the other":
                return [] if kafka.busy(taking_over.next_producer(self)) else [self.at]
            case "read":
                return taking_over.reading_choices(
                    kafka, producers=self.producers, to_end_offset=self.rules.to_end_offset
                )
            case "idle":
                news = self.number not in pg.sessions or pg.snapshot() != self.a
                return ["look"] if news else []
            case "fill":
                return publishing.filling_choices(self, kafka)
            case "commit":
                return publishing.commit_choices(self, kafka)
            case _:
                return [self.at]

    def _standing_by(self, pg: Postgres, kafka: Kafka) -> list[str]:
        if self.dangling is not None:
            return publishing.end_choices(trouble=self.dangling.trouble)
        if pg.holder is None:
            return ["lock"]
        return ["warm up"] if not self.rules.lease_before_producer and not kafka.busy(0) else []

    def kill(self) -> None:
        """End the process."""
        self.at = "dead"

    def act(self, choice: str, pg: Postgres, kafka: Kafka) -> str:
        """Do *choice*, and return what happened in words."""
        try:
            words = self._act(choice, pg, kafka)
        except (ConnectionLostError, LeaseLost) as lost:
            pg.disconnect(self.number)
            self.lose()
            return f"{choice}: {'the connection is gone' if isinstance(lost, ConnectionLostError) else 'fenced'}"
        if self.at == "commit" and self.looked and self.filling.evidence is not None:
            words += f"; {publishing.settle(self)}"
        return words

    def _act(self, choice: str, pg: Postgres, kafka: Kafka) -> str:
        if choice != "end" and choice not in END_FAULTS:
            return _STEPS[choice](self, pg, kafka)
        if self.at == "commit":
            return publishing.end(self.filling, choice, kafka)
        assert self.state is State.STANDING_BY
        assert self.dangling is not None
        words = "for the term that is over, " + publishing.end(self.dangling, choice, kafka)
        self.dangling = None
        return words
