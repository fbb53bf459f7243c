"""Mail servers that say nothing, one after the other: an attempt ends before its lease, and asks nobody too late."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from socket import create_server, socket
from uuid import uuid4

import pytest

from mailer.backoff import Backoff
from mailer.means import Means, Pace
from mailer.store import Store
from mailer.tasks import drain
from mailer.transports import open_transport
from tests.integration.mailer.conftest import Query
from tests.integration.mailer.test_pacing import Composer

LEASE = timedelta(seconds=3)


@pytest.fixture
def silent() -> Iterator[list[socket]]:
    """Servers that take connections and never say a word."""
    with ExitStack() as stack:
        servers = [stack.enter_context(create_server(("127.0.0.1", 0))) for _ in range(3)]
        for server in servers:
            server.setblocking(False)  # noqa: FBT003 - the standard library's
        yield servers


def was_contacted(server: socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_slow_transports_in_turn_do_not_outlast_the_lease(
    silent: list[socket], make_store: Callable[..., Store], owe: Callable[..., int], query: Query
) -> None:
    owe()
    names = [f"smtp://127.0.0.1:{server.getsockname()[1]}" for server in silent]
    transports = [open_transport(name) for name in names]
    permit = uuid4()
    query("insert into outbox.permit (id, lane) values (%s, 'default')", permit)
    with ThreadPoolExecutor(1) as executor:
        means = Means(
            store=make_store(lease=LEASE),
            composer=Composer(),
            transports={one.name: one for one in transports},
            orders=[tuple(one.name for one in transports)],
            executor=executor,
            pace=Pace(claim=50, window=8, lease=LEASE, backoff=Backoff()),
            jitter=lambda: 0.5,
            wait=threading.Event().wait,
        )
        began = time.monotonic()

        drain(means, permit=permit)

    # By the transports' own timeouts each would have been given up after half a minute.
    assert time.monotonic() - began < LEASE.total_seconds()
    assert [was_contacted(server) for server in silent] == [True, True, False]
    assert query("select state, attempt, next_attempt_at > now() as later from outbox.delivery") == [
        {"state": "queued", "attempt": 1, "later": True}
    ]
    assert query("select phase, outcome from outbox.attempt") == [{"phase": "connect", "outcome": "transient"}] * 2
