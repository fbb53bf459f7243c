"""Several workers on one database, with a transport that has a limit: what its server sees."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

from mailer.backoff import Backoff
from mailer.claims import Claim
from mailer.means import Means, Pace
from mailer.pacing import Limits
from mailer.reply import OutgoingMessage, Reply, accepted
from mailer.store import Store
from mailer.tasks import drain
from tests.integration.mailer.conftest import Query
from tests.support.waiting import wait_until

WORKERS, WINDOW, RATE = 3, 2, 40
# A worker has one window reserved at a time. Its messages may go late, never early: in a second arrive those with a
# slot in it, the one whose slot begins with it, and of every worker a window that was late.
MOST_IN_A_SECOND = RATE + 1 + WORKERS * WINDOW


class Server:
    """Takes everything, and keeps when and what."""

    name = "limited"

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []

    def send(self, message: OutgoingMessage) -> Reply:
        self.log.append((time.monotonic(), message.recipient))
        return accepted(self.name, code=250, text="2.0.0 ok", recipient=message.recipient)


class Composer:
    def content(self, claim: Claim) -> tuple[bytes, str]:
        return b"bytes", f"v{claim.attempt}"

    def outgoing(self, claim: Claim, content: bytes) -> OutgoingMessage:
        return OutgoingMessage("from@example.com", claim.recipient, content, f"<{claim.message_uuid}@example.com>")


def work(store: Store, server: Server, query: Query, *, line: timedelta) -> None:
    """Drain with one permit after another until everything is sent."""
    with ThreadPoolExecutor(WINDOW) as executor:
        means = Means(
            store=store,
            composer=Composer(),
            transports={server.name: server},
            orders=[(server.name,)],
            executor=executor,
            pace=Pace(
                claim=20,
                window=WINDOW,
                lease=timedelta(minutes=1),
                backoff=Backoff(),
                limits=Limits({server.name: RATE}, line),
            ),
            jitter=lambda: 0.5,
            wait=threading.Event().wait,
        )

        def drained() -> bool:
            permit = uuid4()
            query("insert into outbox.permit (id, lane) values (%s, 'default')", permit)
            drain(means, permit=permit)
            return not query("select 1 from outbox.delivery where state in ('queued', 'claimed', 'sending') limit 1")

        wait_until(drained, timeout_seconds=60, what="everything to be sent")


def run_workers(make_store: Callable[..., Store], query: Query, server: Server, *, line: timedelta) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(work, make_store(worker=f"w{n}"), server, query, line=line) for n in range(WORKERS)]:
            done.result()


def most_in_a_second(times: list[float]) -> int:
    return max(bisect_left(times, begin + 1) - n for n, begin in enumerate(times))


def test_workers_keep_a_limit_together_and_lose_nothing(
    make_store: Callable[..., Store], owe: Callable[..., int], query: Query
) -> None:
    owed = [owe() for _ in range(100)]
    server = Server()

    run_workers(make_store, query, server, line=timedelta(seconds=2))

    times = sorted(at for at, _ in server.log)
    assert most_in_a_second(times) <= MOST_IN_A_SECOND
    assert times[-1] - times[0] >= (len(owed) - 1 - WORKERS * WINDOW) / RATE
    assert len(server.log) == len({recipient for _, recipient in server.log}) == len(owed)
    assert query("select state, attempt from outbox.delivery group by 1, 2") == [{"state": "sent", "attempt": 1}]


def test_what_was_turned_away_goes_out_later_and_spends_no_attempt(
    make_store: Callable[..., Store], owe: Callable[..., int], query: Query
) -> None:
    owed = [owe() for _ in range(30)]
    server = Server()
    # Somebody has reserved more than the line is long: the first claims of all go back.
    make_store().reserve({server.name: 0.5}, patience=timedelta(0))

    run_workers(make_store, query, server, line=timedelta(seconds=0.1))

    times = sorted(at for at, _ in server.log)
    assert most_in_a_second(times) <= MOST_IN_A_SECOND
    assert len(server.log) == len({recipient for _, recipient in server.log}) == len(owed)
    assert query("select state, attempt from outbox.delivery group by 1, 2") == [{"state": "sent", "attempt": 1}]
    [row] = query("select count(*) as released from outbox.delivery where next_attempt_at > created_at")
    assert row["released"] > 0
