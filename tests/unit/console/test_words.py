import pickle
from datetime import UTC, datetime, timedelta

import pytest

from console import errors
from console.moments import parse_moment
from console.murmur2 import murmur2, partition_of
from console.output import age, counted, plain


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),  # noqa: RUF001 - as it is printed
        (-0.5, "0 ms"),
        (0.0421, "42 ms"),
        (59.94, "59.9 s"),
        (61, "1m"),
        (3_661, "1h 1m"),
        (90_061, "1d 1h"),
    ],
)
def test_ages_have_their_two_largest_units(seconds: float | None, words: str) -> None:
    assert age(seconds) == words


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", timedelta(seconds=90)),
        ("2h", timedelta(hours=2)),
        ("1.5d ago", timedelta(days=1.5)),
        ("3w", timedelta(weeks=3)),
        ("2026-01-31T18:00+00:00", datetime(2026, 1, 31, 18, tzinfo=UTC)),
    ],
)
def test_moments_are_ages_or_dates(text: str, moment: object) -> None:
    assert parse_moment(text, option="--since") == moment


@pytest.mark.parametrize("text", ["", "2", "h", "2 fortnights", "31.01.2026"])
def test_what_is_no_moment_names_the_option(text: str) -> None:
    with pytest.raises(errors.UsageError, match="expected --since to be a time"):
        parse_moment(text, option="--since")


# From the tests of Kafka's own client (Utils.murmur2).
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_is_hashed_as_kafka_does(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed & 0xFFFFFFFF
    assert partition_of(key, 7) == (hashed & 0x7FFFFFFF) % 7


def test_numbers_take_the_right_word() -> None:
    assert [counted(1, "event"), counted(1234, "event"), counted(2, "delivery", "deliveries")] == [
        "1 event", "1,234 events", "2 deliveries",
    ]  # fmt: skip


def test_values_of_a_row_become_json() -> None:
    row = {
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "raw": b"\xff",
        "text": b"{}",
        "age": timedelta(seconds=2),
        "all": (1, None),
    }

    assert plain(row) == {"at": "2026-01-01T00:00:00+00:00", "raw": "\\xff", "text": "{}", "age": 2.0, "all": [1, None]}


EVERY = [
    errors.UsageError("a"),
    errors.ExtraMissingError("dead", "sqlalchemy"),
    errors.NotFoundError("event", "1"),
    errors.RefusedError("a"),
    errors.NotMigratedError("db", "x"),
    errors.ForbiddenError("ada", "x"),
    errors.NotJudgedError("a"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_every_error_pickles(error: errors.ConsoleError) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes


def test_every_error_class_is_tried() -> None:
    classes = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ConsoleError)}

    assert classes - {errors.ConsoleError} == {type(error) for error in EVERY}
