import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.envelope import (
    CloudEventsBinary,
    CloudEventsStructured,
    Debezium,
    Envelope,
    Record,
    Route,
    StoredEvent,
    decode,
    load_envelope,
)
from outbox.errors import InvalidRouteError, MalformedRecordError, UnknownEnvelopeError

SOURCE = "/outbox/5f0c"
EVENT_ID = "0192f0c1-5d5e-7cc0-8000-000000000001"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LOCKED = StoredEvent(
    event_id=EVENT_ID,
    aggregate_type="user",
    aggregate_id="42",
    type="user.locked",
    payload='{"price": 19.90,  "big": 18446744073709551617}',
    headers=f'{{"tenant": "zürich", "traceparent": "{TRACEPARENT}"}}',
    topic=None,
    created_at="2026-11-24T08:30:15.000120Z",
)
ENVELOPES = ("cloudevents-binary", "cloudevents-structured", "debezium")


@pytest.fixture(params=ENVELOPES)
def envelope(request: pytest.FixtureRequest) -> Envelope:
    return load_envelope(request.param, source=SOURCE)


def read(record: Record) -> object:
    return decode(topic=record.topic, key=record.key, value=record.value, headers=record.headers)


def test_binary_is_the_payload_with_cloudevents_headers() -> None:
    record = CloudEventsBinary(source=SOURCE).encode(LOCKED)

    assert record == Record(
        topic="outbox.event.user",
        key=b"42",
        value=LOCKED.payload.encode(),
        headers=(
            ("id", EVENT_ID.encode()),
            ("ce_id", EVENT_ID.encode()),
            ("ce_time", b"2026-11-24T08:30:15.000120Z"),
            ("ce_subject", b"42"),
            ("ce_specversion", b"1.0"),
            ("ce_type", b"user.locked"),
            ("ce_source", b"/outbox/5f0c/user"),
            ("content-type", b"application/json"),
            ("tenant", "zürich".encode()),
            ("traceparent", TRACEPARENT.encode()),
        ),
    )


def test_structured_is_one_object_with_the_payloads_text_in_it() -> None:
    record = CloudEventsStructured(source=SOURCE).encode(LOCKED)

    assert record.value.decode().endswith(f'"data":{LOCKED.payload}}}')
    assert json.loads(record.value) == {
        "specversion": "1.0",
        "id": EVENT_ID,
        "type": "user.locked",
        "source": "/outbox/5f0c/user",
        "subject": "42",
        "time": "2026-11-24T08:30:15.000120Z",
        "datacontenttype": "application/json",
        "data": {"price": 19.9, "big": 18446744073709551617},
    }
    assert record.headers == (
        ("id", EVENT_ID.encode()),
        ("content-type", b"application/cloudevents+json; charset=UTF-8"),
        ("tenant", "zürich".encode()),
        ("traceparent", TRACEPARENT.encode()),
    )


def test_debezium_is_what_its_event_router_writes() -> None:
    record = Debezium(source=SOURCE).encode(LOCKED)

    assert record == Record(
        topic="outbox.event.user",
        key=b"42",
        value=LOCKED.payload.encode(),
        headers=(
            ("id", EVENT_ID.encode()),
            ("eventType", b"user.locked"),
            ("aggregateType", b"user"),
            ("tenant", "zürich".encode()),
            ("traceparent", TRACEPARENT.encode()),
        ),
    )


@pytest.mark.parametrize("template", ["", "{colour}", "{}", "{aggregate_type", "{type.x}"])
def test_a_route_that_makes_no_topic_is_refused(template: str) -> None:
    with pytest.raises(InvalidRouteError, match="makes no topic"):
        Route(template)


def test_reserved_headers_of_a_row_are_left_out(envelope: Envelope) -> None:
    record = envelope.encode(
        LOCKED._replace(headers='{"id": "forged", "CE_ID": "forged", "Content-Type": "x", "a": "b"}')
    )

    assert b"forged" not in dict(record.headers).values()
    assert [name for name, _ in record.headers].count("id") == 1
    assert record.headers[-1] == ("a", b"b")


def test_header_values_that_are_no_text_travel_as_json(envelope: Envelope) -> None:
    record = envelope.encode(LOCKED._replace(headers='{"n": 1, "list": ["ä"], "nothing": null}'))

    assert record.headers[-3:] == (("n", b"1"), ("list", '["ä"]'.encode()), ("nothing", b"null"))


def test_a_source_is_a_uri_whatever_the_aggregate_type(envelope: Envelope) -> None:
    record = envelope.encode(LOCKED._replace(aggregate_type="order / line ä"))

    assert (
        decode(topic=record.topic, key=record.key, value=record.value, headers=record.headers).aggregate_type
        == "order / line ä"
    )
    if envelope.name == "cloudevents-binary":
        assert dict(record.headers)["ce_source"] == b"/outbox/5f0c/order%20%2F%20line%20%C3%A4"


def test_kinds_without_end_do_not_fill_the_memory() -> None:
    envelope = CloudEventsBinary(source=SOURCE)

    for number in range(10_000):
        envelope.encode(LOCKED._replace(type=f"t{number}"))

    assert len(envelope._kinds) <= 4096


def test_an_unknown_envelope_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownEnvelopeError, match="cloudevents-binary, cloudevents-structured, debezium, got 'avro'"):
        load_envelope("avro", source=SOURCE)


