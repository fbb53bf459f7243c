"""Write a value as JSON text and keep every digit: decimals and big integers are numbers, not floats and not strings.

The standard library cannot write a Decimal as a number, turns keys into text silently, and names no path when it
refuses a value. This writer does all of it in one pass.
"""

import datetime as dt
import enum
import math
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from json.encoder import encode_basestring

from outbox.errors import InvalidPayloadError

# Containers within containers. Deeper is a circle or a mistake, and readers in other languages stop at 512 or 1000.
MAX_DEPTH = 100

_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class _RefusedError(Exception):
    """A value was refused; each container on the way out adds its step to the path."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got
        self.steps: list[str | int] = []


def write(value: object, *, name: str = "payload") -> str:
    """Return *value* as compact JSON text; a value that JSON cannot hold raises InvalidPayloadError with its path."""
    try:
        return _write(value, 0)
    except _RefusedError as refused:
        path = name + "".join(_step(step) for step in reversed(refused.steps))
        error = InvalidPayloadError(path, refused.expected, refused.got)
        for note in getattr(refused, "__notes__", ()):
            error.add_note(note)
        raise error from None


def _step(step: str | int) -> str:
    """Return one step of a path as Python would write it: `.name`, `[3]` or `["odd name"]`."""
    if isinstance(step, str) and _PLAIN_KEY.fullmatch(step):
        return f".{step}"
    return f"[{step!r}]"


def _write(value: object, depth: int) -> str:
    """Return the text of *value*, which lies within *depth* containers."""
    writer = _WRITERS.get(type(value))
    if writer is None:
        writer = next((writer for base, writer in _BASES if isinstance(value, base)), _refuse)
    return writer(value, depth)


def _refuse(value: object, _depth: int) -> str:
    """Refuse a value of a type that has no writer."""
    refused = _RefusedError("a JSON value", type(value).__qualname__)
    refused.add_note("give text, numbers, booleans, None, datetimes, UUIDs, and lists and mappings of them")
    raise refused


def _write_text(value: str, _depth: int) -> str:
    """Return the text in quotes; refuse what PostgreSQL or UTF-8 cannot hold."""
    if "\0" in value:
        # A json column takes the escape, but ->> and every cast to jsonb or text fail on it ever after.
        raise _RefusedError("text without U+0000", "text with it")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _RefusedError("text that UTF-8 can hold", "text with a lone surrogate") from None
    return encode_basestring(value)


def _write_float(value: float, _depth: int) -> str:
    """Return the shortest digits that read back as the same float."""
    if not math.isfinite(value):
        raise _RefusedError("a finite number", float.__repr__(value))
    return float.__repr__(value)


def _write_int(value: int, _depth: int) -> str:
    """Return every digit."""
    try:
        return int.__repr__(value)
    except ValueError:  # sys.set_int_max_str_digits: the text of a huge number takes quadratic time
        refused = _RefusedError("a number of a length that Python writes", f"one of {value.bit_length()} bits")
        refused.add_note("see sys.set_int_max_str_digits, or give it as text")
        raise refused from None


def _write_decimal(value: Decimal, _depth: int) -> str:
    """Return every digit, trailing zeros too: the form of str() is a JSON number."""
    if not value.is_finite():
        raise _RefusedError("a finite number", str(value))
    return Decimal.__str__(value)


def _write_datetime(value: dt.datetime, _depth: int) -> str:
    """Return the moment in RFC 3339; refuse one without a zone, which every reader would place elsewhere."""
    if value.utcoffset() is None:
        refused = _RefusedError("a datetime with a time zone", "one without")
        refused.add_note("give it one: value.replace(tzinfo=datetime.UTC)")
        raise refused
    return f'"{value.isoformat()}"'


def _write_day_or_time(value: dt.date | dt.time, _depth: int) -> str:
    """Return a calendar day or a time of day in ISO 8601."""
    return f'"{value.isoformat()}"'


def _write_mapping(value: Mapping[object, object], depth: int) -> str:
    """Return an object with its keys in their order; keys are text, or they could collide once they are."""
    if depth >= MAX_DEPTH:
        raise _RefusedError(f"nested at most {MAX_DEPTH} deep", "a deeper or circular mapping")
    parts = []
    key: object = None
    try:
        for key, inner in value.items():
            parts.append(f"{_write_key(key)}:{_write(inner, depth + 1)}")
    except _RefusedError as refused:
        refused.steps.append(key if isinstance(key, str) else repr(key))
        raise
    return f"{{{','.join(parts)}}}"


def _write_key(key: object) -> str:
    """Return a key in quotes."""
    if not isinstance(key, str):
        raise _RefusedError("under a key that is text", f"a key that is {type(key).__qualname__}")
    return _write_text(key, 0)


def _write_sequence(value: list[object] | tuple[object, ...], depth: int) -> str:
    """Return an array."""
    if depth >= MAX_DEPTH:
        raise _RefusedError(f"nested at most {MAX_DEPTH} deep", "a deeper or circular list")
    parts: list[str] = []
    try:
        parts.extend(_write(inner, depth + 1) for inner in value)
    except _RefusedError as refused:
        refused.steps.append(len(parts))
        raise
    return f"[{','.join(parts)}]"


_Writer = Callable[..., str]
_WRITERS: dict[type, _Writer] = {
    str: _write_text,
    int: _write_int,
    float: _write_float,
    bool: lambda value, _depth: "true" if value else "false",
    type(None): lambda _value, _depth: "null",
    dict: _write_mapping,
    list: _write_sequence,
    tuple: _write_sequence,
    Decimal: _write_decimal,
    dt.datetime: _write_datetime,
    dt.date: _write_day_or_time,
    dt.time: _write_day_or_time,
    uuid.UUID: lambda value, _depth: f'"{value}"',
}
# For subclasses, in this order: an enumeration before the type that it is mixed with, a datetime before a date.
_BASES: tuple[tuple[type, _Writer], ...] = (
    (enum.Enum, lambda value, depth: _write(value.value, depth)),
    (str, lambda value, depth: _write_text(str.__str__(value), depth)),
    (int, _write_int),
    (float, _write_float),
    (Mapping, _write_mapping),
    (list, _write_sequence),
    (tuple, _write_sequence),
    (Decimal, _write_decimal),
    (dt.datetime, _write_datetime),
    (dt.date, _write_day_or_time),
    (dt.time, _write_day_or_time),
    (uuid.UUID, lambda value, _depth: f'"{value}"'),
)
