"""Names that other programs rely on: changing one is a major version."""

import psycopg
import pytest

pytestmark = pytest.mark.versions

COLUMNS = {
    "event": "event_id aggregate_type aggregate_id type payload headers topic created_at",
    "dead_letter": "id stage reason detail event_id type aggregate_type aggregate_id delivery_id attempts created_at"
    " resolved_at resolution resolved_by",
    "delivery": "id event_id mail recipient state attempt next_attempt_at",
    "attempt": "delivery_id at transport phase code enhanced_code outcome detail",
}


@pytest.mark.parametrize("table", COLUMNS)
def test_the_columns_of_a_table(transaction: psycopg.Connection, table: str) -> None:
    query = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
    found = {name for (name,) in transaction.execute(query, [f"outbox.{table}"])}

    assert set(COLUMNS[table].split()) - found == set()


@pytest.mark.parametrize(
    "signature",
    [
        "outbox.redrive(bigint, text)",
        "outbox.discard(bigint, text)",
        "outbox.emit(text, text, text, json, jsonb, text, uuid)",
        "outbox.cancel(uuid)",
        "outbox.backlog()",
    ],
)
def test_the_functions(transaction: psycopg.Connection, signature: str) -> None:
    assert transaction.execute("select to_regprocedure(%s) is not null", [signature]).fetchone() == (True,)


def test_the_parameters_of_emit_and_schedule(transaction: psycopg.Connection) -> None:
    query = (
        "select distinct proname, proargnames from pg_proc"
        " where oid::regprocedure::text ~ '^outbox[.](emit|schedule)[(]'"
    )

    assert dict(transaction.execute(query).fetchall()) == {
        "emit": ["type", "aggregate_type", "aggregate_id", "payload", "headers", "topic", "event_id"],
        "schedule": ["type", "aggregate_type", "aggregate_id", "payload", "headers", "due_at", "topic", "event_id"],
    }


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("dead_letter", "stage", "publish consume deliver"),
        ("dead_letter", "resolution", "redriven discarded"),
        ("attempt", "outcome", "accepted transient permanent in_doubt"),
        ("delivery", "state", "queued claimed sending sent in_doubt dead suppressed expired cancelled bounced"),
    ],
)
def test_the_words_of_a_column(transaction: psycopg.Connection, table: str, column: str, words: str) -> None:
    query = "select pg_get_constraintdef(oid) from pg_constraint where conname = %s"
    (definition,) = transaction.execute(query, [f"{table}_{column}_check"]).fetchone() or ("",)

    assert definition.split("'")[1::2] == words.split()
