"""The protocol as a Hypothesis state machine: hosts, two relays of the product's own code, and everything that breaks.

Each call of a system is a step of its own here, so that whatever happens between two of them does. After every step
nothing may be published twice, made up or out of order; in the end a fresh relay publishes the rest, and nothing may be
lost. The relays' decisions and the order of their calls are the product's; PostgreSQL and Kafka are the model's.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.model.bounds import Bounds
from tests.model.faults import Relay
from tests.model.promise import PromiseBrokenError, violations
from tests.model.publishing import END_FAULTS
from tests.model.real_relay import RealRelay
from tests.model.rules import AS_IT_IS, Rules
from tests.model.world import World
from tests.support.promises import Kind

Draw = Callable[[st.SearchStrategy[Any]], Any]

WHICH = st.integers(0, 5)  # of those that there are, round and round
MOST_CALLS = 40  # in a row
TURNS = st.integers(0, 2**MOST_CALLS - 1)
UNTIL = ("nothing", "end", "end", "end", "barrier", "produce", "ahead", "read")
MOST_OPEN = 3  # transactions of hosts
ENDS = ("commit", "commit", "commit async", "rollback", "prepare")
FAULTS = ("relay is killed", "session ends", "postgres crashes", "transaction times out")
# As often as they are named. One rule chooses among them: with a rule each, Hypothesis switches some off in each
# example, and a run in which hosts, a relay and a fault meet is rare.
WHAT = (
    *("host inserts",) * 4, *("host ends",) * 5, "host begins", *("second phase",) * 2, *("relay runs",) * 9,
    *("late end arrives",) * 2, *("markers are written",) * 2, "retention runs", "a minute passes",
    *FAULTS, *FAULTS[-1:] * 2,
)  # fmt: skip


def started(number: int, rules: Rules) -> RealRelay:
    """Return a relay of the product's code, each call of which is a step."""
    return RealRelay(number, rules, coarse=False)


