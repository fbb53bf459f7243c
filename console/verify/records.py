"""What a Kafka record says that is compared: whose event it is and when that was made. Its payload is not kept."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from console.verify.facts import Copy, Finding, Kind
from console.verify.scratch import short
from outbox.envelope import decode
from outbox.errors import MalformedRecordError
from relay.lease import Installation
from relay.window import decode_progress

if TYPE_CHECKING:
    from confluent_kafka import Message

_STRUCTURED: Final = b"application/cloudevents+json"
# A record of the progress topic that is none: it has no window, and belongs to nobody.
NO_WINDOW: Final = -1


class OtherSource(str):  # noqa: SLOT000 - a string that says more
    """The CloudEvents source of a record that another outbox wrote into the same topic."""


def read_record(message: "Message", source: str, *, ours: bool) -> Copy | Finding | OtherSource:
    """Return what *message* says of its event; a finding if it is nobody's; our events begin with *source*.

    In a topic that is not *ours*, for no event of the range names it, others may write what they like.
    """
    headers = dict(_headers(message))
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    ce_source = headers.get("ce_source", b"").decode(errors="replace")
    if not ce_source.startswith(f"{source}/") and (ce_source or not ours):
        return OtherSource(ce_source)
    try:
        event_id = UUID(headers["id"].decode()).bytes
    except (KeyError, ValueError):
        where = f"{topic}/{partition}@{offset}"
        problem = f"record {where} bears no event id: no relay wrote it"
        return Finding(Kind.MADE_UP, problem, topic=topic, partition=partition, offset=offset)
    key: Any = message.key() or b""
    return Copy(event_id, topic, partition, offset, short(key), _made_at(message, headers))


def _headers(message: "Message") -> Iterable[tuple[str, bytes]]:
    given: Any = message.headers() or []
    return ((name, value or b"") for name, value in given)


def _made_at(message: "Message", headers: dict[str, bytes]) -> float:
    """Return when the event was made; when it was published, if its envelope does not say."""
    published_at = message.timestamp()[1] / 1000
    if headers.get("content-type", b"").startswith(_STRUCTURED):
        value: Any = message.value()
        try:
            made = decode(topic="", key=b"", value=value, headers=[*headers.items()]).created_at
        except MalformedRecordError:
            return published_at
        return made.timestamp() if made else published_at
    try:
        made = datetime.fromisoformat(headers["ce_time"].decode())
    except (KeyError, ValueError):
        return published_at
    return made.replace(tzinfo=made.tzinfo or UTC).timestamp()


def read_progress(message: "Message", installation: Installation) -> tuple[Any, ...]:
    """Return a progress record as scratch keeps it."""
    value: Any = message.value()
    found = decode_progress(value)
    shard, offset = message.partition() or 0, message.offset() or 0
    if found is None:
        return shard, offset, NO_WINDOW, NO_WINDOW, 0, "", "", None, 0, "", ""
    owner = owner_of(found.install, found.sysid)
    if found.gen > installation.gen or found.shard != shard:
        owner += f", generation {found.gen}, shard {found.shard}"
    place = (shard, offset, found.seq, found.prev_seq, found.epoch)
    return *place, found.a, found.b, found.last_id, found.n, found.sha, owner


def owner_of(install: str, sysid: int) -> str:
    """Return whose progress records are believed."""
    return f"installation {install} on cluster {sysid}"
