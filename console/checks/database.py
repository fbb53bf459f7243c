"""Whether the guarantee can rest on this PostgreSQL, and whether the outbox in it is whole."""

import time
from collections.abc import Iterator
from typing import Final

from console import migrate
from console.database import Database, Row
from console.finding import Finding, Surroundings, failed, from_error, good, judged, skipped, warned
from console.output import age
from relay.lease import FIRST_VERSION, Installation
from runtime.dsn import SecretDsn

LAST_TESTED: Final = 18
# Seconds between this machine's clock and the server's. Leases are the server's alone; people compare the logs of both.
CLOCK_WARNED, CLOCK_FAILED = 1.0, 10.0


def check(around: Surroundings) -> Iterator[Finding]:
    """Yield what the server is, then what the outbox in it is."""
    database = around.database
    if database is None:
        yield skipped("postgres", "not reached")
        return
    asked = time.time()
    server = database.one("server")
    answered = time.time()
    yield from _version(server)
    yield judged(
        "postgres.primary",
        fits=not server["recovering"],
        expected="a primary",
        actual="a standby" if server["recovering"] else "a primary",
        fix="give the address of the primary: a standby's snapshots have no list of transactions in progress",
    )
    yield _direct(database, server)
    yield from _durable(server)
    yield _clock(server["clock"], asked, answered)
    yield from _schema(around, database, dsn=around.settings.database_url)


def _version(server: Row) -> Iterator[Finding]:
    number, text = server["version_number"] // 10_000, server["version"]
    expected = f"PostgreSQL {FIRST_VERSION // 10_000} to {LAST_TESTED}"
    if server["version_number"] < FIRST_VERSION:
        yield failed("postgres.version", expected=expected, actual=text, fix="upgrade the server")
    elif number > LAST_TESTED:
        yield warned(
            "postgres.version", expected=expected, actual=text, fix="no test of this release has seen that version"
        )
    else:
        yield good("postgres.version", text, expected=expected)


def _direct(database: Database, server: Row) -> Finding:
    """Judge whether a session stays with one backend: through a transaction pooler a lease would go astray."""
    told = database.connection.info.backend_pid
    seen = {server["backend_pid"], database.one("server")["backend_pid"]}
    return judged(
        "postgres.direct",
        fits=seen == {told},
        expected="a direct connection",
        actual="direct" if seen == {told} else "a pooler between us and the server",
        fix="give OUTBOX_DATABASE_URL the address of PostgreSQL itself: a lease lives in a session",
    )


def _durable(server: Row) -> Iterator[Finding]:
    for name in ("fsync", "full_page_writes"):
        yield judged(
            f"postgres.{name}",
            fits=server[name] == "on",
            expected="on",
            actual=server[name],
            fix=f"set {name} = on: what a crash takes back may have been published",
        )
    chosen = server["synchronous_commit"]
    if chosen == "off":
        yield warned(
            "postgres.synchronous_commit",
            expected="on, for hosts",
            actual="off",
            fix="a host's commit may be lost in a crash, its event with it; the relay waits for durability by itself",
        )
    else:
        standbys = f", standbys {server['standbys']}" if server["standbys"] else ""
        yield good("postgres.synchronous_commit", f"{chosen}{standbys}", expected="on")


def _clock(server: float, asked: float, answered: float) -> Finding:
    """Judge the difference of clocks; what the question took cannot be told from it."""
    apart = abs(server - (asked + answered) / 2)
    uncertain = (answered - asked) / 2
    actual = f"{age(apart)} apart (±{age(uncertain)})"
    expected = f"within {age(CLOCK_WARNED)} of this machine's"
    fix = "synchronise both by NTP: expiry times and logs of the two do not fit together"
    if apart - uncertain > CLOCK_FAILED:
        return failed("postgres.clock", expected=expected, actual=actual, fix=fix)
    if apart - uncertain > CLOCK_WARNED:
        return warned("postgres.clock", expected=expected, actual=actual, fix=fix)
    return good("postgres.clock", actual, expected=expected)


def _schema(around: Surroundings, database: Database, *, dsn: SecretDsn) -> Iterator[Finding]:
    state = migrate.state(dsn.get_secret_value())
    around.migrated = not state.pending
    expected = f"migrated to {state.head}"
    if state.pending:
        actual = (
            f"at {state.current}, pending {', '.join(state.pending)}" if state.current else "no outbox in this database"
        )
        yield failed("schema.migrated", expected=expected, actual=actual, fix="run `outbox migrate up`")
    elif state.ahead:
        yield warned(
            "schema.migrated",
            expected=expected,
            actual=f"at {state.current}, newer than this release",
            fix="upgrade this installation of the outbox",
        )
        around.migrated = True
    else:
        yield good("schema.migrated", f"at {state.current}", expected=expected)
    if around.migrated:
        yield from _outbox(around, database)


def _outbox(around: Surroundings, database: Database) -> Iterator[Finding]:
    cache = database.one("sequence_cache")["cache"]
    yield judged(
        "schema.sequence_cache",
        fits=cache == 1,
        expected="1",
        actual=str(cache),
        fix="alter table outbox.event alter column id set cache 1: with more, order by id is not emit order",
    )
    yield from _identity(around, database)
    yield from _roles(database.rows("roles"))


def _identity(around: Surroundings, database: Database) -> Iterator[Finding]:
    row = database.row("installation")
    if row is None:
        yield failed(
            "schema.identity", expected="one row in outbox.meta", actual="none", fix="run `outbox migrate up` again"
        )
        return
    around.installation = Installation(row["install"], row["gen"], row["sysid"], row["shards"])
    around.bootstrapped = bool(row["bootstrapped"])
    ours = f"installation {row['install']}, generation {row['gen']}, {row['shards']} shard(s)"
    yield judged(
        "schema.identity",
        fits=row["sysid"] == row["server_sysid"] and not row["copied"],
        expected=f"cluster {row['sysid']}, and the database that outbox.meta names",
        actual=f"cluster {row['server_sysid']}{', a copy of that database' if row['copied'] else ''}; {ours}",
        fix='this is a copy or a restore: find out which side is right: docs/operations.md, "A shard is halted"',
    )


def _roles(rows: list[Row]) -> Iterator[Finding]:
    missing = [row["name"] for row in rows if not row["present"]]
    yield judged(
        "roles.present",
        fits=not missing,
        expected="the five roles",
        actual=f"missing: {', '.join(missing)}" if missing else "all five",
        fix="run `outbox migrate grants` as a role that may create roles",
    )
    me, superuser = rows[0]["me"], rows[0]["superuser"]
    held = [row["name"] for row in rows if row["held"]]
    if superuser:
        yield warned(
            "roles.current",
            expected="least privilege",
            actual=f"{me} is a superuser",
            fix="connect as a login that has the role it needs: outbox_relay, outbox_mailer, outbox_operator, …",
        )
    else:
        yield judged(
            "roles.current",
            fits=bool(held),
            expected="a member of an outbox role",
            actual=f"{me}: {', '.join(held)}" if held else f"{me}: of none",
            fix=f"grant outbox_operator to {me}",
        )


def connected(around: Surroundings, database: Database | None, error: Exception | None) -> Finding:
    """Return whether PostgreSQL was reached at all; keep the connection for the checks that follow."""
    around.database = database
    where = str(around.settings.database_url.address())
    if database is None and error is not None:
        return from_error("postgres.connection", error, expected=where)  # type: ignore[arg-type]  # connect raises ours only
    return good("postgres.connection", where)
