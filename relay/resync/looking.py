"""What is still known of a shard: its mirror, its progress records, and the events that a choice concerns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from outbox.envelope import Route
from relay.errors import HaltedError
from relay.lease import Installation, ServerFacts, judge_history
from relay.leases import Session
from relay.resync.deciding import UNTOUCHED, Candidate, Identity, MirrorRow, Situation, floor, judge_record
from relay.resync.errors import IdentityUnclearError, ResyncRefusedError
from relay.resync.reading import committed
from relay.window import Position, Progress, decode_progress


@dataclass(frozen=True, slots=True)
class Records:
    """The progress records of a shard that can be read, the oldest first; *foreign*: the last is none of ours."""

    records: tuple[Progress, ...]
    foreign: bool


def judge_identity(
    facts: ServerFacts, installation: Installation, identity: Identity, *, original_lives: bool
) -> Installation:
    """Return *installation* as this server is to have it; raise unless the operator has said what became of the old."""
    here = replace(installation, sysid=facts.sysid, database=facts.database)
    if reason := judge_history(facts, here):
        raise HaltedError(0, reason)
    moved = judge_history(facts, installation)
    if moved is None and identity is Identity.SAME:
        return installation
    if moved is not None and identity is Identity.AS_IT_IS:
        raise IdentityUnclearError(moved)
    if identity is Identity.SAME and original_lives:
        raise ResyncRefusedError(0, "the original database is still in this cluster: two would publish under one name")
    return here if moved is not None else installation


def read_records(options: Mapping[str, Any], installation: Installation, shard: int) -> Records:
    """Return the committed progress records of *shard*."""
    last: Progress | None = None
    found, count = [], 0
    for message in committed(options, [installation.progress_topic], partition=shard):
        count += 1
        last = decode_progress(message.value())
        if last is not None and last.install == installation.install and last.shard == shard:
            found.append(last)
        else:
            last = None
    return Records(tuple(found), foreign=count > 0 and last is None)


def mirror_of(session: Session, shard: int) -> MirrorRow:
    """Return how far PostgreSQL was told that *shard* is confirmed; raise if positions mean nothing in this cluster."""
    row = session.row("resync_facts", shard=shard)
    if row is None:
        return UNTOUCHED
    if row.pop("strange"):
        error = ResyncRefusedError(shard, "outbox.event holds rows of transactions that have not begun here")
        error.add_note(
            "a dump was restored into a cluster whose transaction ids are lower: restore a physical backup, or raise "
            "them above with `pg_resetwal --next-transaction-id` and `--epoch`"
        )
        raise error
    row.pop("original_lives")
    return MirrorRow(**row)


def situation(session: Session, records: Records, installation: Installation, shard: int) -> Situation:
    """Return what is known of *shard*."""
    mirror, now = mirror_of(session, shard), session.current_snapshot()
    proven, n = None, 0
    for record in reversed(records.records):
        if record.seq < mirror.confirmed_seq:
            break
        batch = session.batch(shard, record.seq)
        if judge_record(record, installation=installation, batch=batch, now=now):
            proven, n = record, batch.n if batch else 0
            break
    return Situation(shard, installation, mirror, records.records, records.foreign, proven, n, now)


def candidates(
    session: Session, *, shard: int, shards: int, position: Position, base: Position, route: Route
) -> Sequence[Candidate]:
    """Return the events that *position* and *base* do not both count as published."""
    rows = session.rows(
        "resync_candidates",
        shard=shard,
        shards=shards,
        floor=str(floor(position, base)),
        a=position.a,
        b=position.b,
        last=position.last_id,
        base_a=base.a,
        base_b=base.b,
        base_last=base.last_id,
    )
    return [
        Candidate(
            row["id"],
            row["event_id"],
            row["topic"] or route.topic(row["aggregate_type"], row["type"]),
            row["created_at"],
            row["covered"],
        )
        for row in rows
    ]
