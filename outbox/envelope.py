"""The event on the wire: what a row of `outbox.event` becomes as a Kafka record, and how a consumer reads it back.

Every envelope has the topic (the row's own, else the route's), the key `aggregate_id`, and the headers `id` (the
event_id), `traceparent` unchanged and the event's own. They differ in where the rest goes:

cloudevents-binary      value: the payload's bytes · headers: CloudEvents attributes as `ce_*`
cloudevents-structured  value: a CloudEvents JSON object with the payload's text in `data`
debezium                value: the payload's bytes · headers `eventType` and `aggregateType`

`encode` is the relay's hot path: 1 µs. That is why StoredEvent and Record are tuples (frozen dataclasses take three
times as long to construct), why everything that depends on the event's types alone is made once, and why the text of
the time is PostgreSQL's: it takes 0.3 µs for it, and Python 1.5.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from json.encoder import encode_basestring
from typing import NamedTuple, Protocol
from urllib.parse import quote

from outbox.decoding import ReceivedEvent, decode
from outbox.errors import InvalidRouteError, UnknownEnvelopeError
from outbox.event import is_reserved

__all__ = [
    "DEFAULT_ENVELOPE",
    "DEFAULT_ROUTE",
    "CloudEventsBinary",
    "CloudEventsStructured",
    "Debezium",
    "Envelope",
    "ReceivedEvent",
    "Record",
    "Route",
    "StoredEvent",
    "decode",
    "load_envelope",
]

DEFAULT_ROUTE = "outbox.event.{aggregate_type}"
DEFAULT_ENVELOPE = "cloudevents-binary"
ENTRY_POINTS = "outbox.envelopes"

Header = tuple[str, bytes]

# Pairs of aggregate type and event type whose constant parts are kept. A host that makes up types endlessly starts
# the cache afresh now and then instead of filling the memory.
_KEPT_KINDS = 4096


class StoredEvent(NamedTuple):
    """What a row of `outbox.event` says, as PostgreSQL's text of it; `created_at` in UTC and as RFC 3339 wants it."""

    event_id: str
    aggregate_type: str
    aggregate_id: str
    type: str
    payload: str
    headers: str | None
    topic: str | None
    created_at: str


class Record(NamedTuple):
    """What goes to Kafka."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[Header, ...]


class Envelope(Protocol):
    """A form of the event on the wire. Constructed once a process, with *source* and *route*."""

    name: str

    def encode(self, event: StoredEvent) -> Record:
        """Return the record for *event*; it depends on nothing but the row and the envelope's settings."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where events go that name no topic: a template over `{aggregate_type}` and `{type}`."""

    template: str = DEFAULT_ROUTE

    def __post_init__(self) -> None:
        """Refuse a template that names anything else, or that is empty."""
        try:
            topic = self.topic("a", "b")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            invalid = InvalidRouteError(self.template, "it may name {aggregate_type} and {type}, and nothing else")
            raise invalid from error
        if not topic:
            raise InvalidRouteError(self.template, "it is empty")

    def topic(self, aggregate_type: str, type_: str) -> str:
        """Return the topic for events of these types."""
        return self.template.format(aggregate_type=aggregate_type, type=type_)


class _Kind(NamedTuple):
    """What is the same for all events of one aggregate type and event type."""

    topic: str
    source: str
    headers: tuple[Header, ...]


class _Encoder:
    """What the three envelopes share: the route, the source, and the constant parts, made once a kind."""

    name = ""

    def __init__(self, *, source: str, route: Route | None = None) -> None:
        """Encode events of the installation *source*, a URI reference such as `/outbox/<install_id>`."""
        self._source = source.rstrip("/")
        self._route = route or Route()
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def _kind(self, aggregate_type: str, type_: str) -> _Kind:
        """Return the constant parts, which are not kept yet."""
        if len(self._kinds) >= _KEPT_KINDS:
            self._kinds.clear()
        source = f"{self._source}/{quote(aggregate_type, safe='')}"
        topic = self._route.topic(aggregate_type, type_)
        kind = _Kind(topic, source, self._constant_headers(aggregate_type, type_, source))
        self._kinds[aggregate_type, type_] = kind
        return kind

    def _constant_headers(self, aggregate_type: str, type_: str, source: str) -> tuple[Header, ...]:
        raise NotImplementedError


