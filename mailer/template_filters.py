"""What a template may do with an event's values beside showing them: filters, each for one kind of value.

Event values come from outside. They are escaped in HTML, but escaping does not make a link safe to follow or a name
safe to greet with, so these two have a filter of their own: `link` and `person`. A filter refuses with
ValueRefusedError, whose text never shows the value.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from urllib.parse import urlsplit

_LONGEST_NAME = 60
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
# What mail clients make a link of. Sign-up forms are fed names such as "you won, see evil.example" by the thousand.
_LINK_LIKE = re.compile(r"[/\\@<>]|\bwww\.|\w\.[a-z]{2,}\b", re.IGNORECASE)
_BREAKS = re.compile("[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_MONTHS = {
    "en": ("January February March April May June July August", "September October November December"),
    "de": ("Januar Februar März April Mai Juni Juli August", "September Oktober November Dezember"),
}


class ValueRefusedError(ValueError):
    """A value cannot be shown as the template asks; the text says why, without the value."""


def link(value: object) -> str:
    """Return *value*, an https URL (http on this machine only): nobody should follow any other."""
    text = str(value)
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        raise ValueRefusedError("it is no URL") from None
    if _BREAKS.search(text) or not host:
        raise ValueRefusedError("it is no absolute URL without blanks")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueRefusedError("its URL is not https (http is for localhost only)")
    if parts.username is not None or parts.password is not None:
        raise ValueRefusedError("its URL has a user name in it, which hides where it goes")
    return text


def person(value: object) -> str:
    """Return a name fit for a greeting, or nothing when it is none, or one that mail clients would make a link of."""
    name = _BREAKS.sub(" ", value).strip() if isinstance(value, str) else ""
    if not name or _LINK_LIKE.search(name):
        return ""
    if len(name) <= _LONGEST_NAME:
        return name
    whole, _, cut = name[:_LONGEST_NAME].rpartition(" ")
    return f"{whole or cut[:-1]}…"


def constant(value: object) -> str:
    """Return a constant such as `SENIOR_EDITOR` as words: `Senior editor`."""
    return str(value).replace("_", " ").strip().lower().capitalize()


def moment_in(locale: str) -> Callable[[object], str]:
    """Return the filter `moment` of *locale*: an ISO 8601 instant as people write it, in UTC."""
    language = locale.partition("-")[0]
    months = " ".join(_MONTHS.get(language, ())).split()

    def moment(value: object) -> str:
        at = _instant(value)
        if not months:
            return f"{at:%Y-%m-%d %H:%M} UTC"
        month = months[at.month - 1]
        return f"{at.day}. {month} {at:%Y, %H:%M} UTC" if language == "de" else f"{at.day} {month} {at:%Y, %H:%M} UTC"

    return moment


def _instant(value: object) -> datetime:
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueRefusedError("it is no ISO 8601 instant") from None
    if at.tzinfo is None:
        raise ValueRefusedError("it is an instant without an offset from UTC")
    return at.astimezone(UTC)


FILTERS: Mapping[str, Callable[[object], str]] = MappingProxyType(
    {"link": link, "person": person, "constant": constant}
)
