"""Where a shard is, as Kafka, the barrier row and the mirror have it: what to look at when a relay has stopped."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from relay.errors import HaltedError, PositionHiddenError, SinkUnavailableError
from relay.lease import Absent, Accepted, Batch, Holder, Installation, Term, Unfit, judge_history, judge_position
from relay.leases import Session
from relay.progress import LastRecord
from relay.service import explainer, open_reader
from relay.settings import RelaySettings
from runtime.connecting import check_kafka
from runtime.schema_version import require_schema


@dataclass(frozen=True, slots=True)
class Place:
    """One shard, seen from all sides."""

    shard: int
    fits: bool
    verdict: str
    kafka: dict[str, Any] | None
    barrier: Batch | None
    mirror: dict[str, Any]
    holder: Holder | None

    def facts(self) -> Iterator[tuple[str, object]]:
        """Return what a person compares, a line each."""
        yield "Kafka", self.kafka or "no record"
        yield "barrier", self.barrier or "no row"
        yield "PostgreSQL", {name: fact for name, fact in self.mirror.items() if fact is not None}
        yield "lease", self.holder or "nobody holds it"


def positions(env: Mapping[str, str]) -> list[Place]:
    """Return where each shard is."""
    settings = RelaySettings.load(env)
    check_kafka(settings.kafka_bootstrap, settings.kafka_options)
    session = Session.open(settings.database_url, name="position")
    try:
        require_schema(session.connection)
        installation = session.installation()
        history = judge_history(session.facts(), installation)
        return [_place(session, installation, settings, shard, history) for shard in range(installation.shards)]
    finally:
        session.close()


def _place(
    session: Session, installation: Installation, settings: RelaySettings, shard: int, history: str | None
) -> Place:
    mirror = session.row("mirror", shard=shard) or {}
    last, trouble = _last(session, settings, installation, shard, published=bool(mirror.get("bootstrapped")))
    batch = session.batch(shard, last.progress.seq) if last is not None and last.progress else None
    fits, verdict = False, history or trouble
    if verdict is None and last is not None:
        fits, verdict = _judged(session, installation, shard, mirror=mirror, last=last, batch=batch)
    kafka = asdict(last.progress) if last is not None and last.progress else None
    return Place(shard, fits, verdict or "", kafka, batch, mirror, session.holder(shard))


def _last(
    session: Session, settings: RelaySettings, installation: Installation, shard: int, *, published: bool
) -> tuple[LastRecord | None, str | None]:
    reader = open_reader(settings, installation, shard)
    try:
        return reader.last(), None
    except PositionHiddenError as error:
        return None, explainer(settings, installation)(session, error).reason
    except HaltedError as error:
        return (None, error.reason) if published else (LastRecord(None), None)
    except SinkUnavailableError as error:
        return None, str(error)
    finally:
        reader.close()


def _judged(
    session: Session,
    installation: Installation,
    shard: int,
    *,
    mirror: dict[str, Any],
    last: LastRecord,
    batch: Batch | None,
) -> tuple[bool, str]:
    term = Term(
        shard=shard,
        epoch=mirror.get("epoch", 0),
        bootstrapped=mirror.get("bootstrapped", False),
        pruned_seq=mirror.get("pruned_seq", 0),
        confirmed_seq=mirror.get("confirmed_seq", 0),
        confirmed_last=mirror.get("confirmed_last"),
    )
    verdict = judge_position(
        last.progress,
        foreign=last.foreign,
        installation=installation,
        term=term,
        batch=batch,
        now=session.current_snapshot(),
    )
    match verdict:
        case Accepted(position):
            return True, f"the position fits: window {position.seq}, " + (
                "finished" if position.finished else f"published up to id {position.last_id}"
            )
        case Absent():
            return True, "nothing was published yet"
        case Unfit(reason):
            return False, reason
