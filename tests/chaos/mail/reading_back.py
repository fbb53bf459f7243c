"""What the run left behind: the table against the topic, the deliveries against the sink."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from devstack.sink.client import SinkClient
from tests.support.checker import read_committed
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from devstack import Stack
    from tests.chaos.mail.writing import Writer

SETTLE_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Findings:
    """The counts of one run; `wrong` says which of them break a promise."""

    committed: int
    in_kafka: int
    lost: int
    doubled: int
    made_up: int
    out_of_order: int
    deliveries: dict[str, int] = field(default_factory=dict)
    without_delivery: int = 0
    mails: int = 0
    mails_doubled: int = 0
    mails_doubled_outside_in_doubt: int = 0
    sent_without_mail: int = 0

    def wrong(self) -> list[str]:
        """Return a line for each promise that was broken; empty when all held."""
        open_states = {
            state: count for state, count in self.deliveries.items() if state in {"queued", "claimed", "sending"}
        }
        found = {
            "events lost": self.lost,
            "events doubled": self.doubled,
            "events made up": self.made_up,
            "events out of order": self.out_of_order,
            "events without a delivery": self.without_delivery,
            "mails doubled outside in_doubt": self.mails_doubled_outside_in_doubt,
            "deliveries sent that no server saw": self.sent_without_mail,
            "deliveries still open": sum(open_states.values()),
        }
        return [f"{count} {what}" for what, count in found.items() if count]


def read_back(servers: Stack, *, writer: Writer) -> Findings:
    """Return the findings once nothing moves any more."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        wait_until(
            lambda: _settled(connection), timeout_seconds=SETTLE_SECONDS, what="deliveries of every event to settle"
        )
        rows = connection.execute("select event_id::text, aggregate_id, id from outbox.event").fetchall()
        events = {row[0]: (row[1], row[2]) for row in rows}
        deliveries: dict[str, int] = dict(
            connection.execute("select state, count(*) from outbox.delivery group by state").fetchall()
        )
        without = connection.execute(
            "select count(*) from outbox.event e"
            " where not exists (select from outbox.delivery d where d.event_id = e.event_id)"
        ).fetchone()
        doubtful = {
            str(row[0])
            for row in connection.execute(
                "select d.message_uuid from outbox.delivery d where d.state = 'in_doubt' or exists"
                " (select from outbox.attempt a where a.delivery_id = d.id and a.outcome = 'in_doubt')"
            )
        }
        sent = {
            str(row[0]) for row in connection.execute("select message_uuid from outbox.delivery where state = 'sent'")
        }
    read = [(one.event_id, one.key) for one in read_committed(servers.kafka_bootstrap, ["outbox.event.user"])]
    seen = Counter(event_id for event_id, _ in read)
    mails = Counter(
        message.message_id.strip("<>").partition("@")[0] for message in SinkClient(servers.inbox_url).messages()
    )
    assert writer.committed == len(events), "the writer's own count disagrees with the table"
    return Findings(
        committed=len(events),
        in_kafka=len(read),
        lost=len(events.keys() - seen.keys()),
        doubled=sum(count - 1 for count in seen.values()),
        made_up=len(seen.keys() - events.keys()),
        out_of_order=_out_of_order(read, events),
        deliveries=deliveries,
        without_delivery=int(without[0]) if without else 0,
        mails=mails.total(),
        mails_doubled=sum(count - 1 for count in mails.values()),
        mails_doubled_outside_in_doubt=sum(count - 1 for uuid, count in mails.items() if uuid not in doubtful),
        sent_without_mail=len(sent - mails.keys()),
    )


def _settled(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "select (select count(*) from outbox.event) = (select count(distinct event_id) from outbox.delivery)"
        " and not exists (select from outbox.delivery where state in ('queued', 'claimed', 'sending'))"
    ).fetchone()
    return bool(row and row[0])


def _out_of_order(read: list[tuple[str, str]], events: dict[str, tuple[str, int]]) -> int:
    """Return how many records of a key follow one with a higher id; late committers have keys of their own."""
    last: dict[str, int] = {}
    wrong = 0
    for event_id, key in read:
        if event_id in events:
            row_id = events[event_id][1]
            wrong += row_id < last.get(key, 0)
            last[key] = max(row_id, last.get(key, 0))
    return wrong
