import copy
import pickle
from uuid import UUID

import pytest

from outbox import Event, InvalidEventError, InvalidPayloadError, ReservedHeaderError

VALID = {"aggregate_type": "user", "aggregate_id": "42", "type": "user.locked"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def made(**changes: object) -> Event:
    facts: dict[str, object] = {**VALID, "payload": {}, **changes}
    return Event(**facts)  # type: ignore[arg-type]  # the tests give what a host without a type checker would


def test_a_valid_event_keeps_what_it_was_given() -> None:
    event = made(payload={"reason": "fraud"}, headers={"tenant": "7"}, topic="users.v1", event_id=UUID(int=1))

    assert (event.aggregate_type, event.aggregate_id, event.type) == ("user", "42", "user.locked")
    assert (event.payload_text, event.headers, event.topic, event.event_id) == (
        '{"reason":"fraud"}',
        {"tenant": "7"},
        "users.v1",
        UUID(int=1),
    )


@pytest.mark.parametrize("field", ["aggregate_type", "aggregate_id", "type", "topic"])
def test_an_empty_text_is_refused_by_name(field: str) -> None:
    with pytest.raises(InvalidEventError, match=f"expected {field} of the event to be not empty, got an empty text"):
        made(**{field: ""})


@pytest.mark.parametrize("field", ["aggregate_type", "type"])
def test_a_name_longer_than_its_column_is_refused(field: str) -> None:
    made(**{field: "ä" * 200})

    with pytest.raises(InvalidEventError, match=f"expected {field} .* at most 200 characters long, got 201"):
        made(**{field: "ä" * 201})


@pytest.mark.parametrize("field", ["aggregate_type", "aggregate_id", "type"])
@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_text_that_cannot_be_stored_is_refused(field: str, value: str) -> None:
    with pytest.raises(InvalidEventError, match=f"expected {field}"):
        made(**{field: value})


def test_a_number_as_aggregate_id_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidEventError, match="expected aggregate_id of the event to be text, got int") as caught:
        made(aggregate_id=42)

    assert caught.value.__notes__ == ["give str(aggregate_id)"]


@pytest.mark.parametrize("topic", ["a b", "ä", "a/b", ".", "..", "x" * 250])
def test_a_topic_that_kafka_refuses_is_refused(topic: str) -> None:
    with pytest.raises(InvalidEventError, match="topic"):
        made(topic=topic)


def test_an_event_id_that_is_no_uuid_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="expected event_id of the event to be a UUID, got str"):
        made(event_id="0192f0c1-5d5e-7cc0-8000-000000000001")


@pytest.mark.parametrize("name", ["id", "ID", "content-type", "Content-Type", "ce_id", "CE_anything", "outbox-replay"])
def test_a_reserved_header_is_refused(name: str) -> None:
    with pytest.raises(ReservedHeaderError, match=f"header '{name}' is written by the envelope"):
        made(headers={name: "x"})


@pytest.mark.parametrize("headers", [{"a": 1}, {"": "x"}, {1: "x"}, {"a": "\0"}, [("a", "b")], None])
def test_headers_that_are_no_texts_are_refused(headers: object) -> None:
    with pytest.raises(InvalidEventError, match="header"):
        made(headers=headers)


def test_a_valid_traceparent_may_be_given() -> None:
    assert made(headers={"traceparent": TRACEPARENT}).headers == {"traceparent": TRACEPARENT}


@pytest.mark.parametrize(
    "value",
    ["", "x", TRACEPARENT.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{'a' * 32}-{'0' * 16}-01", "00-a-b-01"],
)
def test_a_malformed_traceparent_is_refused(value: str) -> None:
    with pytest.raises(InvalidEventError, match="traceparent"):
        made(headers={"traceparent": value})


def test_a_payload_that_json_cannot_hold_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidPayloadError, match=r"expected payload\.a\[1\] to be a JSON value, got object"):
        made(payload={"a": [0, object()]})


def test_changing_the_dictionary_afterwards_does_not_change_the_event() -> None:
    payload, headers = {"n": 1}, {"h": "1"}
    event = made(payload=payload, headers=headers)

    payload["n"] = 2
    headers["h"] = "2"

    assert (event.payload_text, event.headers) == ('{"n":1}', {"h": "1"})


def test_its_repr_shows_no_payload_and_no_header() -> None:
    text = repr(made(payload={"email": "ada@example.com"}, headers={"authorization": "secret"}))

    assert "ada" not in text
    assert "secret" not in text
    assert "user.locked" in text


def test_it_survives_pickling_and_copying() -> None:
    event = made(payload={"n": 1}, headers={"h": "1"})

    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 - our own bytes
    assert copy.deepcopy(event) == event
