"""Three relays that are started again whenever they end, as a supervisor would, and the ways to hurt one."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.exits import ExitCode
from tests.chaos import plan
from tests.chaos.forked import ForkedRelay, prepare
from tests.chaos.journal import Journal
from tests.chaos.world import World
from tests.support.servers import unreachable
from tests.support.waiting import wait_until

RELAYS = 3
# Seconds.
_LOOK = 0.05
_AGAIN = 0.5  # until a relay that found its servers away is started again
_END = 60.0  # SIGTERM is obeyed within 5 on a machine that is not as busy as ours
_DRAIN = 40.0
# A kill hits a relay that holds a lease this often.
_HOLDER = 0.65


class Fleet:
    """Relays by slot; an ended one is judged and replaced by a thread that does nothing else."""

    def __init__(
        self, world: World, *, planned: plan.Plan, journal: Journal, folder: Path, direct: bool = False
    ) -> None:
        """Prepare; nothing runs before the block is entered. *direct*: with no proxies, and no crash points."""
        self._world = world
        self._seed = planned.seed
        self._journal = journal
        self._folder = folder
        folder.mkdir()
        settings = {
            "database_url": world.dsn if direct else world.line.dsn,
            "kafka_bootstrap": world.broker.bootstrap if direct else world.broker.network.bootstrap,
            **({} if direct else planned.shape.settings()),
        }
        self._environment = {
            **unreachable(os.environ),  # noqa: TID251 - theirs is ours, but for our settings
            **{f"OUTBOX_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.armed = not direct  # whether relays that are started may kill themselves at a crash point
        self._started = 0
        self._slots: list[ForkedRelay] = []
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        """Start the relays."""
        prepare()
        self._slots = [self._start("run") for _ in range(RELAYS)]
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what is left."""
        self._keep_no_more()
        for relay in self._slots:
            relay.send(signal.SIGKILL)

    # ---------------------------------------------------------------------------------------------- what hurts

    def kill(self, chance: random.Random) -> bool:
        """Kill a relay, more often one at work; return whether there was one."""
        with self._lock:
            relay = self._victim(chance)
            if relay is None:
                return False
            relay.killed = relay.send(signal.SIGKILL)
            return relay.killed

    def kill_holder(self, chance: random.Random) -> None:
        """Kill a relay that holds a lease."""
        relay, _ = wait_until(lambda: self.holder(chance), timeout_seconds=_END, what="a relay to hold a lease")
        relay.killed = relay.send(signal.SIGKILL)

    def terminate(self, chance: random.Random) -> bool:
        """Ask a relay to end, and return once it has; accuse it if it does not."""
        relay = self._victim(chance)
        if relay is None:
            return False
        relay.asked = True
        if not relay.send(signal.SIGTERM):
            return False
        self._await_end(relay)
        return relay.code == 0

    def drain(self, environment: Mapping[str, str] | None = None) -> bool:
        """Run a drain beside, and return whether it ended by itself and well; one that takes long is killed."""
        relay = self._start("drain", environment)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: relay.code is not None, timeout_seconds=_DRAIN, what=f"{relay.name} to end")
        relay.killed = relay.send(signal.SIGKILL)
        wait_until(lambda: relay.code is not None, timeout_seconds=_END, what=f"{relay.name} to be dead")
        self._judge(relay)
        return relay.code == 0

    def holder(self, chance: random.Random) -> tuple[ForkedRelay, dict[int, int]] | None:
        """Return a relay that holds leases and is not paused, with the backend by shard."""
        held = self._world.holders()
        with self._lock:
            relays = [r for r in self._slots if not r.paused and not r.asked and r.backends() & set(held.values())]
        if not relays:
            return None
        relay = chance.choice(relays)
        return relay, {shard: backend for shard, backend in held.items() if backend in relay.backends()}

    def succeeded(self, relay: ForkedRelay, shards: set[int], *, since: float) -> bool:
        """Return whether another relay has come to a position on one of *shards* since a moment of the wall clock."""
        with self._lock:
            others = [other for other in self._slots if other is not relay]
        return any(
            told["at"] > since and told["shard"] in shards
            for other in others
            for told in other.seen("relay.position.accepted")[-5:]
        )

    @contextlib.contextmanager
    def paused(self, relay: ForkedRelay) -> Iterator[bool]:
        """Pause *relay* for the length of a block; gives whether it lived."""
        with self._lock:
            relay.paused = True
        try:
            yield relay.send(signal.SIGSTOP)
        finally:
            relay.send(signal.SIGCONT)
            relay.paused = False

    def _victim(self, chance: random.Random) -> ForkedRelay | None:
        holding = self.holder(chance) if chance.random() < _HOLDER else None
        with self._lock:
            others = [relay for relay in self._slots if not relay.paused and not relay.asked and relay.code is None]
            found = holding[0] if holding else None
            return found if found in others else (chance.choice(others) if others else None)

    # --------------------------------------------------------------------------------------------- what mends

    def end(self) -> None:
        """End every relay in order, and accuse those that do not end with 0."""
        self._keep_no_more()
        for relay in self._slots:
            relay.asked = True
            relay.send(signal.SIGTERM)
        for relay in self._slots:
            self._await_end(relay)
            self._judge(relay)

    def show_stacks(self) -> None:
        """Have every relay write down where its threads are."""
        for relay in self._slots:
            relay.send(signal.SIGUSR2)

    def _keep_no_more(self) -> None:
        self._stop.set()
        self._keeper.join(_END)

    def _await_end(self, relay: ForkedRelay) -> None:
        try:
            wait_until(lambda: relay.code is not None, timeout_seconds=_END, what=f"{relay.name} to end")
        except AssertionError:
            relay.send(signal.SIGUSR2)
            self._journal.accuse(f"{relay.name} did not end within {_END:.0f} s of SIGTERM")
            relay.killed = relay.send(signal.SIGKILL)

    def _start(self, mode: str, environment: Mapping[str, str] | None = None) -> ForkedRelay:
        with self._lock:
            self._started += 1
            number = self._started
        given = {**self._environment, **(environment or {})}
        place = plan.crash_point(plan.seeded(self._seed, "crash", number))
        if self.armed and place is not None:
            given["OUTBOX_TEST_CRASH_AT"] = place
        return ForkedRelay(f"{number:05}-{mode}", mode, environment=given, folder=self._folder)

    def _keep(self) -> None:
        """Replace what has ended, until the run is over."""
        due = [0.0] * RELAYS
        while not self._stop.wait(_LOOK):
            for slot in range(RELAYS):
                relay = self._slots[slot]
                if relay.code is None:
                    continue
                if relay.code > 0 and due[slot] == 0.0:
                    due[slot] = time.monotonic() + _AGAIN
                if time.monotonic() >= due[slot]:
                    self._judge(relay)
                    with self._lock:
                        self._slots[slot] = self._start("run")
                    due[slot] = 0.0

    def _judge(self, relay: ForkedRelay) -> None:
        """Count how *relay* ended, and accuse it if nothing that was done to it explains it."""
        code, last = relay.code, (relay.output().strip().splitlines() or [""])
        accuse = partial(self._journal.accuse, f"{relay.name} ended with {code}: {' | '.join(last[-3:])}")
        for told in relay.seen("relay.shard.halted"):
            self._journal.accuse(f"{relay.name} stopped shard {told['shard']}: {told['reason']}")
        if code == -signal.SIGKILL:
            if not relay.killed:
                self._journal.count("relay killed at a crash point", relay=relay.name, place=relay.crash_at)
        elif code == ExitCode.FAILED:
            reasons = [line for line in last if line.startswith("error:")]
            self._journal.count("relay found its servers away", relay=relay.name, reason=reasons[-1:])
            if not reasons or "Traceback" in relay.output():
                accuse()
        elif code == -signal.SIGTERM and relay.asked and not relay.output():
            self._journal.count("relay asked to end before it could hear", relay=relay.name)
        elif code != ExitCode.DONE or not (relay.asked or relay.mode == "drain"):
            accuse()
