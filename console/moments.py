"""Points in time as an operator writes them: `2h` ago, or a date."""

import re
from datetime import datetime, timedelta
from typing import Final

from console.errors import UsageError

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)(?:\s*ago)?")
_UNIT: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

# Time ago is measured by the database's clock, a date by the zone of this machine.
Moment = timedelta | datetime


def parse_moment(text: str, *, option: str) -> Moment:
    """Return how long ago, or when; *option* is named when *text* is neither."""
    if ago := _AGO.fullmatch(text.strip().lower()):
        return timedelta(**{_UNIT[ago[2]]: float(ago[1])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        error = UsageError(f"expected {option} to be a time, got {text!r}")
        error.add_note("write 30m, 2h, 3d, or 2026-01-31, or 2026-01-31T18:00+01:00")
        raise error from None
