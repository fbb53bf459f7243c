"""How a command prints: rich tables for people on stdout, JSON for programs, and the same words for times in both."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NOTHING = "–"  # noqa: RUF001 - a dash where there is no value, as tables print it

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def stdout() -> Console:
    """Return the console of results; wide enough for a table when nobody looks, for then a program cuts columns."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=200, no_color=True)


def print_json(value: object) -> None:
    """Print *value* as one JSON document."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: object) -> object:  # noqa: PLR0911 - one line a kind
    """Return *value* in what JSON has: times in ISO 8601, bytes as text where they are, else as hex."""
    match value:
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case bytes() | memoryview():
            return text_of(bytes(value))
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case str() | int() | float() | bool() | None:
            return value
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
        case _:
            return str(value)


def text_of(value: bytes) -> str:
    """Return bytes as a person can read them."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"\\x{value.hex()}"


def age(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < _UNITS[-1][0]:
        return f"{seconds:.1f} s"
    left, words = int(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            words.append(f"{left // size}{unit}")
            left %= size
    return " ".join(words[:2])


def moment(at: datetime | None) -> str:
    """Return a time to the second, in the zone of this machine."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else NOTHING


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; a column that begins with # holds numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for column in columns:
        made.add_column(
            column.removeprefix("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    return made


def print_json_line(value: object) -> None:
    """Print *value* as JSON on one line, at once: for a stream of them."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def stderr() -> Console:
    """Return the console of progress and questions: stdout is for results alone."""
    return Console(stderr=True, highlight=False)


def counted(number: int, thing: str, things: str | None = None) -> str:
    """Return "1 dead letter", "2 dead letters"."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def fields(value: "DataclassInstance") -> dict[str, object]:
    """Return the fields of a dataclass by name."""
    return asdict(value)
