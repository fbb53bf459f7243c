"""Hosts of every kind, each a thread whose nth decision is the seed's alone; they survive their server.

All lock the key before they emit (rule 7) but those that write under `free-…`. What a crash undid is gone from the
table, too; so nobody counts here what must arrive: the table says it.
"""

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.chaos.plan import seeded

UNORDERED: Final = "free-"
BIG = 10_000
_INSERT = (
    "insert into outbox.event (aggregate_type, aggregate_id, type, payload, topic)"
    " values (%(kind)s, %(key)s, 'thing.happened', %(payload)s::json, %(topic)s)"
)
_LOCK = "select pg_advisory_xact_lock(outbox.lock_key(%(kind)s, %(key)s))"
_EMIT = "select outbox.emit('thing.happened', %(kind)s, %(key)s, %(payload)s, null, %(topic)s)"
_SCHEDULE = (
    "select outbox.schedule('thing.happened', %(kind)s, %(key)s, %(payload)s, null,"
    " now() + make_interval(secs => %(seconds)s))"
)
_BIG = (
    "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
    " select %(kind)s, %(key)s || '-' || n %% 10, 'thing.happened', json_build_object('n', n)"
    " from generate_series(1, %(count)s) as n"
)
_BIG_LOCKS = (
    "select pg_advisory_xact_lock(outbox.lock_key(%(kind)s, %(key)s || '-' || n)) from generate_series(0, 9) as n"
)
_COPY = "copy outbox.event (aggregate_type, aggregate_id, type, payload) from stdin"
# Nobody waits for long: a prepared transaction keeps its locks over the death of everybody who knew of it.
_LIMITS = "-c lock_timeout=2000 -c statement_timeout=30000"
INVALID_TOPIC = "not a topic"
_TOO_LARGE = 1_300_000
_KEYS = 12

Connection = psycopg.Connection[Any]
Key = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trade:
    """What a host writes to: a database, and names of aggregates that no other run uses."""

    dsn: str
    kinds: Sequence[str]
    other_topic: str


