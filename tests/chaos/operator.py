"""Whoever looks after dead letters while everything breaks: redrives some, discards some, and all in the end."""

import contextlib
import random
import threading
from typing import Any

import psycopg

from tests.chaos.plan import seeded
from tests.chaos.world import World

# It is resolved already, or waits behind another: another was faster.
_OVERTAKEN = ("OB002", "OB003")
_HEADS = (
    "select id from outbox.dead_letter where stage = 'publish' and resolved_at is null and behind is null order by id"
)
_OPEN = (
    "select count(*)::int from outbox.dead_letter where stage = 'publish' and (resolved_at is null or redrive_pending)"
)


class Operator:
    """One thread that settles dead letters, a few a second."""

    def __init__(self, world: World, *, seed: int) -> None:
        """Prepare; *seed* decides which are redriven."""
        self._world = world
        self._seed = seed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self.settled = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop; return whether it did within *seconds*."""
        self._stop.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.5):
            number += 1
            with (
                contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError),
                self._world.connect() as connection,
            ):
                self._settle(connection, seeded(self._seed, "operator", number))

    def _settle(self, connection: psycopg.Connection[Any], chance: random.Random) -> None:
        heads = connection.execute(_HEADS).fetchall()
        if heads and chance.random() < 0.5:
            self._act(connection, chance.choice(heads)[0], "redrive" if chance.random() < 0.4 else "discard")

    def settle_all(self) -> bool:
        """Discard every event that is given up, and return whether none is left, nor waits for the relay."""
        with self._world.connect() as connection:
            for (letter,) in connection.execute(_HEADS).fetchall():
                self._act(connection, letter, "discard")
            (left,) = connection.execute(_OPEN).fetchone() or (0,)
            return bool(left == 0)

    def _act(self, connection: psycopg.Connection[Any], letter: int, action: str) -> None:
        try:
            connection.execute(f"select outbox.{action}(%s, 'a drill')".encode(), (letter,))
            self.settled += 1
        except psycopg.Error as error:
            if error.sqlstate not in _OVERTAKEN:
                raise
