"""Read an event out of a Kafka record, whichever of the envelopes it came in, and whoever wrote it.

Anything may be on a topic. What is no event is told apart with a reason that quotes no value, so that it can be kept
as a dead letter and looked at.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Never
from urllib.parse import unquote
from uuid import UUID

from outbox import json_text
from outbox.errors import InvalidPayloadError, MalformedRecordError
from outbox.event import is_reserved


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """What a consumer reads out of a record, whichever envelope it came in."""

    event_id: UUID
    type: str
    aggregate_type: str
    aggregate_id: str
    payload: object = field(repr=False)
    # As it was written, to be stored or passed on: numbers keep their digits.
    payload_text: str = field(repr=False)
    # The event's own, traceparent among them; those of the envelope are in the other fields.
    headers: Mapping[str, str] = field(repr=False)
    created_at: datetime | None = None

    @property
    def traceparent(self) -> str | None:
        """Return the trace context of the transaction that inserted the event."""
        return self.headers.get("traceparent")


class _ProblemError(Exception):
    """What is wrong with the record that is being read."""


def decode(
    *,
    topic: str,
    key: bytes | str | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]] | None,
) -> ReceivedEvent:
    """Return the event in a record; raise MalformedRecordError, which never quotes the value, if there is none."""
    event_id: str | None = None
    try:
        texts = _texts(headers or ())
        event_id = texts.get("id") or texts.get("ce_id")
        return _reader(texts)(topic, _text(key or b"", "the key"), _present(value), texts)
    except _ProblemError as problem:
        raise MalformedRecordError(topic, str(problem), _canonical_id(event_id)) from None


_Reader = Callable[[str, str, bytes, dict[str, str]], ReceivedEvent]


def _reader(headers: Mapping[str, str]) -> _Reader:
    """Return what reads the envelope that these headers belong to."""
    if headers.get("content-type", "").lower().startswith("application/cloudevents+json"):
        return _read_structured
    if "ce_specversion" in headers or "ce_type" in headers:
        return _read_binary
    if "eventType" in headers:
        return _read_debezium
    raise _ProblemError("its headers belong to no known envelope")


def _read_binary(_topic: str, key: str, value: bytes, headers: dict[str, str]) -> ReceivedEvent:
    return _received(
        headers=headers,
        event_id=headers.get("id") or headers.get("ce_id"),
        type_=headers.get("ce_type"),
        aggregate_type=_aggregate_type(headers.get("ce_source", "")),
        aggregate_id=key or headers.get("ce_subject"),
        payload_text=_text(value, "the value"),
        created_at=headers.get("ce_time"),
    )


def _read_structured(_topic: str, key: str, value: bytes, headers: dict[str, str]) -> ReceivedEvent:
    event = _parse(_text(value, "the value"))
    if not isinstance(event, dict):
        raise _ProblemError("expected its value to be a JSON object")
    if "data" not in event:
        raise _ProblemError("its value has no data")
    attributes = {name: text for name, text in event.items() if isinstance(text, str)}
    return _received(
        headers=headers,
        event_id=headers.get("id") or attributes.get("id"),
        type_=attributes.get("type"),
        aggregate_type=_aggregate_type(attributes.get("source", "")),
        aggregate_id=key or attributes.get("subject"),
        payload_text=_rewritten(event["data"]),
        created_at=attributes.get("time"),
    )


def _read_debezium(topic: str, key: str, value: bytes, headers: dict[str, str]) -> ReceivedEvent:
    return _received(
        headers=headers,
        event_id=headers.get("id"),
        type_=headers.get("eventType"),
        # Debezium's own connector places it only if it is told to; its default route ends with it.
        aggregate_type=headers.get("aggregateType") or topic.rpartition(".")[2],
        aggregate_id=key,
        payload_text=_text(value, "the value"),
        created_at=None,
    )


def _received(  # one place where every envelope's facts become an event, or a reason why not
    *,
    headers: Mapping[str, str],
    event_id: str | None,
    type_: str | None,
    aggregate_type: str,
    aggregate_id: str | None,
    payload_text: str,
    created_at: str | None,
) -> ReceivedEvent:
    """Return the event; raise for the first fact that is missing or wrong."""
    identity = _canonical_id(event_id)
    if identity is None:
        raise _ProblemError("expected its id to be a UUID" if event_id else "it has no id")
    for name, fact in (("type", type_), ("aggregate type", aggregate_type), ("key", aggregate_id)):
        if not fact:
            raise _ProblemError(f"it has no {name}")
    return ReceivedEvent(
        event_id=UUID(identity),
        type=type_ or "",
        aggregate_type=aggregate_type,
        aggregate_id=aggregate_id or "",
        payload=_parse(payload_text),
        payload_text=payload_text,
        headers={
            name: value for name, value in headers.items() if name not in _ENVELOPES_OWN and not is_reserved(name)
        },
        created_at=_moment(created_at),
    )


_ENVELOPES_OWN = frozenset({"eventType", "aggregateType"})


def _present(value: bytes | None) -> bytes:
    """Return the value; there is none in a tombstone."""
    if value is None:
        raise _ProblemError("it has no value (a tombstone)")
    return value


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Return the headers as text; of two with one name the first counts, and one without a value is left out."""
    texts: dict[str, str] = {}
    for name, value in headers:
        if value is not None:
            texts.setdefault(name, _text(value, f"header {name!r}"))
    return texts


def _text(raw: bytes | str, what: str) -> str:
    """Return the bytes as text."""
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _ProblemError(f"expected {what} to be UTF-8") from None


def _parse(text: str) -> object:
    """Return the JSON value, with a Decimal for each number that is not whole."""
    try:
        value: object = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        # Neither the error nor its cause is passed on: JSONDecodeError holds the whole document.
        raise _ProblemError("expected its value to be JSON") from None
    return value


def _refuse_constant(_name: str) -> Never:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError


def _rewritten(value: object) -> str:
    """Return the text of a value that came inside another one."""
    try:
        return json_text.write(value, name="data")
    except InvalidPayloadError as error:
        raise _ProblemError(str(error)) from None


def _aggregate_type(source: str) -> str:
    """Return the last part of a source, where our envelopes put the aggregate type."""
    return unquote(source.rpartition("/")[2])


def _canonical_id(text: str | None) -> str | None:
    """Return the id as PostgreSQL would write it; nothing, if it is no UUID."""
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None


def _moment(text: str | None) -> datetime | None:
    """Return when the event was inserted; nothing, if the record does not say so in a way that we read."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
