"""What comes back of a mail that a server had accepted: a delivery status notification (RFC 3464), read without trust.

A notification is believed because it names our Message-ID, which nobody can guess: whoever forges one has had the mail.
What is no notification, or names no message of ours, is said to be none, and is left to a person.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from itertools import takewhile
from uuid import UUID

from mailer.classify import judge_reply
from mailer.meanings import Kind
from mailer.reply import Phase, Reply, refused

_OURS = re.compile(r"<([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})@[^<>\s]+>", re.IGNORECASE)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_CODE = re.compile(r"(?:^|[\s;])([45]\d\d)(?=[\s-])(?:[\s-]+([245]\.\d{1,3}\.\d{1,3})(?=\s|$))?")
# "Something else": Exim says so of everything, and leaves the rest to what it quotes.
_UNSAID = re.compile(r"[245]\.0\.0")
# The second of each is what RFC 6533 calls it where an address is outside ASCII.
_REPORTS = ("message/delivery-status", "message/global-delivery-status")
_RETURNED = (
    *("message/rfc822", "message/rfc822-headers", "text/rfc822-headers"),
    *("message/global", "message/global-headers"),
)
_FAILED = "failed"
_MOST_PARTS = 50
_MOST_TEXT = 65536
_BETWEEN = re.compile(rb"\r?\n\r?\n")
_ASCII = 128


@dataclass(frozen=True, slots=True)
class Bounce:
    """One message of ours that did not arrive. *reply* is what the far side said, judged like any refusal."""

    message_uuid: UUID
    reply: Reply

    @property
    def undeliverable(self) -> bool:
        """Return whether nothing will ever reach the recipient (a hard bounce)."""
        return judge_reply(self.reply).meaning.suppresses

    @property
    def outcome(self) -> str:
        """Return what the attempt's row says: a refusal for good, or one that was retried until it was over."""
        return "transient" if judge_reply(self.reply).meaning.kind is Kind.TRANSIENT else "permanent"


@dataclass(frozen=True, slots=True)
class Delayed:
    """A server is still trying: nothing to record."""


@dataclass(frozen=True, slots=True)
class NotABounce:
    """Why a message says nothing of ours."""

    why: str


def read_notification(content: bytes) -> Bounce | Delayed | NotABounce:
    """Return what the message in *content* says of a mail of ours; never raises, whatever the bytes are."""
    message = message_from_bytes(content, policy=policy.compat32)
    status = next((part for part in _parts(message) if part.get_content_type() in _REPORTS), None)
    if status is None:
        return NotABounce("it is no delivery status notification")
    message_uuid = _message_uuid(message)
    if message_uuid is None:
        return NotABounce("it names no message of ours")
    blocks = [block for block in _blocks(status) if "Action" in block]
    failed = next((block for block in blocks if _word(block, "Action") == _FAILED), None)
    if failed is None:
        delayed = any(_word(block, "Action") == "delayed" for block in blocks)
        return Delayed() if delayed else NotABounce("it says of no recipient that delivery failed")
    return _of_a_server(message_uuid, failed, message)


def bounced(
    message_uuid: UUID, *, reporter: str, enhanced: str | None, code: int | None, text: str, recipient: str = ""
) -> Bounce:
    """Return the bounce that *reporter* tells of, as if the far server had refused us at RCPT."""
    said = f"{enhanced} {text}" if enhanced else text
    return Bounce(message_uuid, refused(reporter, Phase.RCPT, code=code, text=said, recipient=recipient))


