import json
import sys
import uuid
from collections import OrderedDict, UserDict
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.errors import InvalidPayloadError
from outbox.json_text import MAX_DEPTH, write


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Marked(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)


@given(values)
def test_what_is_written_is_what_the_standard_library_writes(value: object) -> None:
    assert write(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_reads_back_with_every_digit(value: Decimal) -> None:
    read = json.loads(write([value]), parse_float=Decimal, parse_int=Decimal)[0]

    assert read.as_tuple() == value.as_tuple()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Marked("itself"), '"itself"'),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (UserDict(a=1), '{"a":1}'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    ],
)
def test_subclasses_are_written_as_what_they_hold(value: object, text: str) -> None:
    assert write(value) == text


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (object(), "payload", "a JSON value, got object"),
        (b"bytes", "payload", "a JSON value, got bytes"),
        ({1, 2}, "payload", "a JSON value, got set"),
        ({"a": [1, {"b c": {2}}]}, "payload.a[1]['b c']", "a JSON value, got set"),
        ([float("nan")], "payload[0]", "a finite number, got nan"),
        ([1, float("-inf")], "payload[1]", "a finite number, got -inf"),
        ({"d": Decimal("NaN")}, "payload.d", "a finite number, got NaN"),
        ({"d": Decimal("sNaN")}, "payload.d", "a finite number, got sNaN"),
        ({"a": {3: 1}}, "payload.a['3']", "under a key that is text, got a key that is int"),
        ({"t": "a\0"}, "payload.t", "text without U+0000, got text with it"),
        ({"\0": 1}, "payload['\\x00']", "text without U+0000, got text with it"),
        ({"t": "\udfff"}, "payload.t", "text that UTF-8 can hold, got text with a lone surrogate"),
        ({"at": datetime(2026, 1, 1)}, "payload.at", "a datetime with a time zone, got one without"),  # noqa: DTZ001
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_path(value: object, path: str, problem: str) -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        write(value)

    assert str(caught.value) == f"expected {path} to be {problem}"


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        write([datetime(2026, 1, 1)])  # noqa: DTZ001 - the mistake in question

    assert caught.value.__notes__ == ["give it one: value.replace(tzinfo=datetime.UTC)"]


def test_a_refusal_quotes_no_text_of_the_payload() -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        write({"email": "ada@example.com\0"})

    assert "ada" not in str(caught.value)


def test_a_circular_payload_is_refused() -> None:
    circle: dict[str, object] = {}
    circle["again"] = circle

    with pytest.raises(InvalidPayloadError, match=f"nested at most {MAX_DEPTH} deep"):
        write(circle)


def test_the_deepest_nesting_allowed_is_written() -> None:
    nested: object = 1
    for _ in range(MAX_DEPTH):
        nested = [nested]

    assert write(nested) == "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH


def test_a_number_too_long_for_python_is_refused_and_not_truncated() -> None:
    with pytest.raises(InvalidPayloadError, match="a number of a length that Python writes"):
        write([10 ** (sys.get_int_max_str_digits() + 1)])
