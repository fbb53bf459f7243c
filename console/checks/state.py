"""What is stuck now, and what holds it: the outbox as it runs, not as it is set up."""

from collections.abc import Iterator
from typing import Final

from console import status
from console.database import Database
from console.finding import Finding, Surroundings, failed, good, judged, skipped, warned
from console.output import age, counted
from relay.errors import INSPECT, RESOLVE

# Seconds. A transaction open for so long holds back retention and vacuum; past the second, somebody has forgotten it.
TRANSACTION_WARNED, TRANSACTION_FAILED = 300.0, 3600.0
PREPARED_FAILED: Final = 300.0
# An event waits for the relay's next look, a quarter of a second; for a drain by cron, minutes.
WAITING_WARNED: Final = 60.0
DEFAULT_RETENTION_DAYS: Final = 7.0
DAY: Final = 86_400.0


def check(around: Surroundings) -> Iterator[Finding]:
    """Yield a line each for transactions, shards, retention, mail and dead letters."""
    if around.database is None or not around.migrated:
        yield skipped("state", "no migrated database was reached")
        return
    now = status.read(around.database)
    yield _transaction(now.oldest_transaction)
    yield _prepared(around.database)
    yield from _shards(now)
    yield _waiting(now)
    yield _retention(around, around.database)
    yield from _mail(around, now)
    yield _dead_letters(now)


def _transaction(oldest: status.OpenTransaction | None) -> Finding:
    expected = f"none open for more than {age(TRANSACTION_WARNED)}"
    if oldest is None:
        return good("transactions.long", "none open", expected=expected)
    if oldest.age_seconds is None:
        return skipped("transactions.long", "other sessions are not visible to this role: grant pg_read_all_stats")
    actual = f"pid {oldest.pid} ({oldest.application}, user {oldest.user_name}) for {age(oldest.age_seconds)}"
    fix = f"end it there, or select pg_terminate_backend({oldest.pid}): retention and vacuum cannot pass it"
    if oldest.age_seconds > TRANSACTION_FAILED:
        return failed("transactions.long", expected=expected, actual=actual, fix=fix)
    if oldest.age_seconds > TRANSACTION_WARNED:
        return warned("transactions.long", expected=expected, actual=actual, fix=fix)
    return good("transactions.long", actual, expected=expected)


def _prepared(database: Database) -> Finding:
    old = [row for row in database.rows("prepared_transactions") if row["age_seconds"] > PREPARED_FAILED]
    actual = ", ".join(f"{row['gid']!r} of {row['owner']} for {age(row['age_seconds'])}" for row in old)
    return judged(
        "transactions.prepared",
        fits=not old,
        expected=f"none left for more than {age(PREPARED_FAILED)}",
        actual=actual or "none",
        fix="ask its coordinator, then `commit prepared` or `rollback prepared`: its events wait for that",
    )


def _shards(now: status.Status) -> Iterator[Finding]:
    for shard in now.shards:
        name = f"relay.shard_{shard.shard}"
        if shard.waits:
            yield failed(
                name,
                expected="brokers that take what it publishes",
                actual=str(shard.halted_reason),
                fix="start the brokers that are missing: it goes on by itself, and loses nothing meanwhile",
            )
        elif shard.halted_reason:
            yield failed(
                name,
                expected="no halt",
                actual=f"stopped to keep the guarantee: {shard.halted_reason}",
                fix=f"look with `{INSPECT}`; once you know which side is right, see {RESOLVE}",
            )
        elif shard.holder is None:
            yield warned(
                name,
                expected="a relay holds the lease",
                actual="nobody does",
                fix="start `outbox relay run`, unless cron runs `outbox relay drain`",
            )
        else:
            yield good(name, f"pid {shard.holder.pid} ({shard.holder.application or 'unnamed'}), epoch {shard.epoch}")


def _waiting(now: status.Status) -> Finding:
    waits = now.oldest_unpublished_seconds
    expected = f"none waits for more than {age(WAITING_WARNED)}"
    actual = f"{counted(now.backlog, 'event')}, the oldest for {age(waits)}" if now.backlog else "none waits"
    if waits is not None and waits > WAITING_WARNED:
        return warned("relay.backlog", expected=expected, actual=actual, fix="see the lines above, and the relay's log")
    return good("relay.backlog", actual, expected=expected)


def _retention(around: Surroundings, database: Database) -> Finding:
    days = around.relay.relay_retention_days if around.relay else DEFAULT_RETENTION_DAYS
    if days == 0:
        return skipped("relay.retention", "off: published events are kept for ever")
    oldest = max((row["age_seconds"] for row in database.rows("prune_lag")), default=None)
    expected = f"published events are deleted after {days:g} days"
    if oldest is not None and oldest > (days + 1) * DAY:
        return warned(
            "relay.retention",
            expected=expected,
            actual=f"the oldest window is {age(oldest)} old",
            fix="`outbox relay run` deletes, `drain` does not; an open transaction or a dead letter may hold it",
        )
    return good(
        "relay.retention",
        f"the oldest window is {age(oldest)} old" if oldest else "nothing to delete yet",
        expected=expected,
    )


def _mail(around: Surroundings, now: status.Status) -> Iterator[Finding]:
    yield from _breakers(now, configured=_transports(around))
    doubtful = now.deliveries["in_doubt"]
    if doubtful:
        yield warned(
            "mail.in_doubt",
            expected="none",
            actual=counted(doubtful, "delivery", "deliveries"),
            fix="`outbox deliveries ls --state in_doubt`, then `outbox deliveries resend` or `close`",
        )
    else:
        yield good("mail.in_doubt", "none")


def _breakers(now: status.Status, *, configured: frozenset[str] | None) -> Iterator[Finding]:
    """Judge open breakers; one of a transport that is configured no more stays as it was, and hurts nobody."""
    open_ones = [breaker for breaker in now.breakers if breaker.breaker != "closed"]
    used = [one for one in open_ones if configured is None or one.name in configured]
    words = {
        one.name: f"{one.name} {one.breaker.replace('_', ' ')}: {one.reason or 'no reason noted'}" for one in open_ones
    }
    yield judged(
        "mail.breakers",
        fits=not used,
        expected="all closed",
        actual="; ".join(words[one.name] for one in used) or "all closed",
        fix="put the mail server or its credentials right; a probe closes the breaker by itself",
    )
    for one in open_ones:
        if one not in used:
            fix = "configured elsewhere, or no more: then nothing needs to be done"
            yield warned("mail.breakers_elsewhere", expected="all closed", actual=words[one.name], fix=fix)


def _transports(around: Surroundings) -> frozenset[str] | None:
    """Return the names of the transports that are configured here; None if that is not known."""
    if around.mailer is None:
        return None
    from mailer.transports import open_transport  # noqa: PLC0415 - only where the mailer is configured

    transport = open_transport(around.mailer.mail_dsn.get_secret_value())
    try:
        return frozenset(child.name for child in transport.children)
    finally:
        transport.close()


def _dead_letters(now: status.Status) -> Finding:
    letters = now.dead_letters
    if not letters.unresolved:
        return good("dead_letters", "none unresolved")
    kinds = ", ".join(f"{kind.count:,} {kind.stage}/{kind.reason}" for kind in letters.by_reason[:5])
    return warned(
        "dead_letters",
        expected="none unresolved",
        actual=f"{letters.unresolved:,} unresolved: {kinds}",
        fix="`outbox dead ls`, then `outbox dead redrive` or `outbox dead discard`",
    )
