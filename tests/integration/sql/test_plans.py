"""Every statement's plan holds the indexes that the statement's header names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.servers import Databases
from tests.support.statement_files import FILES, PACKAGES, explained, parts

pytestmark = pytest.mark.versions

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


@pytest.fixture(scope="module")
def planner(databases: Databases) -> Iterator[psycopg.Connection]:
    """A connection to a database with rows, whose planner takes an index wherever one fits."""
    with databases.migrated() as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_ROWS)
        connection.execute("load 'auto_explain'")
        yield connection


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[0]}/{path.stem}")
def test_the_plan_of_a_statement_holds_the_indexes_of_its_header(path: Path, planner: psycopg.Connection) -> None:
    header, statement = parts(path)
    named = _named(header, planner)
    if not named:
        pytest.skip("its header names no index")

    plan = explained(planner, statement)

    assert [name for name in named if name not in plan] == [], plan


def test_statements_are_found() -> None:
    assert {path.parts[0] for path in FILES} == set(PACKAGES)


def test_a_wrong_index_would_be_noticed(planner: psycopg.Connection) -> None:
    plan = explained(planner, "select from outbox.event where event_id = %(id)s")

    assert "event_tx_idx" not in plan
    assert "Seq Scan" in plan


def test_a_window_reads_its_own_part_of_the_index_and_no_more(planner: psycopg.Connection) -> None:
    """Rule 10: a range of transactions between two snapshots, and the old ones one by one."""
    found = explained(planner, parts(Path("relay/sql/find_range.sql"))[1])
    page = explained(planner, parts(Path("relay/sql/read_page.sql"))[1])

    assert "Index Cond: ((tx >= " in found, found
    assert "Index Cond: ((tx >= old.ended) AND (tx <= old.ended) AND (id > " in page, page


@pytest.mark.parametrize(("a", "olds", "index"), [("xmax", "{}", "event_pkey"), ("xip", "all", "event_tx_idx")])
def test_a_page_of_a_large_transaction_is_read_without_the_rest_of_it(
    database: str, a: str, olds: str, index: str
) -> None:
    """Or a backlog of n events costs n * n: each page would read, and sort, all that is left of the window."""
    large = (
        "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
        " select 'a', n::text, 'b', '{}' from generate_series(1, 20000) as n returning tx::text, id"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(large)
        tx, first = connection.execute(large).fetchone() or ("", 0)
        connection.execute("analyze outbox.event")
        connection.execute("set plan_cache_mode = force_custom_plan")
        before = f"{tx}:{tx}:" if a == "xmax" else f"{tx}:{int(tx) + 1}:{tx}"
        given = {
            "a": before, "b": f"{int(tx) + 1}:{int(tx) + 1}:", "lo": first - 1 if a == "xmax" else 0,
            "hi": first + 19_999 if a == "xmax" else 0, "olds": [tx] if olds == "all" else [], "last": first,
            "rows": 5000, "bytes": 1_000_000, "shard": 0, "shards": 1,
        }  # fmt: skip
        page = "explain (analyze, costs off, timing off, format json) " + parts(Path("relay/sql/read_page.sql"))[1]
        (plan,) = connection.execute(page, given).fetchone() or ({},)

    scans = {node["Index Name"]: node["Actual Rows"] for node in _nodes(plan[0]["Plan"]) if node["Actual Rows"] > 50}

    assert scans == {index: 5001}


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the scans of the table of events in a plan."""
    if node.get("Relation Name") == "event":
        yield {"Index Name": None, **node}
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _named(header: str, connection: psycopg.Connection) -> list[str]:
    """Return the indexes that a header names; `Index: primary key` means that of any table."""
    known = {name for (name,) in connection.execute("select indexname from pg_indexes where schemaname = 'outbox'")}
    header = re.sub(r"keeps [^.;]*", "", header)  # an insert has an index to keep, and none in its plan
    named = [name for name in re.findall(r"\w+", header) if name in known]
    if re.search(r"Index: [^.;]*primary key", header):
        named.append("_pkey")
    return named
