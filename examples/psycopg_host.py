"""A host in one file, on psycopg: a nightly job that locks dormant accounts, a thousand a transaction.

Run it with `python -m examples.psycopg_host postgresql://…`, after examples/plain.sql has made its table.
"""

import sys

import psycopg

import outbox
from outbox import Event

LOCK = """
update app.customer set state = 'locked'
where id in (select id from app.customer where state = 'new' order by id limit %s for update skip locked)
returning id, email
"""


def lock_dormant(connection: psycopg.Connection, *, at_most: int = 1000) -> int:
    """Lock accounts and tell each owner, in one transaction; return how many."""
    with connection.transaction():
        locked = connection.execute(LOCK, (at_most,)).fetchall()
        outbox.insert(
            connection,
            [
                Event(
                    aggregate_type="user",
                    aggregate_id=str(customer_id),
                    type="user.locked",
                    payload={"email": email, "reason": "not used for a year"},
                )
                for customer_id, email in locked
            ],
        )
    return len(locked)


def main() -> None:
    """Lock until none is left."""
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        while count := lock_dormant(connection):
            print(f"locked {count}")


if __name__ == "__main__":
    main()
