"""Giving a shard its new position, fenced like a takeover: lease, epoch, producer, then what was planned, or nothing.

Crash-safe in this order: everything in PostgreSQL is one transaction, after which the old stop still holds, for the
last progress record is as it was; the new record is the moment at which the position changes; the mirror only follows.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from relay.errors import LeaseHeldError, SinkUnavailableError, UncleanError
from relay.lease import Installation, Term
from relay.leases import Session
from relay.machine import Unclean, judge_commit
from relay.publisher import Sink
from relay.resync.deciding import Choice, Effects, Situation, Target, progress_record
from relay.resync.errors import ChangedMeanwhileError, NotPermittedError
from relay.resync.looking import Records, read_records, situation
from relay.telemetry import Emit
from relay.window import Position, Window

# Seconds (protocol 2.4), and how often the lease is felt meanwhile.
_INITIALISE = 30.0
_FEEL = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What was shown and agreed to, for one shard; *installation* is as it will be, *seen* what it rests on."""

    seen: Situation
    installation: Installation
    target: Target
    effects: Effects
    reason: str

    @property
    def shard(self) -> int:
        """Return which shard."""
        return self.seen.shard


@dataclass(frozen=True, slots=True)
class Tools:
    """How a resync gets at the systems."""

    open_session: Callable[[str], Session]
    make_sink: Callable[[Installation, str, int], Sink]
    options: Mapping[str, Any]
    ensure_topic: Callable[[Installation], None]


def carry_out(plan: Plan, tools: Tools, emit: Emit) -> Position:
    """Give the shard the position of *plan*, and return it; raise, with the old stop in place, if it cannot be."""
    session = tools.open_session(f"resync {plan.shard}")
    sinks: list[Sink] = []
    try:
        term = _begin(session, plan, emit)
        tools.ensure_topic(plan.installation)
        sinks.extend(_fence(plan, tools, emit, feel=lambda: session.check(term)))
        _unchanged(session, plan, tools)
        _prepare(session, term, plan)
        emit("relay.resync.prepared", seq=plan.target.position.seq)
        _commit(sinks[-1], term, plan, tools)
        emit("relay.resync.committed", seq=plan.target.position.seq)
        _mirror(session, term, plan.target.position)
        emit("relay.mirror.written", seq=plan.target.position.seq)
        return plan.target.position
    finally:
        for sink in sinks:
            sink.close()
        session.unlock(plan.shard)
        session.close()


def _begin(session: Session, plan: Plan, emit: Emit) -> Term:
    """Take the lease, and raise the epoch above every one that Kafka knows."""
    if not session.one("resync_permitted")["permitted"]:
        raise NotPermittedError(session.connection.info.user)
    session.rows("ensure_shard", shards=plan.installation.shards)
    if not session.try_lock(plan.shard):
        holder = session.holder(plan.shard)
        raise LeaseHeldError(plan.shard, f"pid {holder.pid} ({holder.application_name})" if holder else "another relay")
    emit("relay.lease.granted")
    term = Term(shard=plan.shard, **session.one("resync_raise_epoch", shard=plan.shard, above=plan.target.epoch_above))
    emit("relay.epoch.raised", epoch=term.epoch)
    return term


def _fence(plan: Plan, tools: Tools, emit: Emit, *, feel: Callable[[], None]) -> list[Sink]:
    """Return producers that have fenced every predecessor under its transactional id; ours is the last of them."""
    ours = plan.installation.transactional_id(plan.shard)
    former = plan.seen.installation
    names = {replace(former, gen=record.gen).transactional_id(plan.shard) for record in plan.seen.records}
    # A copy leaves the producers of the original alone.
    others = sorted(names - {ours}) if former.install == plan.installation.install else []
    sinks = []
    for name in (*others, ours):
        sink = tools.make_sink(plan.installation, name, plan.shard)
        sinks.append(sink)
        deadline = time.monotonic() + _INITIALISE
        while not sink.initialise(_FEEL):
            feel()
            if time.monotonic() > deadline:
                raise SinkUnavailableError(f"init_transactions did not end within {_INITIALISE:.0f} s")
    feel()
    emit("relay.producer.initialised")
    return sinks


def _unchanged(session: Session, plan: Plan, tools: Tools) -> None:
    """Raise unless the shard is as it was when the plan was made; a relay may have been at work meanwhile."""
    former = plan.seen.installation
    records: Records = read_records(tools.options, former, plan.shard)
    found = situation(session, records, former, plan.shard)
    if (found.records[-1:], found.foreign) != (plan.seen.records[-1:], plan.seen.foreign):
        raise ChangedMeanwhileError(plan.shard, "there is another progress record")
    if replace(found.mirror, epoch=plan.seen.mirror.epoch) != plan.seen.mirror:
        raise ChangedMeanwhileError(plan.shard, "the mirror in outbox.shard was written")


def _prepare(session: Session, term: Term, plan: Plan) -> None:
    """Write barrier, audit and what is to be left out, in one transaction; the old stop still holds after it."""
    position, seen = plan.target.position, plan.seen
    # As it is now: with --all, the shard before this one may have written the new name already.
    moved = session.installation() != plan.installation
    with session.fenced(term):
        if moved:
            session.rows("resync_adopt", install=plan.installation.install, reason=plan.reason)
        session.one("resync_prepare", shard=plan.shard)
        if plan.target.choice is Choice.BEGINNING:
            session.one("resync_forget", shard=plan.shard, reason=plan.reason)
        if plan.effects.left_out:
            session.rows(
                "resync_leave_out", shard=plan.shard, ids=list(plan.effects.left_out), reason=f"resync: {plan.reason}"
            )
        session.write_barrier(
            term, Window(seq=position.seq, a=position.a, b=position.b, lo=0, olds=(), n=plan.target.n)
        )
        detail = {
            "from": plan.target.choice,
            "position": asdict(position),
            "epoch": term.epoch,
            "former": asdict(seen.records[-1]) if seen.records else None,
            **{name: asdict(some) for name, some in plan_effects(plan.effects)},
        }
        session.rows(
            "record_action",
            action="resync",
            target=f"shard {plan.shard}",
            reason=plan.reason,
            detail=json.dumps(detail, default=str),
        )


def plan_effects(effects: Effects) -> Sequence[tuple[str, Any]]:
    """Return what the choice does, by the names under which it is shown and audited."""
    return (
        ("publish", effects.publish),
        ("twice", effects.twice),
        ("lose", effects.lose),
        ("leave_out", effects.leave_out),
    )


def _commit(sink: Sink, term: Term, plan: Plan, tools: Tools) -> None:
    """Commit the new progress record; when its end is not certain, Kafka says whether it is there."""
    record = progress_record(plan.installation, plan.shard, epoch=term.epoch, position=plan.target.position)
    sink.begin()
    sink.produce_progress(record.key, record.encode())
    verdict = judge_commit(sink.commit({}), ())
    if not isinstance(verdict, Unclean):
        return
    again = tools.make_sink(plan.installation, plan.installation.transactional_id(plan.shard), plan.shard)
    try:
        deadline = time.monotonic() + _INITIALISE
        while not again.initialise(_FEEL) and time.monotonic() < deadline:
            pass
        if read_records(tools.options, plan.installation, plan.shard).records[-1:] != (record,):
            raise UncleanError(verdict.reason)
    finally:
        again.close()


def _mirror(session: Session, term: Term, position: Position) -> None:
    session.one(
        "resync_mirror", shard=term.shard, epoch=term.epoch, seq=position.seq, b=position.b, last=position.last_id
    )
