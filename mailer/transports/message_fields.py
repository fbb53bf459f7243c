"""A composed message taken apart again, for providers that want fields and not bytes.

What cannot be said in their fields is refused, never dropped: a mail that arrives without its second part is worse than
one that does not leave. No field of a header holds a line break, plain or decoded: a provider could make a second
header of what follows it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

from mailer.errors import HeaderRefusedError
from mailer.guard import check_value
from mailer.reply import OutgoingMessage

# What providers have a field for, or write by themselves.
_OWN_FIELD = frozenset(
    ("from", "to", "subject", "reply-to", "mime-version", "content-type", "content-transfer-encoding", "date")
)


class UnsayableMessageError(ValueError):
    """The message has something that the provider's fields have no place for; the text says what."""


@dataclass(frozen=True, slots=True)
class MessageFields:
    """What a provider's request is made of. *headers* are those without a field of their own, Message-ID included.

    *delivery* tells the message from all others, for webhooks.
    """

    delivery: str
    sender: str
    subject: str = field(repr=False)
    text: str | None = field(repr=False)
    html: str | None = field(repr=False)
    reply_to: str | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)


def message_fields(message: OutgoingMessage) -> MessageFields:
    """Return the fields of *message*; raise UnsayableMessageError for what they cannot hold, whatever its bytes are."""
    try:
        return _fields(message)
    except UnsayableMessageError:
        raise
    except HeaderRefusedError as error:
        raise UnsayableMessageError(str(error)) from None
    except (HeaderParseError, LookupError, ValueError) as error:
        # Its own words may quote what it stumbled over.
        raise UnsayableMessageError(f"a part or header that cannot be decoded: {type(error).__name__}") from None


def _fields(message: OutgoingMessage) -> MessageFields:
    parsed = message_from_bytes(message.content)
    bodies: dict[str, str] = {}
    for part in _leaves(parsed):
        kind = part.get_content_type()
        if kind not in ("text/plain", "text/html") or kind in bodies or part.get_filename():
            raise UnsayableMessageError(f"expected one text/plain and one text/html part at most, got {kind}")
        bodies[kind] = _text(part)
    unfolded = [(name, _unfolded(name, value)) for name, value in parsed.raw_items()]
    first = {name.lower(): value for name, value in reversed(unfolded)}
    return MessageFields(
        delivery_name(message),
        # As it stands: a display name stays quoted or encoded, which is what providers document.
        sender=first.get("from", ""),
        subject=_shown("Subject", first.get("subject", "")),
        text=bodies.get("text/plain"),
        html=bodies.get("text/html"),
        reply_to=first.get("reply-to"),
        headers=tuple((name, _shown(name, value)) for name, value in unfolded if name.lower() not in _OWN_FIELD),
    )


def delivery_name(message: OutgoingMessage) -> str:
    """Return what is left of the @ in the Message-ID: the delivery's UUID."""
    return message.message_id.strip("<>").partition("@")[0]


def _leaves(message: Message) -> Iterator[Message]:
    return (part for part in message.walk() if not part.is_multipart())


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise UnsayableMessageError(f"expected the {part.get_content_type()} part to have a body")
    return content.decode(part.get_content_charset("utf-8")).replace("\r\n", "\n")


def _unfolded(name: str, value: str) -> str:
    """Return *value* on one line; the parser keeps bytes outside ASCII, an SMTPUTF8 address's, as halves of pairs."""
    text = value.encode("ascii", "surrogateescape").decode()
    return check_value(name, " ".join(text.split()))


def _shown(name: str, value: str) -> str:
    return check_value(name, str(make_header(decode_header(value))))
