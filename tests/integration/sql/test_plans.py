"""Every statement's plan holds the indexes that the statement's header names."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.servers import Databases

PACKAGES = ("outbox", "runtime", "relay", "mailer", "console")
FILES = sorted(path for package in PACKAGES for path in Path(package).glob("sql/*.sql"))

_PARAMETER = re.compile(r"%\((\w+)\)s")
_VALUES = {
    "bigint": "1", "integer": "1", "smallint": "1", "double precision": "1", "numeric": "1", "oid": "1",
    "boolean": "true", "text": "'1'", "character varying": "'1'", "json": "'{}'", "jsonb": "'{}'", "bytea": "'x'",
    "interval": "'1 s'",
    "uuid": "'00000000-0000-0000-0000-000000000001'", "xid8": "'700'", "pg_snapshot": "'700:900:700'",
    "timestamp with time zone": "now()", "regclass": "'outbox.event'",
}  # fmt: skip
# Where the value of a type would ask for nothing: a window between two snapshots, a page of some size.
_NAMED = {"a": "'490:500:490'", "b": "'1200:1200:'", "rows": "10", "bytes": "100000", "lo": "1600", "last": "1600"}
# Tables large enough that an index is what a planner would take, with few rows of the kinds that partial indexes hold.
_ROWS = """
insert into outbox.event (tx, aggregate_type, aggregate_id, type, payload)
  select (n / 4 + 100)::text::xid8, 'a', n::text, 'a.b', '{}' from generate_series(1, 4000) as n;
insert into outbox.batch (shard, seq, epoch, a, b, n)
  select 0, n, 1, '3:3:', '3:3:', 0 from generate_series(1, 1000) as n;
insert into outbox.scheduled (due_at, aggregate_type, aggregate_id, type, payload)
  select now() + interval '1 h', 'a', n::text, 'a.b', '{}' from generate_series(1, 1000) as n;
insert into outbox.delivery (
  event_id, event_type, aggregate_type, aggregate_id, mail, recipient, recipient_key, expires_at, state, finished_at
)
  select gen_random_uuid(), 'a.b', 'a', n::text, 'm', 'r', n::text::bytea, now(),
    case when n % 50 = 0 then 'queued' else 'sent' end, case when n % 50 > 0 then now() end
  from generate_series(1, 3000) as n;
insert into outbox.attempt (delivery_id, cycle, attempt, at, transport, phase, outcome)
  select id, 1, 1, now(), 't', 'dot', 'accepted' from outbox.delivery;
insert into outbox.dead_letter (stage, reason, shard, event_row_id, event_id, resolved_at, resolution, resolved_by)
  select 'publish', 'x', 0, n, gen_random_uuid(), now(), 'discarded', 'x' from generate_series(1, 3000) as n;
insert into outbox.dead_letter (stage, reason, shard, event_row_id, aggregate_type, aggregate_id, parks)
  select 'publish', 'x', 0, n, 'a', n::text, true from generate_series(3001, 3100) as n;
insert into outbox.dead_letter (stage, reason, shard, event_row_id, aggregate_type, aggregate_id, behind)
  select 'publish', 'held_behind', 0, event_row_id + n * 1000, 'a', aggregate_id, id
  from outbox.dead_letter, generate_series(1, 20) as n where parks;
insert into outbox.dead_letter (stage, reason, topic, record_partition, record_offset, redrive_pending)
  select 'consume', 'x', 't', 0, n, true from generate_series(1, 500) as n;
insert into outbox.suppression (recipient_key, reason) select n::text::bytea, 'x' from generate_series(1, 1000) as n;
insert into outbox.permit (id, lane) select gen_random_uuid(), n::text from generate_series(1, 1000) as n;
insert into outbox.transport (name) select n::text from generate_series(1, 500) as n;
analyze;
-- What statistics of so small a table cannot show: that the real one is large.
set enable_seqscan = off;
set plan_cache_mode = force_custom_plan;
"""
# Statements whose index works inside a function: its plan is looked at by running it.
_CALLS = re.compile(r"outbox\.(backlog|release_due)\(")


@pytest.fixture(scope="module")
def planner(databases: Databases) -> Iterator[psycopg.Connection]:
    """A connection to a database with rows, whose planner takes an index wherever one fits."""
    with databases.migrated() as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_ROWS)
        connection.execute("load 'auto_explain'")
        yield connection


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[0]}/{path.stem}")
def test_the_plan_of_a_statement_holds_the_indexes_of_its_header(path: Path, planner: psycopg.Connection) -> None:
    header, statement = _parts(path)
    named = _named(header, planner)
    if not named:
        pytest.skip("its header names no index")

    plan = _explained(planner, statement)

    assert [name for name in named if name not in plan] == [], plan


def test_statements_are_found() -> None:
    assert {path.parts[0] for path in FILES} == set(PACKAGES)


def test_a_wrong_index_would_be_noticed(planner: psycopg.Connection) -> None:
    plan = _explained(planner, "select from outbox.event where event_id = %(id)s")

    assert "event_tx_idx" not in plan
    assert "Seq Scan" in plan


def _parts(path: Path) -> tuple[str, str]:
    """Return the header comment of a file as one line, and its statement without comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.strip().removeprefix("--").strip() for line in lines if line.lstrip().startswith("--")]
    code = [line for line in lines if not line.lstrip().startswith("--")]
    return " ".join(comments), "\n".join(code).strip().removesuffix(";")


def _named(header: str, connection: psycopg.Connection) -> list[str]:
    """Return the indexes that a header names; `Index: primary key` means that of any table."""
    known = {name for (name,) in connection.execute("select indexname from pg_indexes where schemaname = 'outbox'")}
    header = re.sub(r"keeps [^.;]*", "", header)  # an insert has an index to keep, and none in its plan
    named = [name for name in re.findall(r"\w+", header) if name in known]
    if re.search(r"Index: [^.;]*primary key", header):
        named.append("_pkey")
    return named


def _explained(connection: psycopg.Connection, statement: str) -> str:
    """Return the plan of *statement* with values of the types that PostgreSQL infers for its parameters."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", statement).replace("%%", "%")
    with connection.transaction(force_rollback=True):
        connection.execute(f"prepare probe as {numbered}")
        try:
            types = connection.execute(
                "select parameter_types::text[] from pg_prepared_statements where name = 'probe'"
            )
            (found,) = types.fetchone() or ([],)
            given = ", ".join(_value(name, type_) for name, type_ in zip(names, found, strict=True))
            call = f"execute probe ({given})" if found else "execute probe"
            if _CALLS.search(statement):
                return _plans_inside(connection, call)
            return "\n".join(line for (line,) in connection.execute(f"explain (costs off) {call}"))
        finally:
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                connection.execute("deallocate probe")


def _value(name: str, type_: str) -> str:
    element = type_.removesuffix("[]")
    literal = _NAMED.get(name, _VALUES[element])
    return f"array[{literal}]::{type_}" if type_ != element else f"{literal}::{type_}"


def _plans_inside(connection: psycopg.Connection, call: str) -> str:
    """Return the plans of what the functions that *call* calls have run, as auto_explain tells them."""
    heard: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        heard.append(notice.message_primary or "")

    connection.add_notice_handler(hear)
    try:
        for setting, value in {"log_min_duration": "0", "log_nested_statements": "on", "log_level": "notice"}.items():
            connection.execute("select set_config('auto_explain.' || %s, %s, true)", [setting, value])
        connection.execute(call)
    finally:
        connection.remove_notice_handler(hear)
    return "\n".join(heard)
