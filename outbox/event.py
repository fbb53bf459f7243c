"""The event: a fact about one aggregate, valid once constructed and immutable from then on.

What PostgreSQL, Kafka or a reader would refuse later is refused here, where the host's stack trace shows who made it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from outbox import json_text
from outbox.errors import InvalidEventError, ReservedHeaderError

Payload = Mapping[str, object] | Sequence[object] | str | int | float | Decimal | None

# The columns' own limit (migrations/sql/0001_tables.sql), counted in characters as PostgreSQL's length() counts.
MAX_NAME_LENGTH = 200
# Kafka's rule for the name of a topic.
MAX_TOPIC_LENGTH = 249
_TOPIC = re.compile(r"[A-Za-z0-9._-]+")
# W3C Trace Context, version 00: an unknown trace or span is all zeros, and no valid one.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_RESERVED_NAMES = frozenset({"id", "content-type"})
_RESERVED_PREFIXES = ("ce_", "outbox-")


def is_reserved(header: str) -> bool:
    """Return whether the envelope writes the header of that name by itself, so that a host's would be a second one."""
    lowered = header.lower()
    return lowered in _RESERVED_NAMES or lowered.startswith(_RESERVED_PREFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about one aggregate, to be inserted in the transaction that made it true.

    *aggregate_id* is the Kafka key: events of one aggregate keep their order. *payload* is anything that JSON can
    hold, and datetimes, UUIDs and enumerations; decimals and big integers keep their digits. *headers* travel as
    Kafka headers. *topic* overrides the route. *event_id* is generated on insert when it is not given.
    """

    aggregate_type: str
    aggregate_id: str
    type: str
    # Neither is shown by repr(): payloads and headers hold personal data, and events end up in logs.
    payload: Payload = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    topic: str | None = None
    event_id: UUID | None = None
    # The text that is stored. Taken now, so that a host that goes on changing its dictionary does not change the fact.
    payload_text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what could not be stored, published or read back."""
        _check_text("aggregate_type", self.aggregate_type, longest=MAX_NAME_LENGTH)
        _check_text("aggregate_id", self.aggregate_id)
        _check_text("type", self.type, longest=MAX_NAME_LENGTH)
        if self.topic is not None:
            _check_topic(self.topic)
        if self.event_id is not None and not isinstance(self.event_id, UUID):
            raise InvalidEventError("event_id", "a UUID", type(self.event_id).__qualname__)
        object.__setattr__(self, "headers", _checked_headers(self.headers))
        object.__setattr__(self, "payload_text", json_text.write(self.payload))


def _check_text(name: str, value: object, *, longest: int | None = None) -> None:
    """Refuse what is no text, is empty or too long, or holds what a text column cannot."""
    if not isinstance(value, str):
        error = InvalidEventError(name, "text", type(value).__qualname__)
        error.add_note(f"give str({name})")
        raise error
    if not value:
        raise InvalidEventError(name, "not empty", "an empty text")
    if longest is not None and len(value) > longest:
        raise InvalidEventError(name, f"at most {longest} characters long", f"{len(value)} characters")
    _check_encoding(name, value)


def _check_encoding(name: str, value: str) -> None:
    """Refuse U+0000, which PostgreSQL cannot hold, and lone surrogates, which UTF-8 cannot."""
    if "\0" in value:
        raise InvalidEventError(name, "text without U+0000", "text with it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidEventError(name, "text that UTF-8 can hold", "text with a lone surrogate") from None


def _check_topic(topic: object) -> None:
    """Refuse what Kafka does not take as the name of a topic."""
    _check_text("topic", topic, longest=MAX_TOPIC_LENGTH)
    if topic in (".", "..") or not _TOPIC.fullmatch(str(topic)):
        raise InvalidEventError("topic", "letters, digits, '.', '_' and '-'", repr(topic))


def _checked_headers(headers: object) -> dict[str, str]:
    """Return a copy of the headers; refuse reserved names, values that are no text, and a malformed traceparent."""
    if not isinstance(headers, Mapping):
        raise InvalidEventError("headers", "a mapping of text to text", type(headers).__qualname__)
    for name, value in headers.items():
        _check_text("a header's name", name)
        if is_reserved(name):
            raise ReservedHeaderError(name)
        if not isinstance(value, str):
            raise InvalidEventError(f"header {name!r}", "text", type(value).__qualname__)
        _check_encoding(f"header {name!r}", value)
    traceparent = headers.get("traceparent")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        raise InvalidEventError("header 'traceparent'", "a W3C trace context of version 00", "something else")
    return dict(headers)
