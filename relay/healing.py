"""`outbox relay hanging`: which transactions hide positions, and ending them as it is proven that they ended.

Ending needs the lease of the shard, for it is done under the relay's transactional id, and leaves a row in the audit
before anything is done. What is not proven is left as it is.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outbox.envelope import Route
from relay.errors import InvalidOptionError, LeaseHeldError, SinkUnavailableError
from relay.hanging import diagnose, heal
from relay.lease import Installation
from relay.leases import Session
from relay.service import chosen_shards, kafka_options, open_transactions
from relay.settings import RelaySettings
from relay.transactions import Transactions
from relay.undecided import Diagnosis
from runtime.connecting import check_kafka
from runtime.schema_version import require_schema


@dataclass(frozen=True, slots=True)
class Shard:
    """What hangs on one shard, if anything does, and whether it was ended."""

    shard: int
    diagnosis: Diagnosis | None
    ended: bool = False

    @property
    def well(self) -> bool:
        """Return whether nothing hangs there any more."""
        return self.diagnosis is None or self.ended

    def __str__(self) -> str:
        """Return what hangs, and what was done."""
        if self.diagnosis is None:
            return f"shard {self.shard}: nothing hangs"
        return f"shard {self.shard}: {self.diagnosis}" + ("; ended so" if self.ended else "")


def hanging(env: Mapping[str, str], *, shards: str | None, reason: str | None) -> Iterator[Shard]:
    """Yield what hangs on each shard; with a *reason*, end it as it is proven to have ended."""
    settings = RelaySettings.load(env)
    check_kafka(settings.kafka_bootstrap, settings.kafka_options)
    if reason is not None and not reason.strip():
        raise InvalidOptionError("reason", "expected why it is ended, got nothing")
    session = Session.open(settings.database_url, name="hanging")
    try:
        require_schema(session.connection)
        installation = session.installation()
        for shard in chosen_shards(shards, installation):
            if reason is None:
                yield Shard(shard, examined(session, settings, installation, shard))
            else:
                yield _ended(session, settings, installation, shard, reason=reason)
    finally:
        session.close()


def examined(session: Session, settings: RelaySettings, installation: Installation, shard: int) -> Diagnosis | None:
    """Return what hangs on the progress partition of *shard* and on the topics of events, and how it ended."""
    transactions = open_transactions(settings)
    if transactions.unable:
        raise SinkUnavailableError(transactions.unable)
    return diagnose(
        session,
        transactions,
        kafka_options(settings),
        installation=installation,
        shard=shard,
        topics=_topics(session, settings, transactions),
    )


def end(session: Session, settings: RelaySettings, diagnosis: Diagnosis, *, reason: str) -> None:
    """Note *reason* in the audit, and end what hangs as *diagnosis* has proven; the lease is ours."""
    detail = {"what": str(diagnosis), "outcome": diagnosis.outcome}
    session.row(
        "record_action",
        action="end_hanging",
        target=f"shard {diagnosis.shard}",
        reason=reason,
        detail=json.dumps(detail),
    )
    heal(open_transactions(settings), diagnosis)


def _ended(session: Session, settings: RelaySettings, installation: Installation, shard: int, *, reason: str) -> Shard:
    if not session.try_lock(shard):
        holder = session.holder(shard)
        raise LeaseHeldError(shard, f"pid {holder.pid} ({holder.application_name})" if holder else "another session")
    try:
        diagnosis = examined(session, settings, installation, shard)
        if diagnosis is None or diagnosis.outcome is None:
            return Shard(shard, diagnosis)
        end(session, settings, diagnosis, reason=reason)
        return Shard(shard, diagnosis, ended=True)
    finally:
        session.unlock(shard)


def _topics(session: Session, settings: RelaySettings, transactions: Transactions) -> list[str]:
    """Return the topics that events are meant for, and those that only earlier ones were."""
    route = Route(settings.relay_route)
    rows = session.rows("topics_of_events")
    found = {row["topic"] or route.topic(row["aggregate_type"], row["type"]) for row in rows}
    prefix = settings.relay_route.partition("{")[0]
    return sorted(found | set(transactions.topics(prefix) if prefix else ()))
