"""The guard: no value becomes a second header, and no address a second recipient.

It is ours and comes first: a value that has a line break in it, plain or inside an encoded word, never becomes a line,
and an address that is not valid exactly as it was given is refused.
"""

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from functools import lru_cache

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from mailer.errors import AddressRefusedError, HeaderRefusedError

_HEADER_NAME = re.compile(r"[!-9;-~]+")
# C0 with the tab, DEL, C1 with NEL, and the two separators that some programs take for line breaks.
_LINE_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# How an encoded word begins. Programs differ in where one ends (Python's takes question marks inside), so whatever has
# this is decoded to be checked, and encoded once more to be shown as it was written.
ENCODED_WORD = "=?"
_MAILBOX = re.compile(r"(?P<display>[^<>]*?)\s*<(?P<address>[^<>]*)>")
# A local part of 64 characters at most, and a domain so short that no label is too long, without `--` as in xn--.
_PLAIN = re.compile(
    r"(?=[^@]{1,64}@[^@]{1,63}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,20}"
)
_SPECIAL = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)


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


def wire_address(address: str) -> str:
    """Return *address* with its domain in ASCII; a local part outside ASCII stays, as the bytes of SMTPUTF8."""
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    # IDNA 2008, as the registries use it: Python's own codec makes another domain of one with an ß.
    valid = validate_email(f"x@{domain}", check_deliverability=False, test_environment=True)
    return f"{local}@{valid.ascii_domain}"


def _decoded(name: str, value: str) -> str:
    if ENCODED_WORD not in value:
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


def _without_values(error: EmailNotValidError) -> str:
    """Return what is wrong, without the parts of the address that email-validator quotes."""
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "…", str(error).rstrip(".")).split(" ")
    return " ".join("…" if "@" in word and word.strip(".,:") != "@-sign" else word for word in words)
