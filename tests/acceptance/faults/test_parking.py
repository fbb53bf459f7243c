"""Keys that are parked, let go, redriven and discarded while relays are killed: in order, nothing lost or doubled."""

import contextlib
import random
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.acceptance.conftest import Verify
from tests.support.checker import Published
from tests.support.relays import Relays
from tests.support.waiting import wait_until

SMALL_PAGES = {"relay_page_rows": 20}
KEYS = 4
# One event in so many cannot be published.
POISON = 25


class Emitter:
    """Emits numbered events per key, a few of them poison, and settles dead letters as an operator would."""

    def __init__(self, dsn: str, *, kind: str, seed: int) -> None:
        """Prepare; *seed* decides what happens."""
        self._dsn = dsn
        self._kind = kind
        self._chance = random.Random(seed)  # noqa: S311 - replayable, not secret
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._emit, self._operate)]
        self.errors: list[Exception] = []

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Emit and operate for the length of the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(20)
        assert not self.errors

    def _emit(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            number = 0
            while not self._stop.wait(0.01):
                number += 1
                # A name that Kafka refuses; it is put right by discarding it, or stays bad when it is redriven.
                topic = "not a topic" if self._chance.randrange(POISON) == 0 else None
                connection.execute(
                    "select outbox.emit('thing.happened', %s, %s, json_build_object('n', %s::int), null, %s)",
                    (self._kind, f"k{self._chance.randrange(KEYS)}", number, topic),
                )

    def _operate(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.wait(0.1):
                try:
                    self._settle(connection)
                except psycopg.Error as error:
                    if error.sqlstate not in ("OB002", "OB003"):  # somebody was faster: only we are there
                        self.errors.append(error)

    def _settle(self, connection: psycopg.Connection[tuple[int, bool]]) -> None:
        letter = connection.execute(
            "select id, behind is null from outbox.dead_letter where resolved_at is null order by random() limit 1"
        ).fetchone()
        if letter is None:
            return
        action = self._chance.choice(["redrive", "discard"]) if letter[1] else "redrive"
        if letter[1] or self._chance.random() < 0.3:
            connection.execute(f"select outbox.{action}(%s, 'a drill')", (letter[0],))


def settle_everything(dsn: str, relays: Relays) -> None:
    """Discard what is parked, and let a relay release what waits, until nothing is left."""
    for _ in range(30):
        with psycopg.connect(dsn, autocommit=True) as connection:
            left = connection.execute(
                "select count(*), count(outbox.discard(id, 'the end')) from outbox.dead_letter"
                " where resolved_at is null and behind is null"
            ).fetchone()
        relays.drain(settings=SMALL_PAGES)
        with psycopg.connect(dsn) as connection:
            open_ones = connection.execute(
                "select count(*) from outbox.dead_letter where resolved_at is null or redrive_pending"
            ).fetchone()
        if left == (0, 0) and open_ones == (0,):
            return
    raise AssertionError("dead letters are left over")


def numbers_in_order(dsn: str, published: list[Published]) -> dict[str, list[int]]:
    """Return by key the numbers that consumers see."""
    with psycopg.connect(dsn) as connection:
        numbers: dict[str, int] = dict(
            connection.execute("select event_id::text, (payload->>'n')::int from outbox.event").fetchall()
        )
    found: dict[str, list[int]] = {}
    for record in published:
        found.setdefault(record.key, []).append(numbers[record.event_id])
    return found


def publish_under_fire(database: str, kind: str, relays: Relays, verify: Verify, *, seed: int, kills: int) -> None:
    emitter = Emitter(database, kind=kind, seed=seed)
    chance = random.Random(seed)  # noqa: S311 - replayable, not secret
    with emitter.working():
        for _ in range(kills):
            relay = relays.start("run", settings=SMALL_PAGES)
            events = chance.randrange(20, 200)
            wait_until(lambda: len(relay.events()) >= events, timeout_seconds=60, what=f"{events} events")  # noqa: B023
            relay.end()
    settle_everything(database, relays)

    seen = verify()

    with psycopg.connect(database) as connection:
        emitted = connection.execute(
            "select aggregate_id, (payload->>'n')::int, topic from outbox.event"
            " where headers is null or not headers ? 'redriven-from' order by id"
        ).fetchall()
        discarded = connection.execute(
            "select count(*) from outbox.dead_letter where resolution = 'discarded' and behind is not null"
        ).fetchone()
    assert discarded == (0,)
    wanted = {key: [n for other, n, topic in emitted if other == key and topic is None] for key, _, _ in emitted}
    assert numbers_in_order(database, list(seen.published)) == {key: wanted[key] for key in wanted if wanted[key]}


def test_order_and_count_hold_while_keys_are_parked_and_let_go(
    database: str, aggregate_type: str, relays: Relays, verify: Verify
) -> None:
    publish_under_fire(database, aggregate_type, relays, verify, seed=3, kills=2)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [21, 22])
def test_order_and_count_hold_over_many_kills(
    seed: int, database: str, aggregate_type: str, relays: Relays, verify: Verify
) -> None:
    publish_under_fire(database, aggregate_type, relays, verify, seed=seed, kills=15)