class Protocol(RuleBasedStateMachine):
    """Two relays on one shard."""

    start: ClassVar[Callable[[int, Rules], Relay]] = staticmethod(started)
    kept: ClassVar[Rules] = AS_IT_IS
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        """Begin with nothing at all, not even a first position."""
        super().__init__()
        self.world = World.at_the_beginning(Bounds(hosts=(), faults=0, bootstrapped=False))
        self.inserted = 0

    @initialize(slow_markers=st.booleans(), bootstrapped=st.booleans(), faults=st.integers(1, 4))
    def begin(self, *, slow_markers: bool, bootstrapped: bool, faults: int) -> None:
        """Begin, with or without a first position; no more than *faults* happen, or nothing would ever be done."""
        bounds = Bounds(hosts=(), faults=faults, slow_markers=slow_markers, bootstrapped=bootstrapped, rules=self.kept)
        self.world = World.at_the_beginning(bounds, type(self).start)

    @rule(what=st.sampled_from(WHAT), which=WHICH, data=st.data())
    def happens(self, what: str, which: int, data: st.DataObject) -> None:
        """Have *what* happen, if it can."""
        if what not in FAULTS or self.world.left:
            getattr(self, what.replace(" ", "_"))(which, data.draw)

    def _note(self, what: str) -> None:
        self.seen[what] += 1

    # ---------------------------------------------------------------------------------------------------- hosts

    def _open(self, which: int) -> int | None:
        running = self.world.pg.running
        return running[which % len(running)][0] if running else None

    def host_begins(self, which: int, draw: Draw) -> None:
        """Have a host begin a transaction, of which no log record tells yet."""
        del which, draw
        if len(self.world.pg.running) < MOST_OPEN:
            self.world.pg.assign()

    def host_inserts(self, which: int, draw: Draw) -> None:
        """Have a host insert, in a new transaction if none is open."""
        tx = self._open(which)
        self._insert(self.world.pg.assign() if tx is None else tx, draw(st.sampled_from("ab")))

    def _insert(self, tx: int, key: str) -> None:
        mine = dict(self.world.pg.running)[tx]
        if self.world.pg.open_key(key) and not any(row.key == key for row in mine):
            return  # it waits for the lock of the aggregate
        self.inserted += 1
        self.world.pg.insert(tx, key, f"e{self.inserted}")
        self._note("insert")

    def host_ends(self, which: int, draw: Draw) -> None:
        """Have a host end its transaction, or its first phase."""
        if (tx := self._open(which)) is None:
            return
        match how := draw(st.sampled_from(ENDS)):
            case "rollback":
                self.world.pg.rollback(tx)
            case "prepare":
                self.world.pg.prepare(tx)
            case _:
                self.world.pg.commit(tx, durable=how == "commit")
        self._note(how)

    def second_phase(self, which: int, draw: Draw) -> None:
        """Have a host commit what is prepared."""
        del draw
        if prepared := self.world.pg.image.prepared:
            self.world.pg.commit_prepared(prepared[which % len(prepared)][0])
            self._note("commit prepared")

    # --------------------------------------------------------------------------------------------------- relays

    def relay_runs(self, which: int, draw: Draw) -> None:
        """Have a relay run until it is about to make a call; a bit for each step says which thread makes the next.

        Its first EndTxn may go astray; then it goes on, and what was held arrives before some later call.
        """
        if not self._busy():
            return
        number = self._busy()[which % len(self._busy())]
        until, turns, end = draw(st.sampled_from(UNTIL)), draw(TURNS), draw(st.sampled_from(("end", *END_FAULTS)))
        late = draw(TURNS)
        for step in range(MOST_CALLS):
            if (late >> step) % 4 == 0:
                self.late_end_arrives(which, draw)
            choices = self._choices(number)
            if not choices or (step and until in choices):
                return
            how = choices[(turns >> step) % 2 % len(choices)]
            if how == "end" and self.world.left and self._can_go_astray(number):
                how, end = end, "end"
            self._note(how)
            self.world.do(("relay", number, how))

    def _can_go_astray(self, number: int) -> bool:
        return END_FAULTS[0] in self.world.relays[number].choices(self.world.pg, self.world.kafka)

    def _choices(self, number: int) -> list[str]:
        relay = self.world.relays[number]
        return [how for how in relay.choices(self.world.pg, self.world.kafka) if how not in END_FAULTS]

    def _busy(self) -> list[int]:
        """Return the relays that have something to do."""
        return [relay.number for relay in self.world.relays if self._choices(relay.number)]

    def late_end_arrives(self, which: int, draw: Draw) -> None:
        """Have an EndTxn arrive that was held."""
        del which, draw
        if self.world.kafka.late:
            self._note("late")
            self.world.do(("late", 0, "an EndTxn that was held arrives"))

    def markers_are_written(self, which: int, draw: Draw) -> None:
        """Have a decision reach the partitions."""
        del which, draw
        if self.world.kafka.deciding[0] is not None:
            self.world.do(("markers", 0, ""))

    # --------------------------------------------------------------------------------------------------- faults

    def relay_is_killed(self, which: int, draw: Draw) -> None:
        """Kill a relay; a new process takes its place."""
        del draw
        number = which % 2
        self.world.do(("kill", number, ""))
        fresh = type(self).start(number, self.kept)
        self.world.relays = [fresh if relay.number == number else relay for relay in self.world.relays]
        self.world.legitimate = (True,) * len(self.world.relays)
        self._note("kill")

    def session_ends(self, which: int, draw: Draw) -> None:
        """End the session that has the lease; its relay, which was paused, is a zombie from now on."""
        del which, draw
        if self.world.pg.holder is not None:
            self.world.do(("end session", self.world.pg.holder, ""))
            self._note("zombie")

    def postgres_crashes(self, which: int, draw: Draw) -> None:
        """Crash PostgreSQL; transaction ids that are not on the disk are given again."""
        del draw
        keep = which == 0
        self.world.do(("crash PostgreSQL", int(keep), "loses nothing" if keep else "loses what is not on the disk"))
        self._note("crash")

    def transaction_times_out(self, which: int, draw: Draw) -> None:
        """Have the coordinator abort what is open."""
        del which, draw
        if self.world.kafka.added[0]:
            self.world.do(("time out", 0, ""))
            self._note("time out")

    def retention_runs(self, which: int, draw: Draw) -> None:
        """Delete what is confirmed."""
        del which, draw
        self.world.pg.prune()
        self._note("prune")

    def a_minute_passes(self, which: int, draw: Draw) -> None:
        """Have a relay's clock go on: it reads its last record back, and may write the mirror again."""
        del draw
        relay = self.world.relays[which % 2]
        if isinstance(relay, RealRelay):
            relay.now += 61.0
            self._note("minute")

    # ----------------------------------------------------------------------------------------------- the promise

    @invariant()
    def nothing_is_doubled_made_up_or_out_of_order(self) -> None:
        """Ask the checker, of what is visible so far."""
        wrong = [
            str(one)
            for one in violations(self.world.pg.image, self.world.kafka, complete=False)
            if self.kept.barrier or one.kind is not Kind.BARRIER
        ]
        if wrong:
            raise PromiseBrokenError("; ".join(wrong))

    def teardown(self) -> None:
        """Have everything end, and demand the promise whole."""
        pg = self.world.pg
        for tx, _ in pg.running:
            pg.rollback(tx)
        for tx, _ in pg.image.prepared:
            pg.commit_prepared(tx)
        for relay in self.world.relays:
            relay.kill()
        self.world.finish()
