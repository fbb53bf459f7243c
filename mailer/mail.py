"""A mail as its folder describes it: which event it answers, to whom, how urgent it is, and what happens when in doubt.

`mail.toml` says all of it; a key that is not known here is refused, so that a misspelt `in_doubt` is not a default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from mailer.errors import MailFolderError

InDoubt = Literal["resend", "hold"]

# A security notice that comes a day late confuses more than it helps; anything else is worth reading on the third.
SECURITY_LANE = "security"
_EXPIRES_SECURITY = timedelta(hours=24)
_EXPIRES_OTHER = timedelta(hours=72)
_DEFAULT_PRIORITY = 100
_MAX_PRIORITY = 32767
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LANE = re.compile(r"[a-z][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True)
class Mail:
    """One folder of templates: the mail that events of one type make."""

    name: str
    event: str
    to: str
    lane: str
    priority: int
    expires_after: timedelta
    in_doubt: InDoubt
    locale: str | None
    suppressible: bool
    version: str


def is_mail_name(name: str) -> bool:
    """Return whether *name* can name a mail: it is a folder, a column's value and part of a URL."""
    return _NAME.fullmatch(name) is not None


def is_lane(name: str) -> bool:
    """Return whether *name* can name a lane."""
    return _LANE.fullmatch(name) is not None


def mail_from_toml(name: str, table: Mapping[str, object], *, version: str) -> Mail:
    """Return the mail that *table* (a `mail.toml`) describes; raise MailFolderError for what is wrong first."""
    if not is_mail_name(name):
        raise MailFolderError(name, "expected a folder name of lower-case letters, digits and _, 63 characters at most")
    keys = _Keys(f"{name}/mail.toml", table)
    lane = keys.text("lane", default="default")
    if not is_lane(lane):
        raise keys.wrong("lane", "a word of lower-case letters, digits, - and _", lane)
    expiry = _EXPIRES_SECURITY if lane == SECURITY_LANE else _EXPIRES_OTHER
    mail = Mail(
        name=name,
        event=keys.text("event"),
        to=keys.text("to"),
        lane=lane,
        priority=keys.priority(),
        expires_after=keys.duration("expires_after", default=expiry),
        in_doubt=keys.in_doubt(),
        locale=keys.text("locale", default="") or None,
        suppressible=keys.flag("suppressible"),
        version=version,
    )
    if mail.suppressible and lane == SECURITY_LANE:
        # Nobody unsubscribes from what keeps an account safe.
        raise keys.wrong("suppressible", f"false in the lane {SECURITY_LANE!r}", got=True)
    keys.refuse_unknown()
    return mail


class _Keys:
    """The keys of a `mail.toml`, each read once; what is left over at the end is unknown."""

    def __init__(self, where: str, table: Mapping[str, object]) -> None:
        self._where = where
        self._left = dict(table)

    def wrong(self, key: str, expected: str, got: object) -> MailFolderError:
        """Return the error that says what *key* should have been."""
        return MailFolderError(self._where, f"expected {key} to be {expected}, got {got!r}")

    def text(self, key: str, *, default: str | None = None) -> str:
        """Return a non-empty string."""
        value = self._left.pop(key, default)
        if value is None:
            raise MailFolderError(self._where, f"{key} is missing")
        if not isinstance(value, str) or (not value.strip() and value != default):
            raise self.wrong(key, "a string that is not empty", value)
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean; false when it is not given."""
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def priority(self) -> int:
        """Return the priority; a lower one goes first within its lane."""
        value = self._left.pop("priority", _DEFAULT_PRIORITY)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_PRIORITY:
            raise self.wrong("priority", f"a whole number from 0 to {_MAX_PRIORITY}", value)
        return value

    def duration(self, key: str, *, default: timedelta) -> timedelta:
        """Return a duration written as `30m`, `24h` or `3d`."""
        value = self._left.pop(key, None)
        if value is None:
            return default
        match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", value) if isinstance(value, str) else None
        if match is None:
            raise self.wrong(key, 'a duration such as "30m", "24h" or "3d"', value)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})

    def in_doubt(self) -> InDoubt:
        """Return what happens when it is unknown whether the server took the message."""
        match self._left.pop("in_doubt", "hold"):
            case "resend":
                return "resend"
            case "hold":
                return "hold"
            case value:
                raise self.wrong("in_doubt", '"resend" or "hold"', value)

    def refuse_unknown(self) -> None:
        """Raise MailFolderError when a key is left that nobody asked for."""
        if self._left:
            known = "event, to, lane, priority, expires_after, in_doubt, locale, suppressible"
            raise MailFolderError(self._where, f"unknown key {min(self._left)!r}; known are {known}")
