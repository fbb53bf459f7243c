"""The words between a webhook and those who act on it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from mailer.bounces import Bounce
from mailer.errors import MailerError

_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(eq=False)
class HookRefusedError(MailerError):
    """A request is not the provider's, or cannot be read; *status* is the HTTP status it gets."""

    problem: str
    status: int = 400

    def __str__(self) -> str:
        """Return what is wrong with it."""
        return self.problem


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A POST as it came, and when; the names of *headers* are in lower case."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: datetime

    def json(self) -> dict[str, Any]:
        """Return the object in the body; raise HookRefusedError when there is none."""
        return json_object(self.body)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a hook said: messages that came back, and messages that their readers reported as spam."""

    bounces: tuple[Bounce, ...] = ()
    complaints: tuple[UUID, ...] = ()


def json_object(text: bytes | str) -> dict[str, Any]:
    """Return the object that *text* is; raise HookRefusedError when it is none, or holds half of a surrogate pair."""
    try:
        content = json.loads(text)
        # Neither a signature nor a column can be made of such a half.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise HookRefusedError("expected JSON") from None
    if not isinstance(content, dict):
        raise HookRefusedError("expected a JSON object")
    return content


def check_age(made_at: datetime, request: HookRequest, *, oldest: timedelta) -> None:
    """Raise HookRefusedError for a request that was signed longer than *oldest* ago, or that is to be yet.

    What is played again says nothing new of a message; but a complaint would unsubscribe a reader who came back since.
    """
    if not -_CLOCKS_DIFFER <= request.at - made_at <= oldest:
        limit = round(oldest.total_seconds() / 60)
        raise HookRefusedError(f"expected it to be signed in the last {limit} minutes, by our clock", status=401)


def inner(content: object, *names: str) -> dict[str, Any]:
    """Return the object below *names*; an empty one where something else, or nothing, is there."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def delivery_of(text: object) -> UUID | None:
    """Return the delivery that a provider's tag names."""
    try:
        return UUID(str(text))
    except ValueError:
        return None


# Of a bounce for good that SES makes (and Resend, which sends by it) only these are about the recipient.
_NOBODY_THERE = frozenset(("General", "NoEmail", "Suppressed", "OnAccountSuppressionList"))


def by_subtype(*, lasts: bool, subtype: object) -> tuple[int, str]:
    """Return the codes of a bounce of SES's kinds; *lasts* says that it is for good."""
    if not lasts:
        return 450, "4.0.0"
    return 550, "5.1.1" if subtype in _NOBODY_THERE else "5.6.0"
