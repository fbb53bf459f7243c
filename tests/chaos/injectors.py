"""What is done to the system, a function a kind: each returns the word it is counted under, or None for nothing."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos import plan
from tests.chaos.fleet import Fleet
from tests.chaos.plan import FaultKind, Planned
from tests.chaos.world import World
from tests.support.kafka_network import Fault, Injected
from tests.support.postgres_proxy import Cut
from tests.support.waiting import wait_until

# Seconds. What a relay that is paused waits for: a successor; and, sometimes, that PostgreSQL ends its silent session.
_SUCCESSOR = 10.0
_SILENCE = 25.0
_SILENT = 0.1
# At most so many faults wait for a request to happen to: a system that is down makes none.
_PENDING = 3


@dataclass(slots=True)
class Field:
    """Where faults are injected, and those that happen to a later request or statement."""

    world: World
    fleet: Fleet
    stop: threading.Event
    injected: list[Injected] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    def fired(self) -> Counter[str]:
        """Return how often each fault of a request has happened, and how many cuts."""
        found: Counter[str] = Counter()
        for one in self.injected:
            found[f"{one.fault.api.name} {one.fault.action.value}"] += one.fired
        found[str(FaultKind.CUT)] = sum(cut.done for cut in self.cuts)
        return found


def kill(place: Field, chance: random.Random) -> str | None:
    """Kill a relay."""
    return str(FaultKind.KILL) if place.fleet.kill(chance) else None


def terminate(place: Field, chance: random.Random) -> str | None:
    """Ask a relay to end."""
    return str(FaultKind.TERMINATE) if place.fleet.terminate(chance) else None


def drain(place: Field, _chance: random.Random) -> str | None:
    """Run a drain beside the others."""
    return str(FaultKind.DRAIN) if place.fleet.drain() else None


def wake_a_zombie(place: Field, chance: random.Random) -> str | None:
    """Pause the holder of a lease until another has its position, and let it go on; counted if both lived by then.

    Mostly its sessions are ended, which is what makes room for a successor within a second; else its silence does it.
    """
    found = place.fleet.holder(chance)
    if found is None:
        return None
    relay, held = found
    silent = chance.random() < _SILENT
    patience = chance.random() * 0.3
    with place.fleet.paused(relay) as lived:
        since = time.time()
        if not lived:
            return None
        if not silent:
            place.world.terminate(list(held.values()))
        try:
            wait_until(
                lambda: place.stop.is_set() or place.fleet.succeeded(relay, set(held), since=since),
                timeout_seconds=_SILENCE if silent else _SUCCESSOR,
                what=f"a successor of {relay.name}",
            )
        except AssertionError:
            return "relay paused without a successor"
        place.stop.wait(patience)  # the successor gets to publish something
        overlapped = relay.code is None and place.fleet.succeeded(relay, set(held), since=since)
    return str(FaultKind.ZOMBIE) if overlapped else None


def kill_broker(place: Field, chance: random.Random) -> str:
    """Kill the broker and start it again."""
    place.world.kill_broker(place.stop, chance.random())
    return str(FaultKind.BROKER)


def crash_postgres(place: Field, chance: random.Random) -> str | None:
    """End PostgreSQL at once and start it again, or have it recover by itself after a backend is killed."""
    if chance.random() < 0.5:
        return f"{FaultKind.POSTGRES} (a backend killed)" if place.world.kill_backend() else None
    place.world.crash_postgres(place.stop, chance.random())
    return f"{FaultKind.POSTGRES} (immediate)"


def cut(place: Field, chance: random.Random) -> None:
    """Cut a connection to PostgreSQL at one of the next statements."""
    wanted = plan.cut(chance)
    if all(one.done for one in place.cuts if one.text == wanted.text):
        place.cuts.append(place.world.line.cut(wanted))


def end_txn(place: Field, chance: random.Random) -> None:
    """Have something happen to the next EndTxn."""
    _inject(place, chance, plan.END_TXN)


def request(place: Field, chance: random.Random) -> None:
    """Have something happen to the next request of another kind."""
    _inject(place, chance, plan.REQUESTS)


def _inject(place: Field, chance: random.Random, faults: Sequence[Fault]) -> None:
    fault = chance.choice(faults)
    if sum(not one.over for one in place.injected if one.fault.api is fault.api) < _PENDING:
        place.injected.append(place.world.broker.network.inject(fault))


INJECTORS: Final[Mapping[FaultKind, Callable[[Field, random.Random], str | None]]] = {
    FaultKind.KILL: kill,
    FaultKind.ZOMBIE: wake_a_zombie,
    FaultKind.TERMINATE: terminate,
    FaultKind.DRAIN: drain,
    FaultKind.BROKER: kill_broker,
    FaultKind.POSTGRES: crash_postgres,
    FaultKind.CUT: cut,
    FaultKind.END_TXN: end_txn,
    FaultKind.REQUEST: request,
}


def inject(place: Field, planned: Planned) -> str | None:
    """Have *planned* happen, and return the word to count."""
    return INJECTORS[planned.kind](place, random.Random(planned.seed))  # noqa: S311 - replayable, not secret
