"""Read what is compared after a run: the tables, once nothing moves any more, and the mails that the server took."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import psycopg

from devstack.sink.client import SinkClient
from tests.chaos.mail.accounts import Attempt, Books, Delivery
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.mail.load import Load

SETTLE_SECONDS = 300
_UNSETTLED = (
    "select (select count(*) from outbox.event e"
    "         where not exists (select from outbox.delivery d where d.event_id = e.event_id))"
    " + (select count(*) from outbox.delivery where state in ('queued', 'claimed', 'sending')"
    "     or state = 'in_doubt' and in_doubt_policy = 'resend' and not resent)"
    " + (select count(*) from outbox.permit)"
)
_DELIVERIES = (
    "select event_id::text, message_uuid::text, state, in_doubt_policy, claim_token is not null from outbox.delivery"
)
_ATTEMPTS = (
    "select d.message_uuid::text, a.outcome, coalesce(a.worker, '')"
    " from outbox.attempt a join outbox.delivery d on d.id = a.delivery_id"
)
# From the insert's transaction to the answer of the server, in seconds.
_LATENCY = (
    "select percentile_cont(array[0.5, 0.95, 0.99, 1]) within group"
    " (order by extract(epoch from a.finished_at - e.created_at)::float8)"
    " from outbox.attempt a join outbox.delivery d on d.id = a.delivery_id"
    " join outbox.event e on e.event_id = d.event_id"
    " where a.outcome = 'accepted'"
)


def read(dsn: str, *, inbox_url: str, load: Load) -> Books:
    """Return what is compared, once every mail has ended and no permit is out; at worst, when time is over."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        wait_until(
            lambda: connection.execute(_UNSETTLED.encode()).fetchone() == (0,),
            timeout_seconds=SETTLE_SECONDS,
            what="every mail to end and every permit to be used",
        )
        deliveries = [Delivery(*row) for row in connection.execute(_DELIVERIES.encode())]
        attempts = [Attempt(*row) for row in connection.execute(_ATTEMPTS.encode())]
    messages = SinkClient(inbox_url).messages()
    return Books(
        acknowledged=load.acknowledged,
        rolled_back=load.rolled_back,
        deliveries=deliveries,
        attempts=attempts,
        mails=Counter(message.message_id.strip("<>").partition("@")[0] for message in messages),
    )


def latency_seconds(dsn: str) -> dict[str, float]:
    """Return how long mails took from the insert to the server's answer."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(_LATENCY.encode()).fetchone()
    found = row[0] if row and row[0] else ()
    return {name: round(value, 2) for name, value in zip(("p50", "p95", "p99", "max"), found, strict=False)}
