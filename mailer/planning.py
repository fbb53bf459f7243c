"""What a record owes: a delivery for each mail that answers its event, or a reason why not, to be kept.

An event that no mail answers owes nothing. One mail's fault does not hold up another mail of the same event.
"""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mailer.errors import MalformedEventError
from mailer.mail import Mail
from outbox.envelope import ReceivedEvent, decode
from outbox.errors import MalformedRecordError

# What PostgreSQL cannot hold as text, and what replaces it where the text only describes a record.
_NUL = "\x00"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A Kafka record as it was read. *attempts* counts the plannings, this one included; *mail* limits them to one."""

    topic: str
    partition: int
    offset: int
    key: bytes | str | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers = field(repr=False)
    attempts: int = 1
    mail: str | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """One delivery that a record owes."""

    mail: Mail
    event: ReceivedEvent
    recipient: str = field(repr=False)
    recipient_key: bytes = field(repr=False)
    locale: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a mail, or nothing at all, can be made of a record; *event* as far as it could be read."""

    reason: str
    detail: str
    mail: str | None
    event_id: str | None
    event: ReceivedEvent | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one record comes to."""

    record: ReadRecord
    owed: tuple[Owed, ...] = ()
    malformed: tuple[Malformed, ...] = ()


class Mails(Protocol):
    """What is asked of the library of mails."""

    def mails_for(self, event_type: str) -> tuple[Mail, ...]:
        """Return the mails that an event of *event_type* makes."""
        ...

    def recipient_and_locale(self, mail: Mail, event: ReceivedEvent) -> tuple[str, str]:
        """Return whom *mail* goes to; raise MalformedEventError if it cannot be made."""
        ...


def plan(record: ReadRecord, *, mails: Mails, key_of: Callable[[str], bytes]) -> Plan:
    """Return what *record* owes and what is wrong with it; never raises because of the record."""
    try:
        event = decode(topic=record.topic, key=record.key, value=record.value, headers=record.headers)
    except MalformedRecordError as error:
        return Plan(record, malformed=(Malformed("malformed", error.problem, record.mail, error.event_id),))
    owed: list[Owed] = []
    malformed: list[Malformed] = []
    for mail in _wanted(record, mails.mails_for(event.type)):
        match _owed(mail, event, mails, key_of):
            case Owed() as one:
                owed.append(one)
            case Malformed() as one:
                malformed.append(one)
    return Plan(record, tuple(owed), tuple(malformed))


def _wanted(record: ReadRecord, mails: Sequence[Mail]) -> Sequence[Mail]:
    return mails if record.mail is None else [mail for mail in mails if mail.name == record.mail]


def _owed(mail: Mail, event: ReceivedEvent, mails: Mails, key_of: Callable[[str], bytes]) -> Owed | Malformed:
    try:
        recipient, locale = mails.recipient_and_locale(mail, event)
    except MalformedEventError as error:
        return Malformed(error.reason, error.detail, mail.name, str(event.event_id), event)
    except RecursionError:
        return Malformed("too_deep", "its payload is nested too deep", mail.name, str(event.event_id), event)
    return Owed(mail, event, recipient, key_of(recipient), locale)


def unstorable(plan_: Plan, problem: str) -> Plan:
    """Return a plan that owes nothing, because PostgreSQL cannot hold what *plan_* owes."""
    event = plan_.owed[0].event if plan_.owed else None
    event_id = str(event.event_id) if event else None
    reason = Malformed("unstorable", problem, plan_.record.mail, event_id, event)
    return Plan(plan_.record, malformed=(reason, *plan_.malformed) if plan_.record.mail is None else (reason,))


def storable(text: str | None) -> str | None:
    """Return *text* as a column can hold it."""
    return _UNSTORABLE.sub(_REPLACEMENT, text) if text is not None else None


def headers_to_json(headers: Headers) -> list[list[object]]:
    """Return headers as JSON that keeps order, repetition and bytes that are no text."""
    return [[storable(name), _header_to_json(value)] for name, value in headers]


def headers_from_json(stored: object) -> Headers:
    """Return the headers that `headers_to_json` wrote."""
    pairs: list[tuple[str, object]] = [(str(name), value) for name, value in stored] if isinstance(stored, list) else []
    return tuple((name, _header_from_json(value)) for name, value in pairs)


def _header_to_json(value: bytes | None) -> object:
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = _NUL
    return {"base64": base64.b64encode(value).decode("ascii")} if _NUL in text else text


def _header_from_json(value: object) -> bytes | None:
    match value:
        case None:
            return None
        case {"base64": str(encoded)}:
            return base64.b64decode(encoded)
        case _:
            return str(value).encode()