# ------------------------------------------------------------------------------------------------- reading it back
@pytest.mark.parametrize("name", ENVELOPES)
def test_what_was_encoded_is_read_back(name: str) -> None:
    record = load_envelope(name, source=SOURCE).encode(LOCKED)

    event = decode(topic=record.topic, key=record.key, value=record.value, headers=record.headers)

    assert (event.event_id, event.type, event.aggregate_type, event.aggregate_id) == (
        UUID(EVENT_ID),
        "user.locked",
        "user",
        "42",
    )
    assert event.payload == {"price": Decimal("19.90"), "big": 18446744073709551617}
    assert json.loads(event.payload_text, parse_float=Decimal) == event.payload
    assert event.headers == {"tenant": "zürich", "traceparent": TRACEPARENT}
    assert event.traceparent == TRACEPARENT
    assert event.created_at == (None if name == "debezium" else datetime(2026, 11, 24, 8, 30, 15, 120, tzinfo=UTC))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(name=st.sampled_from(ENVELOPES), aggregate_type=texts, aggregate_id=texts, type_=texts, payload=texts)
def test_any_text_is_read_back(name: str, aggregate_type: str, aggregate_id: str, type_: str, payload: str) -> None:
    stored = LOCKED._replace(
        aggregate_type=aggregate_type, aggregate_id=aggregate_id, type=type_, payload=json.dumps([payload])
    )
    record = load_envelope(name, source=SOURCE).encode(stored)

    event = decode(topic=record.topic, key=record.key, value=record.value, headers=record.headers)

    assert (event.aggregate_type, event.aggregate_id, event.type, event.payload) == (
        aggregate_type,
        aggregate_id,
        type_,
        [payload],
    )


def test_the_payloads_text_is_the_hosts_own() -> None:
    record = CloudEventsBinary(source=SOURCE).encode(LOCKED)

    event = decode(topic=record.topic, key=record.key, value=record.value, headers=record.headers)

    assert event.payload_text == LOCKED.payload


def test_a_record_of_debeziums_own_connector_is_read() -> None:
    event = decode(
        topic="outbox.event.user",
        key="42",
        value=b'{"a":1}',
        headers=[("id", EVENT_ID.encode()), ("eventType", b"user.locked")],
    )

    assert (event.aggregate_type, event.aggregate_id, event.payload) == ("user", "42", {"a": 1})


BINARY = {"id": EVENT_ID.encode(), "ce_specversion": b"1.0", "ce_type": b"t", "ce_source": b"/x/user"}
STRUCTURED = {"id": EVENT_ID.encode(), "content-type": b"application/cloudevents+json"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"headers": None}, "its headers belong to no known envelope", id="no headers"),
        pytest.param({"headers": {"other": b"x"}}, "its headers belong to no known envelope", id="foreign"),
        pytest.param({"value": None}, "it has no value (a tombstone)", id="tombstone"),
        pytest.param({"value": b"{"}, "expected its value to be JSON", id="broken JSON"),
        pytest.param({"value": b"NaN"}, "expected its value to be JSON", id="not a number"),
        pytest.param({"value": b"[" * 100_000}, "expected its value to be JSON", id="nested too deep"),
        pytest.param({"value": b"\xff"}, "expected the value to be UTF-8", id="value not UTF-8"),
        pytest.param({"key": b"\xff"}, "expected the key to be UTF-8", id="key not UTF-8"),
        pytest.param({"key": None}, "it has no key", id="no key"),
        pytest.param({"headers": BINARY | {"id": b"x"}}, "expected its id to be a UUID", id="id no UUID"),
        pytest.param({"headers": BINARY | {"id": b""}}, "it has no id", id="no id"),
        pytest.param({"headers": BINARY | {"ce_type": b""}}, "it has no type", id="no type"),
        pytest.param({"headers": BINARY | {"ce_source": b"/"}}, "it has no aggregate type", id="no aggregate type"),
        pytest.param({"headers": BINARY | {"h": b"\xff"}}, "expected header 'h' to be UTF-8", id="header not UTF-8"),
        pytest.param({"headers": STRUCTURED, "value": b"[]"}, "expected its value to be a JSON object", id="list"),
        pytest.param({"headers": STRUCTURED, "value": b"{}"}, "its value has no data", id="no data"),
        pytest.param(
            {"headers": STRUCTURED, "value": b'{"data": {"a": "\\u0000"}}'},
            "expected data.a to be text without U+0000, got text with it",
            id="U+0000 inside",
        ),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(changes: dict[str, object], problem: str) -> None:
    record: dict[str, object] = {"topic": "t", "key": b"42", "value": b"{}", "headers": BINARY} | changes
    headers = record["headers"]
    record["headers"] = list(headers.items()) if isinstance(headers, dict) else headers

    with pytest.raises(MalformedRecordError) as caught:
        decode(**record)  # type: ignore[arg-type]  # what a topic may hold

    assert caught.value.problem == problem
    assert caught.value.__cause__ is None


def test_a_malformed_record_says_whose_it_was_where_that_can_be_read() -> None:
    with pytest.raises(MalformedRecordError) as caught:
        decode(topic="t", key=b"42", value=b"secret", headers=list(BINARY.items()))

    assert caught.value.event_id == EVENT_ID
    assert "secret" not in str(caught.value)


def test_of_two_headers_with_one_name_the_first_counts() -> None:
    event = decode(topic="t", key=b"42", value=b"{}", headers=[*BINARY.items(), ("id", b"forged"), ("empty", None)])

    assert event.event_id == UUID(EVENT_ID)
