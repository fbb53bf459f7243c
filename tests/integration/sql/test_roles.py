"""Each role may do what its job needs, and nothing else: every right on every table, column and function is tried."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from tests.support.statement_files import FILES, explained, parts

pytestmark = pytest.mark.versions

ROLES = ("outbox_writer", "outbox_relay", "outbox_mailer", "outbox_operator", "outbox_reader")
TABLES = (
    "alembic_version", "meta", "event", "shard", "batch", "scheduled", "delivery", "attempt", "transport",
    "suppression", "permit", "dead_letter", "audit",
)  # fmt: skip
ALL = "every column"
_PERSONAL = {
    "event": {"payload"},
    "scheduled": {"payload"},
    "delivery": {"recipient", "recipient_key", "payload", "content", "claim_token"},
    "suppression": {"recipient_key"},
    "dead_letter": {"payload", "record_value", "record_headers"},
}
_EVENT = {"event_id", "aggregate_type", "aggregate_id", "type", "payload", "headers", "topic"}
# (role, table) -> what it may do, on which columns. All else is forbidden.
ALLOWED: dict[tuple[str, str], dict[str, object]] = {
    ("outbox_writer", "event"): {"insert": {*_EVENT, "created_at"}},
    ("outbox_relay", "alembic_version"): {"select": ALL},
    ("outbox_relay", "meta"): {"select": ALL},
    ("outbox_relay", "scheduled"): {"select": ALL},
    ("outbox_relay", "shard"): {"select": ALL, "insert": ALL, "update": ALL},
    ("outbox_relay", "dead_letter"): {"select": ALL, "insert": ALL, "update": ALL},
    ("outbox_relay", "batch"): {"select": ALL, "insert": ALL, "update": ALL, "delete": ALL},
    ("outbox_relay", "event"): {"select": ALL, "insert": _EVENT, "delete": ALL},
    ("outbox_mailer", "alembic_version"): {"select": ALL},
    ("outbox_mailer", "meta"): {"select": ALL},
    ("outbox_mailer", "delivery"): {"select": ALL, "insert": ALL, "update": ALL, "delete": ALL},
    ("outbox_mailer", "attempt"): {"select": ALL, "insert": ALL},
    ("outbox_mailer", "transport"): {"select": ALL, "insert": ALL, "update": ALL},
    ("outbox_mailer", "suppression"): {"select": ALL, "insert": ALL, "update": ALL, "delete": ALL},
    ("outbox_mailer", "permit"): {"select": ALL, "insert": ALL, "delete": ALL},
    ("outbox_mailer", "dead_letter"): {"select": ALL, "insert": ALL, "update": {"redrive_pending"}},
    **{("outbox_operator", table): {"select": ALL} for table in TABLES},
    **{("outbox_reader", table): {"select": f"all but {sorted(_PERSONAL.get(table, ()))}"} for table in TABLES},
}
EMIT = (
    "text,text,text,json,jsonb,text,uuid",
    "text,text,text,text,jsonb,text,uuid",
    "text,text,text,jsonb,jsonb,text,uuid",
)
SCHEDULE = tuple(given.replace("jsonb,text,uuid", "jsonb,timestamp with time zone,text,uuid") for given in EMIT)
CALLS = {
    "outbox_writer": {
        *(f"emit({given})" for given in EMIT),
        *(f"schedule({given})" for given in SCHEDULE),
        "cancel(uuid)",
        "lock_key(text,text)",
    },
    "outbox_relay": {"lock_key(text,text)", "shard_of(text,text,integer)", "release_due(integer)", "backlog()"},
    "outbox_mailer": set[str](),
    "outbox_operator": {
        "redrive(bigint,text)",
        "redrive_many(bigint[],text)",
        "redrive_delivery(bigint,text)",
        "discard(bigint,text)",
        "discard_many(bigint[],text)",
        "settle_delivery(bigint,text,text)",
        "suppress(bytea,text)",
        "unsuppress(bytea,text)",
        "erase_recipient(bytea,bytea[],text)",
        "record_action(text,text,text,jsonb)",
        "adopt_history(uuid,text)",
        "forget_published(integer,text)",
        "backlog()",
        "shard_of(text,text,integer)",
    },
    "outbox_reader": {"backlog()", "shard_of(text,text,integer)"},
}
# What `outbox status` asks: a reader, who sees no personal data, is enough.
STATUS = (
    "backlog", "oldest_transaction", "shards", "scheduled", "deliveries_due", "permits", "breakers",
    "dead_letters_by_reason", "redrives_pending", "deliveries_size", "deliveries_all", "deliveries_sampled",
    "deliveries_under_way",
)  # fmt: skip
# Statements of a package, and who runs them.
JOBS = {"outbox": "outbox_writer", "relay": "outbox_relay", "mailer": "outbox_mailer", "console": "outbox_operator"}
# Those of a command that puts a shard right: its login is an operator too, for what an operator does is audited.
AS_OPERATOR = {"relay/record_action", "relay/resync_adopt", "relay/resync_audit", "relay/resync_forget"}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_do_to_a_table_what_is_granted_and_nothing_else(
    transaction: psycopg.Connection, role: str, table: str
) -> None:
    columns = _columns(transaction, table)
    allowed = ALLOWED.get((role, table), {})
    expected = {
        (privilege, column)
        for privilege, granted in allowed.items()
        for column in columns
        if _covers(granted, table, column)
    }

    with _acting_as(transaction, role):
        possible = {
            (privilege, column)
            for column in columns
            for privilege in ("select", "insert", "update", "delete")
            if _succeeds(transaction, _attempt(privilege, table, column))
        }

    assert possible == expected


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_empty_change_or_watch_a_table(transaction: psycopg.Connection, role: str, table: str) -> None:
    name = sql.Identifier("outbox", table)
    tried = {
        what: sql.SQL(statement).format(name)
        for what, statement in {
            "truncate": "truncate {} cascade",
            "alter": "alter table {} add column more text",
            "drop": "drop table {} cascade",
            "watch": "create trigger t before update on {} execute function suppress_redundant_updates_trigger()",
            "index": "create index on {} ((1))",
        }.items()
    }

    with _acting_as(transaction, role):
        possible = [what for what, statement in tried.items() if _succeeds(transaction, statement)]

    assert possible == []
    assert (
        _rights(transaction, "has_table_privilege", role, f"outbox.{table}", ("references", "trigger", "truncate"))
        == []
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_call_its_functions_and_no_others(transaction: psycopg.Connection, role: str) -> None:
    every = transaction.execute(
        "select substr(oid::regprocedure::text, 8), has_function_privilege(%s, oid, 'execute')"
        " from pg_proc where pronamespace = 'outbox'::regnamespace",
        [role],
    ).fetchall()

    assert {name for name, may in every if may} == CALLS[role]
    assert len(every) > len(CALLS[role])


@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_touch_a_sequence_or_make_anything_in_the_schema(
    transaction: psycopg.Connection, role: str
) -> None:
    query = "select oid::regclass::text from pg_class where relnamespace = 'outbox'::regnamespace and relkind = 'S'"
    sequences = [name for (name,) in transaction.execute(query)]

    with _acting_as(transaction, role):
        made = _succeeds(transaction, sql.SQL("create table outbox.mine ()"))

    assert sequences
    assert not made
    for name in sequences:
        assert _rights(transaction, "has_sequence_privilege", role, name, ("usage", "update", "select")) == []


@pytest.mark.parametrize("role", [role for role in ROLES if role != "outbox_mailer"])
def test_only_the_mailer_sees_the_queues(transaction: psycopg.Connection, role: str) -> None:
    with _acting_as(transaction, role):
        assert not _succeeds(transaction, sql.SQL("select from pgmq.meta"))


def test_the_mailer_uses_queues_and_changes_no_table_of_them(transaction: psycopg.Connection) -> None:
    with _acting_as(transaction, "outbox_mailer"):
        for _ in range(2):  # kombu declares a queue at every start
            transaction.execute("select pgmq.create('lane'), pgmq.enable_notify_insert('lane', 250)")
        transaction.execute("select pgmq.send('lane', '{}')")
        read = transaction.execute("select message from pgmq.read('lane', 30, 1)").fetchone()
        length = transaction.execute("select queue_length from pgmq.metrics('lane')").fetchone()
        transaction.execute("select pgmq.delete('lane', 1), pgmq.purge_queue('lane') where false")
        forbidden = [
            "drop table pgmq.q_lane",
            "create table pgmq.mine ()",
            "truncate pgmq.q_lane",
            "select pgmq.drop_queue('lane')",
        ]
        possible = [statement for statement in forbidden if _succeeds(transaction, sql.SQL(statement))]

    assert (read, length, possible) == (({},), (1,), [])


def test_somebody_who_is_in_no_role_has_nothing(transaction: psycopg.Connection) -> None:
    transaction.execute("create role nobody_special")

    with _acting_as(transaction, "nobody_special"):
        for statement in (
            "select from outbox.meta",
            "select from pgmq.meta",
            "select outbox.emit('a.b', 'a', '1', '{}')",
        ):
            assert not _succeeds(transaction, sql.SQL(statement))


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parts[0] in JOBS], ids=lambda path: f"{path.parts[0]}/{path.stem}"
)
def test_a_role_has_the_rights_that_its_statements_need(path: Path, transaction: psycopg.Connection) -> None:
    _, statement = parts(path)
    if statement.startswith("lock table"):
        pytest.skip("cannot be explained")

    job = "outbox_operator" if f"{path.parts[0]}/{path.stem}" in AS_OPERATOR else JOBS[path.parts[0]]
    with _acting_as(transaction, job):
        explained(transaction, statement)


@pytest.mark.parametrize("name", STATUS)
def test_a_reader_sees_the_status(name: str, transaction: psycopg.Connection) -> None:
    _, statement = parts(Path("console/sql") / f"{name}.sql")

    with _acting_as(transaction, "outbox_reader"):
        explained(transaction, statement)


def test_the_relay_can_lock_events_against_hosts(transaction: psycopg.Connection) -> None:
    with _acting_as(transaction, "outbox_relay"):
        transaction.execute("lock table outbox.event in share row exclusive mode nowait")


@pytest.mark.parametrize("role", ["outbox_relay", "outbox_mailer", "outbox_operator", "outbox_reader"])
def test_a_process_can_read_which_schema_there_is(transaction: psycopg.Connection, role: str) -> None:
    with _acting_as(transaction, role):
        assert transaction.execute("select version_num from outbox.alembic_version").fetchone() is not None


def test_a_writer_emits_schedules_and_cancels_without_seeing_anything(transaction: psycopg.Connection) -> None:
    with _acting_as(transaction, "outbox_writer"):
        transaction.execute("select outbox.emit('a.b', 'a', '1', '{}')")
        (later,) = transaction.execute("select outbox.schedule('a.b', 'a', '1', '{}', null, now())").fetchone() or ()
        cancelled = transaction.execute("select outbox.cancel(%s)", [later]).fetchone()

    assert cancelled == (True,)
    assert transaction.execute("select type, aggregate_id from outbox.event").fetchall() == [("a.b", "1")]


@pytest.mark.parametrize("column", ["tx", "id"])
def test_a_writer_cannot_choose_where_an_event_is_in_the_history(transaction: psycopg.Connection, column: str) -> None:
    statement = sql.SQL(
        "insert into outbox.event ({}, aggregate_type, aggregate_id, type, payload) overriding system value"
        " values ('5', 'a', '1', 'a.b', '{{}}')"
    ).format(sql.Identifier(column))

    with _acting_as(transaction, "outbox_writer"):
        assert not _succeeds(transaction, statement)


@contextmanager
def _acting_as(connection: psycopg.Connection, role: str) -> Iterator[None]:
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    yield
    connection.execute("reset role")


def _columns(connection: psycopg.Connection, table: str) -> list[str]:
    query = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
    return [name for (name,) in connection.execute(query, [f"outbox.{table}"])]


def _covers(granted: object, table: str, column: str) -> bool:
    """Say whether what is granted holds for *column*."""
    if isinstance(granted, set):
        return column in granted
    return granted == ALL or column not in _PERSONAL.get(table, set())


def _attempt(privilege: str, table: str, column: str) -> sql.Composed:
    """Return a statement that needs just one right and changes nothing."""
    statements = {
        "select": "select {column} from {table} limit 0",
        "insert": "insert into {table} ({column}) overriding system value"
        " select {column} from (select (null::{table}).*) as n where false",
        "update": "update {table} set {column} = default where false",
        "delete": "delete from {table} where false",
    }
    names = {"table": sql.Identifier("outbox", table), "column": sql.Identifier(column)}
    return sql.SQL(statements[privilege]).format(**names)


def _succeeds(connection: psycopg.Connection, statement: sql.SQL | sql.Composed) -> bool:
    """Try *statement* and undo it; any error but a refusal is a mistake of the test."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except InsufficientPrivilege:
        return False
    return True


def _rights(connection: psycopg.Connection, function: str, role: str, name: str, wanted: tuple[str, ...]) -> list[str]:
    """Return those of the *wanted* rights that *role* has."""
    query = sql.SQL("select right_name from unnest(%s::text[]) as right_name where {}(%s, %s, right_name)").format(
        sql.Identifier(function)
    )
    return [right for (right,) in connection.execute(query, [list(wanted), role, name])]
