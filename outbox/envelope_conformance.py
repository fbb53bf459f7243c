"""What every envelope has to do: a suite for plug-in authors, which our own envelopes pass.

    from outbox.envelope_conformance import EnvelopeConformance

    class TestOurs(EnvelopeConformance):
        @pytest.fixture
        def name(self) -> str:
            return "ours"

The envelope must be found by `load_envelope`: register its class under the entry-point group `outbox.envelopes`.
"""

from outbox.envelope import Envelope, Record, Route, StoredEvent, load_envelope

_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_EVENT = StoredEvent(
    event_id="0192f0c1-5d5e-7cc0-8000-000000000001",
    aggregate_type="conformance",
    aggregate_id="42 ä",
    type="conformance.checked",
    payload='{"price": 19.90,  "big": 18446744073709551617, "name": "ž"}',
    headers=f'{{"tenant": "zürich", "traceparent": "{_TRACEPARENT}"}}',
    topic=None,
    created_at="2026-11-24T08:30:15.000120Z",
)


class EnvelopeConformance:
    """Subclass it with the fixture `name`."""

    def test_it_says_the_name_that_it_is_installed_under(self, name: str) -> None:
        """Settings and logs name it alike."""
        envelope = _load(name)

        _expect(envelope.name == name, f"the name to be {name!r}", envelope.name)

    def test_the_route_decides_on_the_topic(self, name: str) -> None:
        """Consumers find an aggregate's events where they were told to."""
        topic = load_envelope(name, source="/s", route=Route("x.{aggregate_type}.{type}")).encode(_EVENT).topic

        _expect(topic == "x.conformance.conformance.checked", "the route's topic", topic)

    def test_the_topic_of_the_row_overrides_the_route(self, name: str) -> None:
        """The host has the last word."""
        topic = _load(name).encode(_EVENT._replace(topic="elsewhere")).topic

        _expect(topic == "elsewhere", "the row's topic", topic)

    def test_the_key_is_the_aggregate_id(self, name: str) -> None:
        """Another key would lose the order of the aggregate's events."""
        key = _load(name).encode(_EVENT).key

        _expect(key == "42 ä".encode(), "the aggregate_id in UTF-8", key)

    def test_the_event_id_is_the_header_id_once(self, name: str) -> None:
        """Consumers and `outbox trace` find the event by it."""
        found = _values(_load(name).encode(_EVENT), "id")

        _expect(found == [_EVENT.event_id.encode()], "the event_id in one header id", found)

    def test_a_host_cannot_forge_the_header_id(self, name: str) -> None:
        """A row may hold any headers: SQL checks none."""
        found = _values(_load(name).encode(_EVENT._replace(headers='{"id": "forged", "a": "b"}')), "id")

        _expect(found == [_EVENT.event_id.encode()], "the event_id in one header id", found)

    def test_the_events_own_headers_travel_unchanged(self, name: str) -> None:
        """The trace goes on, and so does whatever the host put there."""
        record = _load(name).encode(_EVENT)
        found = (_values(record, "traceparent"), _values(record, "tenant"))

        _expect(found == ([_TRACEPARENT.encode()], ["zürich".encode()]), "traceparent and tenant as they were", found)

    def test_the_payload_is_in_the_value_character_by_character(self, name: str) -> None:
        """Parsing and writing again would change digits."""
        value = _load(name).encode(_EVENT).value

        _expect(_EVENT.payload.encode() in value, "the payload's bytes within the value", value)

    def test_an_event_is_encoded_alike_each_time(self, name: str) -> None:
        """A page that is published again after a crash holds the same records."""
        envelope = _load(name)
        first, second = envelope.encode(_EVENT), _load(name).encode(_EVENT)
        _expect(envelope.encode(_EVENT) == first, "equal records of one envelope", first)

        _expect(first == second, "equal records", (first, second))

    def test_any_row_is_encoded(self, name: str) -> None:
        """What the table takes must not stop the relay."""
        strange = _EVENT._replace(
            aggregate_type="a / ä {}", type='"quoted" \\', payload="null", headers='{"n": 1, "none": null, "list": []}'
        )
        record = _load(name).encode(strange)

        _expect(all(isinstance(value, bytes) for _, value in record.headers), "bytes in every header", record.headers)


def _load(name: str) -> Envelope:
    return load_envelope(name, source="/outbox/conformance")


def _values(record: Record, header: str) -> list[bytes]:
    return [value for name, value in record.headers if name == header]


def _expect(condition: bool, what: str, got: object) -> None:  # noqa: FBT001 - a condition is what it is about
    """Fail with what was expected; not by assert, which pytest rewrites in test modules only."""
    if not condition:
        raise AssertionError(f"expected {what}, got {got!r}")
