"""How soon: from a kill to the first event, inserted after it, that a read_committed consumer sees.

One fault at a time, at about 100 events a second, with three relays and the servers started again at once.
"""

import contextlib
import json
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.evidence import Evidence
from tests.chaos.figures import versions
from tests.chaos.fleet import Fleet
from tests.chaos.journal import Journal
from tests.chaos.observer import Observer
from tests.chaos.plan import FaultKind, Plan, seeded
from tests.chaos.world import World
from tests.support.checker import check
from tests.support.topics import TopicAdmin
from tests.support.waiting import wait_until

_RATE = 100.0
_VISIBLE = 120.0
_INSERT = (
    "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
    " values (%s, %s, 'thing.happened', json_build_object('at', %s::float8))"
)


class Metronome:
    """Inserts an event every 10 ms, with the moment in it; goes on as soon as PostgreSQL is back."""

    def __init__(self, world: World, kind: str) -> None:
        """Prepare."""
        self._world = world
        self._kind = kind
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metronome", daemon=True)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Insert for the length of the block."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(30)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            with contextlib.suppress(psycopg.OperationalError), self._world.connect() as connection:
                while not self._stop.wait(1 / _RATE):
                    number += 1
                    connection.execute(_INSERT, (self._kind, str(number % 50), time.monotonic()))
            self._stop.wait(0.02)


def measure(*, kills: int, seed: int, record: Path | None) -> int:
    """Measure each kind *kills* times, print the figures, and return 0 when every event was published once."""
    plan = Plan.of(seed, seconds=0.0)
    evidence = Evidence(plan)
    evidence.watch(kills * 3 * 60.0)
    journal, kind = Journal(evidence.folder), f"r{uuid.uuid4().hex[:10]}"
    with World.started() as world:
        TopicAdmin(world.broker.bootstrap).create(f"outbox.event.{kind}", partitions=3)
        observer = Observer(world.broker.bootstrap, [f"outbox.event.{kind}"], partitions=3)
        observer.start()
        with Fleet(world, planned=plan, journal=journal, folder=evidence.folder / "relays", direct=True) as fleet:
            with Metronome(world, kind).beating():
                found = _each(world, fleet, observer, kills=kills, seed=seed)
            fleet.end()
            fleet.drain()
        observer.stop(30)
        check(world.dsn, world.broker.bootstrap)
        ran = versions(world.rows("show server_version")[0][0])
    evidence.watch_no_more()
    line = json.dumps({"recovery": found, "seed": seed, "rate": _RATE, "versions": ran, "wrong": journal.wrong})
    print(line)
    if record:
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    if journal.wrong:
        return 1
    evidence.discard()
    return 0


def _each(world: World, fleet: Fleet, observer: Observer, *, kills: int, seed: int) -> dict[str, Any]:
    """Return the figures by kind."""
    never = threading.Event()
    chance = seeded(seed, "recovery")
    faults: dict[str, Callable[[], object]] = {
        str(FaultKind.KILL): lambda: fleet.kill_holder(chance),
        str(FaultKind.BROKER): lambda: world.kill_broker(never, 0),
        str(FaultKind.POSTGRES): lambda: world.crash_postgres(never, 0),
    }
    found = {}
    for what, fault in faults.items():
        times = []
        for _ in range(kills):
            _flowing(observer, pause=chance.uniform(1, 2))
            times.append(_recovered(observer, fault))
            print(f"{what}: {times[-1]:.2f} s", flush=True)
        ordered = sorted(times)
        found[what] = {
            "n": len(times),
            "min": round(ordered[0], 3),
            "p50": round(statistics.median(ordered), 3),
            "max": round(ordered[-1], 3),
        }
    return found


def _flowing(observer: Observer, *, pause: float) -> None:
    """Return once events have arrived, soon after their insert, for *pause* seconds."""
    since: list[float] = []

    def steady() -> bool:
        now = time.monotonic()
        if now - observer.latest_emitted_at > 0.5:
            since.clear()
        elif not since:
            since.append(now)
        return bool(since) and now - since[0] >= pause

    wait_until(steady, timeout_seconds=_VISIBLE, what="events to flow")


def _recovered(observer: Observer, fault: Callable[[], object]) -> float:
    """Return the seconds from *fault* to the first sight of an event that was inserted after it."""
    began = time.monotonic()
    done = threading.Thread(target=fault, name="fault", daemon=True)
    done.start()
    seen_at = wait_until(
        lambda: observer.first_since(began), timeout_seconds=_VISIBLE, what="an event that was inserted after the fault"
    )
    done.join(_VISIBLE)
    return seen_at - began
