"""A rendered mail as the bytes of a message, and the guard that no value becomes a second header.

The guard is ours and comes first: a value that has a line break in it, plain or inside an encoded word, never becomes a
line. 3.11's `EmailMessage` would make a header of an encoded newline in a subject; the generator of `compat32` has no
such fault, but a message takes 380 µs with it and 160 µs written out as here (one core, busy). The bytes are 7-bit
clean, so that any server takes them and no relay re-encodes them; the one exception is an address outside ASCII, which
has no other form.
"""

import binascii
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import format_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from mailer.errors import AddressRefusedError, HeaderRefusedError

_HEADER_NAME = re.compile(r"[!-9;-~]+")
# C0 with the tab, DEL, C1 with NEL, and the two separators that some programs take for line breaks.
_LINE_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# How an encoded word begins. Programs differ in where one ends (Python's takes question marks inside), so whatever has
# this is decoded to be checked, and encoded once more to be shown as it was written.
_ENCODED_WORD = "=?"
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")
_MAILBOX = re.compile(r"(?P<display>[^<>]*?)\s*<(?P<address>[^<>]*)>")
_EOL = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
# A local part of 64 characters at most, and a domain so short that no label is too long, without `--` as in xn--.
_PLAIN = re.compile(
    r"(?=[^@]{1,64}@[^@]{1,63}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,20}"
)
_SPECIAL = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)
# RFC 5322 2.1.1: a line should have 78 characters at most and must not have over 998; a name stands before the first.
_BODY_LINE = 78
_SHORT = 60
_LONGEST_LINE = 900
_FOLD = re.compile(r"(\S.{0,58}\S|\S{60,}) (?=\S)")
# RFC 2047: a word has at most 75 characters and a line of them 76; 36 octets make 60 and leave room for the name.
_WORD_OCTETS = 36
# What compose writes by itself: given again, a server could take either.
_OWN = frozenset(
    [
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "auto-submitted",
        "return-path",
        "received",
        "resent-to",
        "resent-from",
        "resent-cc",
        "resent-bcc",
    ]
)


