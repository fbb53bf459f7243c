"""The status as tables that a person reads from top to bottom: first what hurts, then what is."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from console.output import NOTHING, age, moment, table
from console.status import Breaker, OpenTransaction, ShardStatus, Status

# Seconds. A healthy relay publishes within one; past these an operator should look.
SLOW, STUCK = 10.0, 60.0
# Past this an open transaction holds back retention and vacuum noticeably.
LONG_TRANSACTION = 60.0


def render(status: Status) -> Group:
    """Return what `outbox status` prints."""
    return Group(*(part for section in (_events, _deliveries, _dead_letters, _breakers) for part in section(status)))


def _events(status: Status) -> Iterator[RenderableType]:
    waits = status.oldest_unpublished_seconds
    style = "red" if (waits or 0) > STUCK else "yellow" if (waits or 0) > SLOW else "green"
    oldest = f", the oldest for {age(waits)}" if waits is not None else ""
    yield Text.assemble(("Events     ", "bold"), (f"{status.backlog:,} not yet published{oldest}", style))
    if status.scheduled.waiting:
        late = f", {status.scheduled.overdue:,} overdue" if status.scheduled.overdue else ""
        yield Text(
            f"           {status.scheduled.waiting:,} scheduled, the next at {moment(status.scheduled.next_at)}{late}"
        )
    if status.oldest_transaction:
        yield _transaction(status.oldest_transaction)
    if not status.shards:
        yield Text("           no relay has run yet: start one with `outbox relay run`", style="yellow")
        return
    shards = table("#shard", "holder", "since", "#epoch", "#window", "confirmed", "#backlog")
    for shard in status.shards:
        shards.add_row(*_shard(shard))
    yield Text()
    yield shards
    for shard in status.shards:
        if shard.halted_reason:
            at = moment(shard.halted_at)
            why = "waits" if shard.waits else "stopped to keep the guarantee"
            yield Text(f"shard {shard.shard} {why} since {at}: {shard.halted_reason}", style="bold red")


def _transaction(oldest: OpenTransaction) -> Text:
    long = (oldest.age_seconds or 0) > LONG_TRANSACTION
    held = "writes" if oldest.writes else "reads"
    state = oldest.state or "state not visible to this role"
    who = f"pid {oldest.pid}, {oldest.application}, user {oldest.user_name or NOTHING}, {state}"
    since = age(oldest.age_seconds) if oldest.age_seconds is not None else "for a time not visible to this role"
    return Text(f"           oldest open transaction: {since} ({who}, {held})", style="yellow" if long else "dim")


def _shard(shard: ShardStatus) -> tuple[str | Text, ...]:
    holder = shard.holder
    who: str | Text = f"pid {holder.pid} {holder.application or ''}".strip() if holder else Text("nobody", style="red")
    since = moment(holder.since) if holder else NOTHING
    numbers = (f"{shard.epoch:,}", f"{shard.confirmed_seq:,}", moment(shard.confirmed_at), f"{shard.backlog:,}")
    return str(shard.shard), who, since, *numbers


def _deliveries(status: Status) -> Iterator[RenderableType]:
    shown = [f"{count:,} {state.replace('_', ' ')}" for state, count in status.deliveries.items() if count]
    about = " (finished ones estimated)" if status.deliveries_estimated else ""
    doubt = status.deliveries["in_doubt"] > 0
    yield Text()
    yield Text.assemble(
        ("Deliveries ", "bold"), (", ".join(shown) or "none", "yellow" if doubt else ""), (about, "dim")
    )
    for due in status.due:
        style = "yellow" if due.oldest_seconds > STUCK else "dim"
        yield Text(
            f"           {due.count:,} due in lane {due.lane}, the oldest for {age(due.oldest_seconds)}", style=style
        )
    for permits in status.permits:
        yield Text(f"           {permits.count:,} permits out in lane {permits.lane}", style="dim")


def _dead_letters(status: Status) -> Iterator[RenderableType]:
    letters = status.dead_letters
    number = f"{'at least ' if letters.at_least else ''}{letters.unresolved:,} unresolved"
    yield Text()
    yield Text.assemble(("Dead       ", "bold"), (number, "red" if letters.unresolved else "green"))
    for stage, count in letters.redrives_pending.items():
        yield Text(f"           {count:,} of stage {stage} on their way again", style="dim")
    if letters.by_reason:
        kinds = table("stage", "reason", "#count", "oldest")
        for kind in letters.by_reason:
            kinds.add_row(kind.stage, kind.reason, f"{kind.count:,}", moment(kind.oldest_at))
        yield Text()
        yield kinds
        yield Text(
            "look with `outbox dead ls`, put right with `outbox dead redrive` or `outbox dead discard`", style="dim"
        )


def _breakers(status: Status) -> Iterator[RenderableType]:
    if status.breakers:
        yield Text()
        yield Text("Transports", style="bold")
        transports = table("transport", "breaker", "#failures", "since", "next try", "reason")
        for breaker in status.breakers:
            transports.add_row(*_breaker(breaker))
        yield transports


def _breaker(breaker: Breaker) -> tuple[str | Text, ...]:
    state = Text(breaker.breaker.replace("_", " "), style="green" if breaker.breaker == "closed" else "red")
    opened, retry = (moment(at) if at else NOTHING for at in (breaker.opened_at, breaker.retry_at))
    return breaker.name, state, f"{breaker.failures:,}", opened, retry, breaker.reason or NOTHING
