"""How Debezium's PostgreSQL connector is set: the outbox event router, exactly once; tuned, and as it comes."""

from __future__ import annotations

from urllib.parse import urlsplit

# What makes it fast: a poll every 10 ms instead of 500, batches that hold a transaction, and no statistics.
TUNED = {
    "poll.interval.ms": "10",
    "statistics.metrics.enabled": "false",
    "producer.override.batch.size": "262144",
    "producer.override.linger.ms": "5",
    "producer.override.max.in.flight.requests.per.connection": "5",
}


def connector(database_url: str, *, name: str, tuned: bool) -> dict[str, str]:
    """Return the configuration of a connector called *name*: so are its slot and publication, table and topic.

    Each connector has a table of its own, because one that rests would publish later what another has published.
    """
    address = urlsplit(database_url)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
        "plugin.name": "pgoutput",
        "database.hostname": str(address.hostname),
        "database.port": str(address.port),
        "database.user": str(address.username),
        "database.password": str(address.password),
        "database.dbname": address.path.removeprefix("/"),
        "topic.prefix": name,
        "slot.name": name,
        "publication.name": name,
        "publication.autocreate.mode": "filtered",
        "table.include.list": f"public.{name}_outbox",
        "snapshot.mode": "no_data",
        "transforms": "outbox",
        "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
        "transforms.outbox.route.topic.replacement": f"bench.{name}",
        **(TUNED if tuned else {}),
    }
