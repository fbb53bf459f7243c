"""Retention that deletes as soon as it may, while relays are killed: nothing goes that is not published."""

from collections import Counter

import psycopg

from tests.acceptance.conftest import Writing
from tests.support.checker import read_committed
from tests.support.hosts import settle_prepared
from tests.support.kafka_network import ProxiedKafka
from tests.support.relays import Relays

# Everything that is confirmed goes at once, a few rows at a time.
GREEDY = {
    "relay_page_rows": 20,
    "relay_retention_days": 0.000001,
    "relay_retention_interval_seconds": 0.1,
    "relay_retention_rows": 50,
}
# What is inserted is written down where retention does not reach.
WITNESS = """
create table public.witness (event_id uuid);
create function public.witness() returns trigger language plpgsql as
  $$ begin insert into public.witness values (new.event_id); return null; end $$;
create trigger witness after insert on outbox.event for each row execute function public.witness();
"""


def test_nothing_is_deleted_before_it_is_published(
    database: str, aggregate_type: str, broker: ProxiedKafka, relays: Relays, hosts: Writing
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(WITNESS)
    with hosts():
        for pages in (15, 40, 90):
            relay = relays.start("run", settings=GREEDY)
            relay.wait_for("relay.page.committed", count=pages, timeout_seconds=40)
            relay.wait_for("relay.events.pruned", timeout_seconds=20)
            relay.end()
    settle_prepared(database)
    relays.drain()

    with psycopg.connect(database) as connection:
        committed = [row[0] for row in connection.execute("select event_id::text from public.witness").fetchall()]
        left = connection.execute("select count(*) from outbox.event").fetchone()
    assert left is not None
    assert left[0] < len(committed), "nothing was deleted"
    seen = read_committed(broker.bootstrap, [f"outbox.event.{aggregate_type}"])
    assert Counter(record.event_id for record in seen) == Counter(committed)