def _of_a_server(message_uuid: UUID, block: Message, message: Message) -> Bounce:
    """Return the bounce of a group of fields of a notification."""
    recipient = _recipient(block)
    diagnostic = _field(block, "Diagnostic-Code")
    status, code = _STATUS.search(_field(block, "Status")), _CODE.search(diagnostic)
    enhanced = status[0] if status else None
    if code and code[2] and (enhanced is None or _UNSAID.fullmatch(enhanced)):
        enhanced = code[2]
    # "smtp; 550 5.1.1 <ada@example.com>: no such user": the words, without the codes that have columns of their own.
    words = _STATUS.sub("", diagnostic.partition(";")[2][:400]).replace(code[1] if code else "\0", "", 1).strip()
    return bounced(
        message_uuid,
        reporter="notification",
        enhanced=enhanced,
        code=int(code[1]) if code else _code_for(enhanced),
        text=_printable(words or _told_to_people(message, recipient)),
        recipient=recipient,
    )


def _code_for(enhanced: str | None) -> int | None:
    """Return a basic code that says no more than *enhanced* does: 550 alone would mean that there is nobody."""
    if enhanced is None:
        return None
    return 554 if enhanced[0] == "5" and not enhanced.startswith("5.1.") else int(enhanced[0]) * 100 + 50


def _told_to_people(message: Message, recipient: str) -> str:
    """Return what the part for people says of *recipient*: Exim gives no diagnostic of what it gave up by itself."""
    part = next((part for part in _parts(message) if part.get_content_type() == "text/plain"), None)
    content = part.get_payload(decode=True) if part is not None else None
    if not recipient or not isinstance(content, bytes):
        return ""
    # Exim writes the octets of an address outside ASCII in C's way.
    octets = "".join(chr(octet) if octet < _ASCII else f"\\{octet:03o}" for octet in recipient.encode())
    lines = [line.rstrip() for line in content[:_MOST_TEXT].decode("utf-8", "replace").splitlines()]
    at = next((number for number, line in enumerate(lines) if line.strip() in (recipient, octets)), None)
    after = lines[at + 1 :] if at is not None else []
    return " ".join(line.strip() for line in takewhile(lambda line: line.startswith(" "), after))


def _recipient(block: Message) -> str:
    field = _field(block, "Original-Recipient") or _field(block, "Final-Recipient")
    return field.partition(";")[2].strip()


def _printable(text: str) -> str:
    """Return *text* without what turns a terminal's line around, or shows as nothing."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


def _field(block: Message, name: str) -> str:
    """Return a field's value, in UTF-8 too; `get` would give a replacement character for each octet outside ASCII."""
    value = next((str(value) for key, value in block.raw_items() if key.lower() == name.lower()), "")
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _message_uuid(message: Message) -> UUID | None:
    """Return the delivery that *message* returns: by the message that it returns, or that it answers."""
    for part in _parts(message):
        kind = part.get_content_type()
        if kind in _RETURNED:
            match = _OURS.search(str(_headers_of(part).get("Message-ID", "")))
            if match:
                return UUID(match[1])
    answered = f"{message.get('In-Reply-To', '')} {message.get('References', '')}"
    match = _OURS.search(answered)
    return UUID(match[1]) if match else None


def _headers_of(part: Message) -> Message:
    payload = part.get_payload()
    if isinstance(payload, list):
        inner = payload[0] if payload else part
        return inner if isinstance(inner, Message) else part
    content = part.get_payload(decode=True)
    return message_from_bytes(content if isinstance(content, bytes) else b"", policy=policy.compat32)


def _blocks(status: Message) -> list[Message]:
    """Return the groups of fields of a report: the parser makes a message of each, but knows the ASCII kind only."""
    payload = status.get_payload()
    blocks = [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []
    if status.get_content_type() == _REPORTS[0] or not blocks:
        return blocks
    rest = blocks[0].get_payload(decode=True)
    groups = _BETWEEN.split(rest[:_MOST_TEXT]) if isinstance(rest, bytes) else []
    return [blocks[0], *(message_from_bytes(group, policy=policy.compat32) for group in groups[:_MOST_PARTS])]


def _parts(message: Message) -> Iterator[Message]:
    for number, part in enumerate(message.walk()):
        if number == _MOST_PARTS:
            return
        yield part


def _word(block: Message, name: str) -> str:
    return _field(block, name).strip().lower()
