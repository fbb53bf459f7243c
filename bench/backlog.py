"""Events that wait in the outbox before a bench begins."""

from __future__ import annotations

import psycopg

# 300 bytes of JSON, 1,000 aggregates.
_INSERT = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select 'bench', (n %% 1000)::text, 'bench.happened', json_build_object('n', n, 'filler', repeat('x', 280))
from generate_series(1, %s) as n
"""


def insert(database_url: str, count: int) -> None:
    """Commit *count* events in one transaction, and leave the table vacuumed, analysed and written out."""
    with psycopg.connect(database_url) as connection:
        connection.execute(_INSERT, (count,))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("vacuum analyze outbox.event")
        connection.execute("checkpoint")
