"""One run: hosts write, everything breaks as planned, then it is calm, everything arrives, and all is read back."""

import contextlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from tests.chaos.evidence import Evidence
from tests.chaos.figures import Figures, found, totals, versions
from tests.chaos.fleet import Fleet
from tests.chaos.hosts import UNORDERED, Bulk, Host, Patient, Trade
from tests.chaos.injectors import Field, inject
from tests.chaos.journal import Journal
from tests.chaos.observer import Observer
from tests.chaos.operator import Operator
from tests.chaos.plan import FaultKind, Plan
from tests.chaos.world import World
from tests.support.checker import WITNESS, Seen, look
from tests.support.hosts import settle_prepared
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

# Seconds.
_STOP = 60.0
_INJECTOR = 150.0  # a broker that is being started gets 90
_ARRIVE = 300.0
_HANGING = 45.0  # Kafka ends what a dead producer left open after 15, and looks every 10
_PARTITIONS = 3


@dataclass(slots=True)
class Storm:
    """A run of *plan* on *world*; what it finds is kept in *evidence*."""

    plan: Plan
    world: World
    evidence: Evidence
    journal: Journal
    hosts: list[Host] = field(default_factory=list)
    seen_in_storm: int = 0
    seen: Seen | None = None
    storm_seconds: float = 0.0
    calm_seconds: float = 0.0
    fired: Counter[str] = field(default_factory=Counter)

    def run(self) -> Figures:
        """Return the figures; what went wrong is among them, and nothing is raised."""
        self.evidence.watch(self.plan.seconds)
        observer = Observer(self.world.broker.bootstrap, self._prepare(), partitions=_PARTITIONS)
        operator = Operator(self.world, seed=self.plan.seed)
        try:
            with Fleet(
                self.world, planned=self.plan, journal=self.journal, folder=self.evidence.folder / "relays"
            ) as fleet:
                with self._reporting("the storm"):
                    self._rage(fleet, observer, operator)
                with self._reporting("the calm"):
                    self._calm(fleet, operator)
                self._demand(observer.stop(_STOP), "the observer ends")
            with self._reporting("the check"):
                self._check()
        finally:
            self.evidence.watch_no_more()
        return self._figures(observer, operator)

    # -------------------------------------------------------------------------------------------------- the parts

    def _prepare(self) -> list[str]:
        """Make topics and hosts, and return the topics that are watched; others are made by the relay."""
        prefix = f"c{uuid.uuid4().hex[:10]}"
        kinds = [f"{prefix}{letter}" for letter in "abc"]
        trade = Trade(self.world.dsn, kinds, f"chaos.{prefix}")
        topics = [f"outbox.event.{kind}" for kind in kinds]
        for topic in topics:
            TopicAdmin(self.world.broker.bootstrap).create(topic, partitions=_PARTITIONS)
        with self.world.connect() as connection:
            connection.execute("update outbox.meta set shards = %s", (self.plan.shape.shards,))
            if self.plan.shape.retention:
                connection.execute(WITNESS)
        seed = self.plan.seed
        self.hosts = [
            *(Host(f"sync-{n}", trade, seed=seed, pause=0.08) for n in range(2)),
            *(Host(f"async-{n}", trade, seed=seed, pause=0.08, asynchronous=True) for n in range(2)),
            Bulk("bulk", trade, seed=seed, pause=40.0),
            Patient("patient", trade, seed=seed, pause=15.0),
            Patient("stubborn", trade, seed=seed, pause=float("inf")),
        ]
        return topics

    def _rage(self, fleet: Fleet, observer: Observer, operator: Operator) -> None:
        """Have the faults happen, each kind in a thread of its own."""
        stop = threading.Event()
        place = Field(self.world, fleet, stop)
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._inject, args=(place, kind, began), name=f"injector: {kind}", daemon=True)
            for kind in FaultKind
        ]
        observer.start()
        operator.start()
        for host in self.hosts:
            host.start()
        for thread in threads:
            thread.start()
        try:
            stop.wait(self.plan.seconds)
        finally:
            stop.set()
            for thread in threads:
                thread.join(_INJECTOR)
                self._demand(not thread.is_alive(), f"{thread.name} ends within {_INJECTOR:.0f} s")
            self.seen_in_storm = observer.seen
            self.fired = place.fired()
            self.storm_seconds = time.monotonic() - began
            self._demand(operator.stop(_STOP), "the operator ends")
            for host in self.hosts:
                self._demand(host.stop(_STOP), f"host {host.name} ends")
                self._demand(host.broken is None, f"host {host.name} works on: {host.broken!r}")
        self._demand(self.seen_in_storm > 0, "something is published while everything breaks")

    def _inject(self, place: Field, kind: FaultKind, began: float) -> None:
        """Have the faults of one kind happen, each at its time or as soon as the one before is over."""
        for planned in self.plan.faults:
            if planned.kind is not kind:
                continue
            if place.stop.wait(max(0.0, began + planned.at - time.monotonic())):
                return
            try:
                what = inject(place, planned)
            except Exception as error:  # noqa: BLE001  # a broken injector makes the run worthless: it is told of
                self.journal.accuse(f"{kind} failed: {error!r}")
                return
            if what is not None:
                self.journal.count(what, planned=planned.at)

    def _calm(self, fleet: Fleet, operator: Operator) -> None:
        """Mend everything, wait until all has arrived, end the relays in order, and drain once more."""
        began = time.monotonic()
        fleet.armed = False
        self.world.mend()
        settle_prepared(self.world.dsn)
        try:
            wait_until(lambda: self._arrived(operator), timeout_seconds=_ARRIVE, what="everything to arrive")
        except AssertionError:
            fleet.show_stacks()
            self.evidence.where_threads_are()
            raise
        finally:
            fleet.end()
            self.calm_seconds = time.monotonic() - began
        self._demand(fleet.drain(), "a last drain ends with 0")

    def _arrived(self, operator: Operator) -> bool:
        """Return whether nothing is left to publish, to release or to settle."""
        try:
            ((backlog, scheduled),) = self.world.rows(
                "select (select sum(backlog)::int from outbox.backlog()), (select count(*)::int from outbox.scheduled)"
            )
            return operator.settle_all() and backlog == scheduled == 0
        except psycopg.OperationalError as error:
            raise AssertionError(str(error)) from error  # it has just crashed; not yet

    def _check(self) -> None:
        """Read everything back."""
        self.seen = look(
            self.world.dsn,
            self.world.broker.bootstrap,
            unordered=UNORDERED,
            parked=self.plan.shape.policy == "park-key",
            patience_seconds=_HANGING,
        )

    # -------------------------------------------------------------------------------------------------- the outcome

    def _figures(self, observer: Observer, operator: Operator) -> Figures:
        faults = self.journal.counts + self.fired
        seen = self.seen
        transactions: Counter[str] = sum((host.done for host in self.hosts), Counter())
        return Figures(
            seed=self.plan.seed,
            seconds=self.plan.seconds,
            shape=self.plan.shape,
            versions=versions(self._postgres_version()),
            faults=dict(sorted(faults.items())),
            totals=totals(faults),
            transactions=dict(sorted(transactions.items())),
            events={
                "committed": len(seen.rows.events) if seen else -1,
                "published": len(seen.published) if seen else -1,
                "dead_letters": len(seen.rows.letters) if seen else -1,
                "settled_by_operator": operator.settled,
                "deleted_by_retention": sum(event.deleted for event in seen.rows.events) if seen else -1,
                "kafka_transactions": len(seen.progress) if seen else -1,
            },
            progress={
                "seen_in_storm": self.seen_in_storm,
                "longest_silence_seconds": observer.longest_silence(),
                "storm_seconds": round(self.storm_seconds, 1),
                "calm_seconds": round(self.calm_seconds, 1),
            },
            found=found(seen.wrong) if seen else {},
            wrong=[*self.journal.wrong, *(str(violation) for violation in (seen.wrong if seen else ()))],
        )

    def _postgres_version(self) -> str:
        with contextlib.suppress(psycopg.Error):
            return str(self.world.rows("show server_version")[0][0])
        return "unknown"

    def _demand(self, holds: object, what: str) -> None:
        """Accuse the run of *what* does not hold."""
        if not holds:
            self.evidence.where_threads_are()
            self.journal.accuse(f"expected that {what}, and it does not")

    @contextlib.contextmanager
    def _reporting(self, part: str) -> Iterator[None]:
        """Note an error of *part* among what went wrong, and go on: the evidence is wanted most then."""
        try:
            yield
        except (Exception, AssertionError) as error:  # noqa: BLE001
            self.journal.accuse(f"{part}: {type(error).__name__}: {error}")


def run(plan: Plan, world: World, evidence: Evidence) -> Figures:
    """Return the figures of *plan* on *world*; evidence of a failed run is kept."""
    storm = Storm(plan, world, evidence, Journal(evidence.folder))
    figures = storm.run()
    evidence.write_lines("figures.json", [figures.line()])
    if figures.wrong:
        evidence.write_lines("wrong.txt", list(figures.wrong))
        evidence.keep_servers(world)
        if storm.seen is not None:
            evidence.keep_records(storm.seen)
    return figures
