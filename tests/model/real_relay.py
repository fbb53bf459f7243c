"""The product's own relay in the model's world: `relay.loop.ShardLoop`, whose every call of a system is a step.

*coarse*: a step is what it is in relay_model.py, so that the two can be compared; otherwise each call is one.
"""

from typing import TYPE_CHECKING, Any, cast

from relay.isolation import Policies
from relay.loop import ShardLoop
from relay.machine import State
from relay.telemetry import Telemetry
from relay.wiring import Wiring
from tests.model.kafka_model import Kafka
from tests.model.positions import INSTALLATION
from tests.model.postgres_model import Postgres
from tests.model.publishing import END_FAULTS, end_choices
from tests.model.real_kafka import ModelEnvelope, ModelReader, ModelSink, ModelTopics
from tests.model.real_postgres import ModelSession, ModelSource
from tests.model.rules import Rules
from tests.model.stepping import Stepper
from tests.model.taking_over import reading_choices

if TYPE_CHECKING:
    from relay.leases import Session
    from relay.patience import Patience
    from relay.progress import ProgressReader
    from relay.source import Source
    from relay.topics import Topics

# What the model takes for one step.
_MERGED = frozenset({"look", "ahead", "judge"})


class RealRelay:
    """One relay process, of the product's code. It cannot be copied: a schedule is replayed instead."""

    def __init__(self, number: int, rules: Rules, *, coarse: bool = True) -> None:
        """Start it; it runs up to its first call."""
        del rules  # it keeps them all
        self.number = number
        self.pg, self.kafka = Postgres(), Kafka()
        self.now = 0.0
        self._sink: ModelSink | None = None
        self._stepper = Stepper(merged=_MERGED if coarse else frozenset())
        self.loop = ShardLoop(self._wiring(), 0, drain=False)
        self.loop._patience.background.close(5)
        self.loop._patience = self.loop._takeover._patience = cast("Patience", self._stepper)
        self._stepper.start(self._run)

    def _run(self) -> None:
        self.loop.run()

    def _wiring(self) -> Wiring:
        return Wiring(
            installation=INSTALLATION,
            envelope=ModelEnvelope(),
            topics=cast("Topics", ModelTopics()),
            telemetry=Telemetry(),
            stop=self,
            policies=Policies("block", {}),
            open_session=lambda _: cast("Session", ModelSession(self, lambda: self._stepper.killed)),
            make_source=lambda _session, _shard: cast("Source", ModelSource(self)),
            make_sink=lambda _: self._made_sink(),
            make_reader=lambda _: cast("ProgressReader", ModelReader(self)),
            clock=lambda: self.now,
        )

    def _made_sink(self) -> Any:
        self._sink = ModelSink(self)
        return self._sink

    # ---------------------------------------------------------------------------------- what its systems ask

    def ask(self, label: str) -> str:
        """Wait to be chosen."""
        return self._stepper.ask(label)

    def reading(self) -> str:
        """Return what a page is read for."""
        return "ahead" if self.loop.state is State.PUBLISHING else "look"

    def is_set(self) -> bool:
        """Return that nobody asks it to stop."""
        return False

    def wait(self, seconds: float) -> bool:
        """Wait for news."""
        del seconds
        if self.loop.state is State.READING:
            self.ask("idle")
        return False

    # ------------------------------------------------------------------------------------- what a world asks

    @property
    def state(self) -> State:
        """Return the state of its machine."""
        return self.loop.state

    @property
    def at(self) -> str:
        """Return what it is about to do."""
        if self._stepper.killed:
            return "dead"
        return self._stepper.asked[0] if self._stepper.asked else str(self.loop.state)

    def choices(self, pg: Postgres, kafka: Kafka) -> list[str]:
        """Return the steps that can be next."""
        self.pg, self.kafka = pg, kafka
        return [choice for label in self._stepper.asked for choice in self._choices(label)]

    def _choices(self, label: str) -> list[str]:  # noqa: PLR0911  # a line a call
        match label:
            case "lock" if self.pg.holder is not None:
                return []
            case "init" if self.kafka.busy(0):
                return []
            case "produce" if self._at_work().produced == 0 and self.kafka.busy(0):
                return []
            case "read":
                return reading_choices(self.kafka)
            case "end":
                return end_choices(trouble=self._at_work().trouble)
            case "idle":
                return ["look"] if self._news() else []
            case _:
                return [label]

    def _at_work(self) -> ModelSink:
        assert self._sink is not None
        return self._sink

    def _news(self) -> bool:
        feed = self.loop._feed
        assert feed is not None
        return self.number not in self.pg.sessions or self.pg.snapshot() != feed.a

    def act(self, choice: str, pg: Postgres, kafka: Kafka) -> str:
        """Do *choice*."""
        self.pg, self.kafka = pg, kafka
        label = {"give up": "read", **dict.fromkeys(END_FAULTS, "end")}.get(choice, choice)
        if label not in self._stepper.asked:
            label = "idle"
        self._stepper.resume(label, choice)
        return choice

    def kill(self) -> None:
        """End the process."""
        self._stepper.kill()

    def copy(self) -> "RealRelay":
        """Refuse: fibers cannot be copied."""
        raise NotImplementedError

    def key(self, kafka: Kafka) -> tuple[object, ...]:
        """Refuse: what the code remembers is not compared."""
        raise NotImplementedError
