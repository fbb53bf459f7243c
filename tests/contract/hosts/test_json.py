"""What a host puts into a payload is what every reader gets out of it, digit by digit, on every stack."""

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow

from outbox import Event
from tests.contract.hosts.stacks import Host

pytestmark = pytest.mark.versions

Observer = psycopg.Connection[DictRow]


class Role(Enum):
    ADMIN = "admin"


# Each value, and the JSON text that every stack has to store for it.
VALUES: dict[str, tuple[object, str]] = {
    "unicode": ("żółć 漢字 🦒 \u2028", '"żółć 漢字 🦒 \u2028"'),
    "escapes": ('"\\/\b\f\n\r\t\x01\x7f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f"'),
    "looks like a parameter": ("%s %(x)s :x $1 {} NULL", '"%s %(x)s :x $1 {} NULL"'),
    "beyond 64 bits": (2**64 + 1, "18446744073709551617"),
    "beyond 128 bits": (-(10**40), "-10000000000000000000000000000000000000000"),
    "trailing zero": (Decimal("19.90"), "19.90"),
    "beyond a float": (Decimal("0.1234567890123456789012345"), "0.1234567890123456789012345"),
    "exponent": (Decimal("1E+3"), "1E+3"),
    "float": (0.1, "0.1"),
    "large float": (1e300, "1e+300"),
    "true": (True, "true"),
    "null": (None, "null"),
    "list": ([1, "two", [None]], '[1,"two",[null]]'),
    "empty object": ({}, "{}"),
    "empty tuple": ((), "[]"),
    "datetime": (datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=UTC), '"2026-03-29T02:30:00.000001+00:00"'),
    "datetime elsewhere": (
        datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=-4))),
        '"2026-03-29T02:30:00-04:00"',
    ),
    "date": (date(2024, 2, 29), '"2024-02-29"'),
    "time": (time(23, 59), '"23:59:00"'),
    "uuid": (UUID("0192f0c1-5d5e-7cc0-8000-000000000001"), '"0192f0c1-5d5e-7cc0-8000-000000000001"'),
    "enumeration": (Role.ADMIN, '"admin"'),
}


def stored(host: Host, observer: Observer, payloads: dict[str, object]) -> dict[str, str]:
    """Return the stored text of each payload, by the type of its event."""
    events = [
        Event(aggregate_type="account", aggregate_id="42", type=name, payload=[payload])
        for name, payload in payloads.items()
    ]
    with host.transaction() as work:
        work.insert(events)
    rows = observer.execute("select type, payload::text as text from outbox.event order by id")
    return {row["type"]: row["text"] for row in rows}


def test_each_value_is_stored_with_all_of_its_digits(host: Host, observer: Observer) -> None:
    texts = stored(host, observer, {name: value for name, (value, _) in VALUES.items()})

    assert texts == {name: f"[{text}]" for name, (_, text) in VALUES.items()}


def test_a_megabyte_goes_through(host: Host, observer: Observer) -> None:
    payload = {"rows": [{"name": f'"quoted" \\ {number} ž'} for number in range(40_000)]}

    text = stored(host, observer, {"large": payload})["large"]

    assert len(text.encode()) > 1_000_000
    assert json.loads(text) == [payload]
