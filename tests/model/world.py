"""Hosts, two relays, PostgreSQL and Kafka together: what can happen next, and what may never have happened.

A fault takes one from the budget; everything else is free. Whatever is left undone is done in the end by a fresh relay
that nothing happens to (`finish`), and then the promise is checked whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relay.machine import State
from tests.model.bounds import Bounds
from tests.model.faults import Action, Relay, possible_faults
from tests.model.kafka_model import PROGRESS, Kafka
from tests.model.postgres_model import Postgres
from tests.model.promise import PromiseBrokenError, check, check_transaction
from tests.model.publishing import END_FAULTS
from tests.model.relay_model import RelayModel
from tests.model.rules import Rules
from tests.model.scripts import perform

# Steps of a relay that touch Kafka only, or nothing.
_KAFKA_ALONE = frozenset({"init", "read", "produce", "end", *END_FAULTS})
_RESTING = frozenset({State.STANDING_BY, State.HALTED, State.STOPPED})
# More steps than any drain of these few events needs.
_DRAIN_STEPS = 300


@dataclass(slots=True)
class World:
    """Everything there is, at one moment."""

    bounds: Bounds
    pg: Postgres
    kafka: Kafka
    relays: Sequence[Relay]
    hosts: tuple[tuple[int, int], ...]  # of each: its next step, and its transaction id
    left: int  # faults that may still happen
    hung: bool = False
    other: int = 0  # the next step of another shard that writes to the same progress partition
    legitimate: tuple[bool, ...] = field(default=())  # had each relay the lease as its renewal began?
    start: Callable[[int, Rules], Relay] = RelayModel

    @classmethod
    def at_the_beginning(cls, bounds: Bounds, start: Callable[[int, Rules], Relay] = RelayModel) -> "World":
        """Return the first state: nothing written, no relay at work; a relay is what *start* makes."""
        producers = 3 if bounds.rules.taking_turns else 2
        kafka = Kafka(producers, slow_markers=bounds.slow_markers)
        relays = [start(number, bounds.rules) for number in range(bounds.relays)]
        world = cls(bounds, Postgres(), kafka, relays, ((0, 0),) * len(bounds.hosts), bounds.faults)
        world.legitimate, world.start = (True,) * bounds.relays, start
        if bounds.bootstrapped:
            world.run_to_the_end(world.relays[0])
        return world

    def copy(self) -> "World":
        """Return a copy; what is immutable is shared."""
        return World(
            self.bounds, self.pg.copy(), self.kafka.copy(), [relay.copy() for relay in self.relays], self.hosts,
            self.left, self.hung, self.other, self.legitimate, self.start,
        )  # fmt: skip

    def key(self) -> int:
        """Return what tells two states apart, as a hash of 64 bits."""
        relays = tuple(relay.key(self.kafka) for relay in self.relays)
        rest = (self.hosts, self.left, self.hung, self.other, self.legitimate)
        return hash((self.pg.key(), self.kafka.key(), relays, rest))

    def actions(self) -> tuple[list[Action], list[Action]]:
        """Return what can happen next by itself, and which faults can."""
        free: list[Action] = []
        if not self._hosts_can_wait():
            free = [("host", n, op) for n in range(len(self.hosts)) if (op := self._host_step(n)) is not None]
        faults: list[Action] = []
        for relay in self.relays:
            for choice in relay.choices(self.pg, self.kafka):
                (faults if choice in END_FAULTS else free).append(("relay", relay.number, choice))
        free += [("late", 0, "an EndTxn that was held arrives")] if self.kafka.late else []
        free += [("markers", producer, "") for producer, busy in enumerate(self.kafka.deciding) if busy is not None]
        if not self.bounds.rules.own_partition:
            free += [("other", 0, "")] if self.other < 2 else []
        if not self.left:
            return free, []
        wanted = [action for action in faults if "EndTxn" in self.bounds.kinds]
        return free, [*wanted, *possible_faults(self.bounds.kinds, self.relays, self.pg, self.kafka)]

    def _hosts_can_wait(self) -> bool:
        """Return whether the only relay at work is about to do what no host notices: the two orders are one.

        While another relay is at work, or may be, nothing is left out.
        """
        busy = [relay for relay in self.relays if relay.at != "dead" and relay.state not in _RESTING]
        if len(busy) != 1 or self.pg.holder != busy[0].number:
            return False
        choices = busy[0].choices(self.pg, self.kafka)
        return bool(choices) and all(choice in _KAFKA_ALONE for choice in choices)

    def _host_step(self, number: int) -> str | None:
        at, _ = self.hosts[number]
        script = self.bounds.hosts[number]
        if at == len(script):
            return None
        op = script[at]
        if op.startswith("insert"):
            key, mine = op.removeprefix("insert "), dict(self.pg.running).get(self.hosts[number][1], ())
            if self.pg.open_key(key) and not any(row.key == key for row in mine):
                return None  # it waits for the lock of the aggregate
        return op

    # ---------------------------------------------------------------------------------------------- what happens

    def do(self, action: Action) -> str:
        """Have *action* happen, and return it in words; raise PromiseBrokenError if it breaks the promise at once."""
        what, number, how = action
        if what not in ("host", "relay", "late", "markers", "other") or how in END_FAULTS:
            self.left -= 1
        words = self._do(what, number, how)
        self._check_finished()
        return words

    def _check_finished(self) -> None:
        for transaction in self.kafka.finished:
            check_transaction(transaction)
        self.kafka.finished.clear()

    def _do(self, what: str, number: int, how: str) -> str:  # noqa: C901, PLR0911  # a line an action
        match what:
            case "host":
                return f"host {number}: {self._host(number, how)}"
            case "relay":
                return f"relay {number}: {self._relay(number, how)}"
            case "late":
                self.kafka.deliver_late(self.kafka.late[0])
            case "markers":
                self.kafka.write_markers(number)
                return f"Kafka: the markers of producer {number} are written"
            case "lose markers":
                self.kafka.lose_markers(number)
                self.hung = True
                return f"! Kafka: the markers of producer {number} are lost"
            case "other":
                return self._another_shard()
            case "kill":
                self.relays[number].kill()
                self.pg.disconnect(number)
                return f"! relay {number} is killed"
            case "end session":
                self.pg.disconnect(number)
                return f"! relay {number} was paused: PostgreSQL ends its session"
            case "crash PostgreSQL":
                self._crash(keep=bool(number))
                return f"! PostgreSQL crashes, {how}"
            case "time out":
                self.kafka.time_out(number)
                return f"! Kafka: the transaction of producer {number} times out"
            case _:
                raise ValueError(what)
        return f"Kafka: {how}"

    def _host(self, number: int, op: str) -> str:
        at, xid = self.hosts[number]
        xid = xid or self.pg.assign()
        told = perform(op, self.pg, xid=xid, name=f"{number}.{at}")
        self._set_host(number, at + 1, xid)
        return told

    def _set_host(self, number: int, at: int, xid: int) -> None:
        xid = 0 if at == len(self.bounds.hosts[number]) else xid
        self.hosts = (*self.hosts[:number], (at, xid), *self.hosts[number + 1 :])

    def _relay(self, number: int, choice: str) -> str:
        relay = self.relays[number]
        before = relay.state
        if choice == "init" and not self.legitimate[number] and self.pg.holder not in (None, number):
            raise PromiseBrokenError("a relay whose lease had passed on before it renewed fences its successor")
        words = relay.act(choice, self.pg, self.kafka)
        if relay.state is State.RENEWING and before is not State.RENEWING:
            self.legitimate = (*self.legitimate[:number], self.pg.holder == number, *self.legitimate[number + 1 :])
        if relay.state is State.HALTED and not self.hung:
            raise PromiseBrokenError(f"relay {number} {words}, although no history was lost")
        return words

    def _crash(self, *, keep: bool) -> None:
        if keep:
            self.pg.flush()
        self.pg.crash()
        prepared = {xid for xid, _ in self.pg.image.prepared}
        for number in (number for number, (_, xid) in enumerate(self.hosts) if xid and xid not in prepared):
            self._set_host(number, len(self.bounds.hosts[number]), 0)

    def _another_shard(self) -> str:
        producer = len(self.kafka.epochs) - 1
        self.other += 1
        if self.other == 1:
            self.kafka.produce(producer, self.kafka.epochs[producer], partition=PROGRESS, value="another", first=True)
            return "another shard: produces its position"
        self.kafka.end(producer, self.kafka.epochs[producer])
        return "another shard: commits"

    # ------------------------------------------------------------------------------------------------- the end

    def run_to_the_end(self, relay: Relay) -> None:
        """Have *relay* alone publish what is committed."""
        for _ in range(_DRAIN_STEPS):
            for producer, commit in enumerate(self.kafka.deciding):
                if commit is not None:
                    self.kafka.write_markers(producer)
            choices = relay.choices(self.pg, self.kafka)
            if not choices and relay.at == "read" and any(self.kafka.added):
                self.kafka.time_out_all()  # sooner than the relay would give up
                continue
            if not choices:
                return
            relay.act(choices[0], self.pg, self.kafka)
            self._check_finished()
        raise PromiseBrokenError(f"a fresh relay does not come to an end: it is at {relay.at!r}")

    def finish(self) -> None:
        """End every relay, have a fresh one publish the rest, and check the promise; raise if it is broken."""
        if self.other == 1:
            self._another_shard()
        self._drain()
        if self.hung:
            self.kafka.resolve_hanging(commit=not self.bounds.resolved_by_guess)
            self._drain()
        check(self.pg.image, self.kafka, self.bounds.rules)

    def _drain(self) -> None:
        for relay in self.relays:
            self.pg.disconnect(relay.number)
        fresh = self.start(99, self.bounds.rules)
        self.run_to_the_end(fresh)
        self.pg.disconnect(99)
        if fresh.state is State.HALTED and not self.hung:
            raise PromiseBrokenError("a fresh relay halts, although no history was lost")
        if fresh.at not in ("idle", "halted"):
            raise PromiseBrokenError(f"a fresh relay waits for ever: it is at {fresh.at!r}")
        fresh.kill()