class CloudEventsBinary(_Encoder):
    """The payload's bytes as the value, CloudEvents attributes as headers: most consumers need no library for it."""

    name = "cloudevents-binary"

    def encode(self, event: StoredEvent) -> Record:
        """Return the record; every byte of the payload is as the host wrote it."""
        event_id, aggregate_type, aggregate_id, type_, payload, own, topic, created_at = event
        kind = self._kinds.get((aggregate_type, type_)) or self._kind(aggregate_type, type_)
        identity = event_id.encode()
        key = aggregate_id.encode()
        headers = (
            ("id", identity),
            ("ce_id", identity),
            ("ce_time", created_at.encode()),
            ("ce_subject", key),
            *kind.headers,
        )
        if own is not None:
            headers += _own_headers(own)
        return Record(topic or kind.topic, key, payload.encode(), headers)

    def _constant_headers(self, aggregate_type: str, type_: str, source: str) -> tuple[Header, ...]:
        del aggregate_type  # it is the last part of the source
        return (
            ("ce_specversion", b"1.0"),
            ("ce_type", type_.encode()),
            ("ce_source", source.encode()),
            ("content-type", b"application/json"),
        )


class CloudEventsStructured(_Encoder):
    """One JSON object with everything in it, for consumers that keep values and drop headers."""

    name = "cloudevents-structured"

    def encode(self, event: StoredEvent) -> Record:
        """Return the record; the payload's text is put into `data` as it is, so that no digit of it changes."""
        event_id, aggregate_type, aggregate_id, type_, payload, own, topic, created_at = event
        kind = self._kinds.get((aggregate_type, type_)) or self._kind(aggregate_type, type_)
        value = (
            f'{{"specversion":"1.0","id":"{event_id}","type":{encode_basestring(type_)},'
            f'"source":{encode_basestring(kind.source)},"subject":{encode_basestring(aggregate_id)},'
            f'"time":"{created_at}","datacontenttype":"application/json","data":{payload}}}'
        )
        headers = (("id", event_id.encode()), *kind.headers)
        if own is not None:
            headers += _own_headers(own)
        return Record(topic or kind.topic, aggregate_id.encode(), value.encode(), headers)

    def _constant_headers(self, aggregate_type: str, type_: str, source: str) -> tuple[Header, ...]:
        del aggregate_type, type_, source  # they are in the value
        return (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


class Debezium(_Encoder):
    """As Debezium's outbox event router writes it, for consumers that were written against that."""

    name = "debezium"

    def encode(self, event: StoredEvent) -> Record:
        """Return the record; the time of the event is in no header there, and so is not here."""
        event_id, aggregate_type, aggregate_id, type_, payload, own, topic, _created_at = event
        kind = self._kinds.get((aggregate_type, type_)) or self._kind(aggregate_type, type_)
        headers = (("id", event_id.encode()), *kind.headers)
        if own is not None:
            headers += _own_headers(own)
        return Record(topic or kind.topic, aggregate_id.encode(), payload.encode(), headers)

    def _constant_headers(self, aggregate_type: str, type_: str, source: str) -> tuple[Header, ...]:
        del source  # Debezium has none
        return (("eventType", type_.encode()), ("aggregateType", aggregate_type.encode()))


_BUILT_IN: dict[str, Callable[..., Envelope]] = {
    CloudEventsBinary.name: CloudEventsBinary,
    CloudEventsStructured.name: CloudEventsStructured,
    Debezium.name: Debezium,
}


def load_envelope(name: str, *, source: str, route: Route | None = None) -> Envelope:
    """Return the envelope of that name: ours, or one that is installed under entry point group `outbox.envelopes`."""
    if name in _BUILT_IN:
        return _BUILT_IN[name](source=source, route=route)
    installed = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        raise UnknownEnvelopeError(name, tuple(sorted(_BUILT_IN.keys() | installed.keys())))
    envelope: Envelope = installed[name].load()(source=source, route=route)
    return envelope


def _own_headers(text: str) -> tuple[Header, ...]:
    """Return the event's own headers from PostgreSQL's text of a JSON object.

    Reserved names can get here, for a host in SQL is held by no Event: they are left out, or a record would have two
    identities. A value that is no text travels as its JSON.
    """
    return tuple(
        [
            (name, (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode())
            for name, value in _read_object(text)[0].items()
            if not _is_reserved(name)
        ]
    )


# A quarter of the time of json.loads, which looks for white space that PostgreSQL does not write around an object.
_read_object = json.JSONDecoder().raw_decode
# The names are few, and the same in every event.
_is_reserved = lru_cache(maxsize=1024)(is_reserved)