class _Rendered(Protocol):
    """What compose needs of a rendered mail."""

    @property
    def subject(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def html(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with an optional name to show."""

    display: str
    address: str


def check_address(address: str, *, role: str = "recipient") -> str:
    """Return *address* itself; raise AddressRefusedError unless it is valid exactly as it was given."""
    if _is_plain(address):
        return address
    try:
        valid = validate_email(address, check_deliverability=False, allow_smtputf8=True, test_environment=True)
    except EmailNotValidError as error:
        raise AddressRefusedError(role, _without_values(error)) from None
    except (TypeError, UnicodeError):
        raise AddressRefusedError(role, "it is no text that an address could be") from None
    # Both SMTP clients of the standard library and its successor cut silently at `>`: what is not exact is not sent.
    if valid.normalized != address:
        raise AddressRefusedError(role, "it is not written in its normal form (Unicode NFC, lower-case domain)")
    return address


def _is_plain(address: str) -> bool:
    """Return whether *address* is of the usual kind, which takes a fiftieth of the time to tell.

    What this takes, email-validator takes as it is: a test compares them. All else is for email-validator to judge.
    """
    return _PLAIN.fullmatch(address) is not None and address.rpartition(".")[2] not in _SPECIAL


@lru_cache(maxsize=64)  # of a process's few senders; validating one takes longer than writing the headers
def parse_mailbox(text: str, *, role: str = "sender") -> Mailbox:
    """Return the mailbox written as `address` or `Name <address>`."""
    match = _MAILBOX.fullmatch(text.strip())
    display, address = (match["display"].strip().strip('"'), match["address"]) if match else ("", text.strip())
    check_value(role, display)
    return Mailbox(display, check_address(address, role=role))


def check_value(name: str, value: str) -> str:
    """Return *value*; raise HeaderRefusedError if it could end its header, also once its encoded words are decoded."""
    if not _HEADER_NAME.fullmatch(name):
        raise HeaderRefusedError(name.encode("ascii", "backslashreplace").decode(), "its name has other than !-9;-~")
    if _LINE_BREAKING.search(value):
        raise HeaderRefusedError(name, "its value has a control character or a line break")
    if _LINE_BREAKING.search(_decoded(name, value)):
        raise HeaderRefusedError(name, "its value has a control character inside an encoded word")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise HeaderRefusedError(name, "its value has half of a surrogate pair") from None
    return value


def compose(
    rendered: _Rendered,
    *,
    message_id: str,
    sender: str,
    recipient: str,
    date: datetime,
    extra_headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return the message as it goes over the wire; equal arguments make equal bytes."""
    if not _MESSAGE_ID.fullmatch(message_id):
        raise HeaderRefusedError("Message-ID", "expected <left@right> in ASCII")
    headers = (
        ("From", _shown(parse_mailbox(sender))),
        ("To", wire_address(check_address(recipient))),
        ("Subject", _encoded(check_value("Subject", rendered.subject))),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
        ("MIME-Version", "1.0"),
        # RFC 3834: a program wrote this, so no vacation responder shall answer it.
        ("Auto-Submitted", "auto-generated"),
        *_extra(extra_headers),
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return head.encode() + _body(rendered.text, rendered.html, boundary=_boundary(message_id))


def _body(text: str, html: str | None, *, boundary: str) -> bytes:
    """Return the rest of the message, from its content type on: RFC 2046, the best part last."""
    plain = _part("plain", text)
    if html is None:
        return plain
    kind = f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n'.encode()
    between = f"\r\n--{boundary}".encode()
    return b"".join((kind, between[2:], b"\r\n", plain, between, b"\r\n", _part("html", html), between, b"--\r\n"))


def _part(subtype: str, text: str) -> bytes:
    """Return one part: as it is where every server takes that, else quoted-printable, which C does."""
    text = _EOL.sub("\n", text)
    plain = text.isascii() and not _CONTROL.search(text) and all(len(line) <= _BODY_LINE for line in text.split("\n"))
    content = text.encode() if plain else binascii.b2a_qp(text.encode(), istext=True)
    encoding = "7bit" if plain else "quoted-printable"
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + content.replace(b"\n", b"\r\n")


def _extra(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, _encoded(check_value(name, value))) for name, value in pairs if _addable(name)]


def _addable(name: str) -> bool:
    if name.lower() in _OWN:
        raise HeaderRefusedError(name, "it is written by the mailer itself")
    return True


def _encoded(value: str) -> str:
    """Return *value* as it stands in a header: as it is where a reader sees exactly that, else as encoded words."""
    if not value.isascii() or _ENCODED_WORD in value or value != value.strip():
        return _encoded_words(value)
    if len(value) <= _SHORT:
        return value
    # Folded at blanks only: List-Unsubscribe and its like carry one long word, in which an encoded word would be text.
    folded = _FOLD.sub("\\1\r\n ", value)
    if max(map(len, folded.split("\r\n"))) > _LONGEST_LINE:
        return _encoded_words(value)
    return folded


def _encoded_words(value: str) -> str:
    """Return *value* as RFC 2047 words, one a line; `email.header.Header` counts by character, 40 times slower."""
    words, word = [], b""
    for character in value:
        octets = character.encode()
        if len(word) + len(octets) > _WORD_OCTETS:
            words.append(word)
            word = b""
        word += octets
    return "\r\n ".join(f"=?utf-8?b?{b64encode(word).decode('ascii')}?=" for word in (*words, word))


def _shown(mailbox: Mailbox) -> str:
    address = wire_address(mailbox.address)
    if not mailbox.display:
        return address
    if mailbox.display.isascii() and _ENCODED_WORD not in mailbox.display:
        quoted = mailbox.display.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{_encoded_words(mailbox.display)} <{address}>"


def wire_address(address: str) -> str:
    """Return *address* with its domain in ASCII; a local part outside ASCII stays, as the bytes of SMTPUTF8."""
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    # IDNA 2008, as the registries use it: Python's own codec makes another domain of one with an ß.
    valid = validate_email(f"x@{domain}", check_deliverability=False, test_environment=True)
    return f"{local}@{valid.ascii_domain}"


def _decoded(name: str, value: str) -> str:
    if _ENCODED_WORD not in value:
        return value
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError):
        raise HeaderRefusedError(name, "its value has an encoded word that cannot be decoded") from None
    return "".join(_text(name, part, charset) for part, charset in parts)


def _text(name: str, part: bytes | str, charset: str | None) -> str:
    if isinstance(part, str):
        return part
    try:
        return part.decode(charset or "latin-1")
    except (LookupError, UnicodeError):
        raise HeaderRefusedError(name, "its value has an encoded word in an unknown character set") from None


def _boundary(message_id: str) -> str:
    """Return a boundary that no text can contain by accident, and that is the same at every attempt."""
    return f"=_{sha256(message_id.encode()).hexdigest()[:32]}"


def _without_values(error: EmailNotValidError) -> str:
    """Return what is wrong, without the parts of the address that email-validator quotes."""
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "…", str(error).rstrip(".")).split(" ")
    return " ".join("…" if "@" in word and word.strip(".,:") != "@-sign" else word for word in words)