class Host:
    """One thread that takes a step, and another, until it is stopped; `done` counts its transactions by kind."""

    def __init__(self, name: str, trade: Trade, *, seed: int, pause: float, asynchronous: bool = False) -> None:
        """Prepare; the steps come *pause* seconds apart on average. *asynchronous*: with synchronous_commit off."""
        self.name = name
        self.done: Counter[str] = Counter()
        self._trade = trade
        self._seed = seed
        self._pause = pause
        self._options = _LIMITS + (" -c synchronous_commit=off" if asynchronous else "")
        self._prepared: dict[str, tuple[float, str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"host {name}", daemon=True)
        self.broken: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop once the step at hand has ended; return whether it did within *seconds*."""
        self._stop.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        number = 0
        try:
            while not self._stop.is_set():
                with (
                    contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError),
                    self._connect() as connection,
                ):
                    while not self._stop.is_set():
                        number += 1
                        self._step(connection, number, seeded(self._seed, self.name, number))
                self._stop.wait(0.1)
        except BaseException as error:  # noqa: BLE001  # a host that is broken makes the run worthless: it is told of
            self.broken = error

    def _connect(self) -> Connection:
        return psycopg.connect(
            self._trade.dsn, connect_timeout=3, options=self._options, autocommit=True, application_name=self.name
        )

    def _step(self, connection: Connection, number: int, chance: random.Random) -> None:
        """Write one transaction of a kind that *chance* picks."""
        kinds, weights = zip(*WAYS.items(), strict=True)
        (way,) = chance.choices(kinds, weights)
        key = self._key(number, chance)
        pause = chance.expovariate(1 / self._pause)
        try:
            self._finish_prepared(connection)
            way(self, connection, key, chance)
            self.done[way.__name__.strip("_")] += 1
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected):
            self.done["gave up waiting"] += 1
            if not connection.closed:
                connection.execute("rollback")  # of one that was begun by hand
        self._stop.wait(pause)

    def _key(self, number: int, chance: random.Random) -> Key:
        kind, key = chance.choice(self._trade.kinds), f"k{chance.randrange(_KEYS)}"
        payload = json.dumps({"host": self.name, "n": number})
        topic = self._trade.other_topic if chance.random() < 0.1 else None
        return {"kind": kind, "key": key, "payload": payload, "topic": topic}

    # -------------------------------------------------------------------------------------------------- the ways

    def _single(self, connection: Connection, key: Key, _chance: random.Random) -> None:
        with connection.transaction():
            connection.execute(_LOCK, key)
            connection.execute(_INSERT, key)

    def _several(self, connection: Connection, key: Key, chance: random.Random) -> None:
        numbers = sorted(chance.sample(range(_KEYS), chance.randrange(2, 6)))
        with connection.transaction():
            for number in numbers:  # locked in one order by everybody
                connection.execute(_LOCK, key | {"key": f"k{number}"})
            for number in chance.sample(numbers, len(numbers)) * 2:
                connection.execute(_INSERT, key | {"key": f"k{number}"})

    def _emit(self, connection: Connection, key: Key, _chance: random.Random) -> None:
        connection.execute(_EMIT, key)

    def _unlocked(self, connection: Connection, key: Key, chance: random.Random) -> None:
        with connection.transaction():
            for _ in range(chance.randrange(1, 4)):
                connection.execute(_INSERT, key | {"key": f"{UNORDERED}{key['key']}"})

    def _copied(self, connection: Connection, key: Key, chance: random.Random) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_LOCK, key)
            with cursor.copy(_COPY) as copy:
                for _ in range(chance.choice([1, 5, 200])):
                    copy.write_row((key["kind"], key["key"], "thing.happened", key["payload"]))

    def _savepoint_undone(self, connection: Connection, key: Key, _chance: random.Random) -> None:
        with connection.transaction():
            connection.execute(_LOCK, key)
            with connection.transaction():
                connection.execute(_INSERT, key)
                raise psycopg.Rollback
            with connection.transaction():
                connection.execute(_INSERT, key)

    def _undone(self, connection: Connection, key: Key, _chance: random.Random) -> None:
        with connection.transaction(force_rollback=True):
            connection.execute(_LOCK, key)
            connection.execute(_INSERT, key)

    def _two_phase(self, connection: Connection, key: Key, chance: random.Random) -> None:
        """Prepare, and leave the verdict to a later step: perhaps after a crash."""
        gid = f"{self.name}-{key['kind']}-{chance.getrandbits(48):x}"
        verdict = "commit" if chance.random() < 0.8 else "rollback"
        delay = chance.choice([0.0, 0.5, 2.0, 4.0])
        connection.execute("begin")
        connection.execute(_LOCK, key)
        connection.execute(_INSERT, key)
        self._prepared[gid] = (time.monotonic() + delay, verdict)  # first: the answer may get lost
        connection.execute(sql.SQL("prepare transaction {}").format(sql.Literal(gid)))

    def _finish_prepared(self, connection: Connection) -> None:
        for gid, (due, verdict) in list(self._prepared.items()):
            if time.monotonic() >= due:
                with contextlib.suppress(psycopg.errors.UndefinedObject):  # done already, or never prepared
                    connection.execute(sql.SQL(f"{verdict} prepared {{}}").format(sql.Literal(gid)))
                    self.done[f"two-phase {verdict}"] += 1
                del self._prepared[gid]

    def _scheduled(self, connection: Connection, key: Key, chance: random.Random) -> None:
        connection.execute(_SCHEDULE, key | {"seconds": chance.choice([0, 1, 3])})

    def _poison(self, connection: Connection, key: Key, chance: random.Random) -> None:
        """Emit what Kafka never takes: for a topic that cannot exist, or too large."""
        bad: Key = {"topic": INVALID_TOPIC}
        if chance.random() < 0.2:
            bad = {"payload": json.dumps({"pad": "x" * _TOO_LARGE}), "topic": None}
        connection.execute(_EMIT, key | bad)


Way = Callable[[Host, Connection, Key, random.Random], None]
WAYS: Final[Mapping[Way, float]] = {
    Host._single: 30,
    Host._several: 14,
    Host._emit: 14,
    Host._unlocked: 6,
    Host._copied: 7,
    Host._savepoint_undone: 7,
    Host._undone: 8,
    Host._two_phase: 6,
    Host._scheduled: 6,
    Host._poison: 0.8,
}


class Bulk(Host):
    """Writes 10,000 events in one transaction, now and then, by one statement or by COPY."""

    def _step(self, connection: Connection, number: int, chance: random.Random) -> None:
        self._stop.wait(chance.uniform(0.3, 1) * self._pause)
        if self._stop.is_set():
            return
        key = self._key(number, chance) | {"key": f"bulk-{self.name}", "count": BIG}
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_BIG_LOCKS, key)
            if chance.random() < 0.5:
                cursor.execute(_BIG, key)
            else:
                with cursor.copy(_COPY) as copy:
                    for one in range(BIG):
                        copy.write_row((key["kind"], f"{key['key']}-{one % 10}", "thing.happened", key["payload"]))
        self.done["10,000 in one"] += 1


class Patient(Host):
    """Keeps a transaction with events open: for seconds, or until the run ends (or PostgreSQL does)."""

    def _step(self, connection: Connection, number: int, chance: random.Random) -> None:
        key = self._key(number, chance) | {"key": f"long-{self.name}"}
        until = time.monotonic() + (self._pause if self._pause == float("inf") else chance.uniform(1, self._pause))
        with connection.transaction():
            for _ in range(3):
                connection.execute(_LOCK, key)
                connection.execute(_INSERT, key)
            while time.monotonic() < until and not self._stop.wait(0.5):
                connection.execute("select 1")  # a server that is gone ends the waiting
            connection.execute(_INSERT, key)
        self.done["open for the whole run" if until == float("inf") else "open for seconds"] += 1
