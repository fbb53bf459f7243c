"""Whatever the bytes of a message are: no field for a provider has a line break, and only refusals are raised."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailer.compose import compose
from mailer.errors import AddressRefusedError, HeaderRefusedError
from mailer.rendering import Rendered
from mailer.reply import OutgoingMessage, Phase
from mailer.transports.dsn import parse_dsn
from mailer.transports.message_fields import MessageFields, UnsayableMessageError, message_fields
from mailer.transports.postmark import PostmarkTransport
from mailer.transports.resend import ResendTransport

BREAKS = "\r\n\x00\x0b\x0c\x1c\x1d\x1e\x7f\x85\u2028\u2029"
WORDS = st.builds(
    "=?{}?{}?{}?=".format,
    st.sampled_from(["utf-8", "latin-1", "utf-7", "utf-16", "klingon", "rot13", "idna", ""]),
    st.sampled_from("qQbB"),
    st.text(st.sampled_from("=0AD85E2A8AbcZ_?+/ "), max_size=30),
)
VALUES = st.lists(
    st.text(st.one_of(st.characters(), st.sampled_from(BREAKS + '<>@,:;"=?')), max_size=60) | WORDS, max_size=4
).map("".join)
NAMES = st.sampled_from(["From", "To", "Subject", "Reply-To", "List-Unsubscribe", "X-Extra", "Message-ID"])
KINDS = [
    "text/plain",
    'text/plain; charset="klingon"',
    "text/html; charset=utf-16",
    "text/plain; charset=\x00",
    "x",
    "",
]


def outgoing(content: bytes) -> OutgoingMessage:
    return OutgoingMessage("no-reply@example.com", "ada@example.com", content, "<5c1b@example.com>")


def broken(fields: MessageFields) -> list[str]:
    """Return the values for a provider's headers that have a line break or another control character."""
    values = [fields.sender, fields.subject, fields.reply_to or "", *(text for pair in fields.headers for text in pair)]
    return [value for value in values if any(character in value for character in BREAKS)]


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.sampled_from(KINDS), st.binary(max_size=40))
@example([("Subject", "=?utf-8?q?a=0D=0ABcc:_eve@example.com?=")], "text/plain", b"")
@example([("List-Unsubscribe", "<https://example.com/>\r\nBcc: eve@example.com")], "text/plain", b"")
@example([("List-Unsubscribe", "=?utf-8?b?PG1haWx0bzpldmU+DQpCY2M6IGV2ZQ==?=")], "text/plain", b"")
@example([("From", "ö@example.com")], "text/plain", b"")
@example([("Subject", "=?klingon?q?x?=")], "text/plain", b"")
def test_no_message_puts_a_line_break_into_a_providers_field(
    headers: list[tuple[str, str]], kind: str, body: bytes
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers) + f"Content-Type: {kind}\r\n\r\n"
    with suppress(UnsayableMessageError):
        assert broken(message_fields(outgoing(head.encode("utf-8", "surrogatepass") + body))) == []


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_refusal(content: bytes) -> None:
    with suppress(UnsayableMessageError):
        assert broken(message_fields(outgoing(content))) == []


@given(VALUES, VALUES)
def test_what_compose_takes_reaches_the_provider_as_it_was_given(subject: str, extra: str) -> None:
    try:
        content = compose(
            Rendered(subject, "text\n", "<p>text</p>"),
            message_id="<5c1b@example.com>",
            sender="Ö. Sender <ö@example.com>",
            recipient="ada@example.com",
            date=datetime(2026, 11, 24, tzinfo=UTC),
            extra_headers={"List-Unsubscribe": extra},
        )
    except (HeaderRefusedError, AddressRefusedError):
        return

    fields = message_fields(outgoing(content))

    assert " ".join(fields.subject.split()) == " ".join(subject.split())
    assert [name for name, _ in fields.headers] == ["Message-ID", "Auto-Submitted", "List-Unsubscribe"]
    assert broken(fields) == []


@pytest.mark.parametrize(
    "transport",
    [ResendTransport(parse_dsn("resend://key@default")), PostmarkTransport(parse_dsn("postmark://token@default"))],
    ids=["resend", "postmark"],
)
def test_a_message_that_cannot_be_said_is_refused_before_a_provider_is_asked(
    transport: ResendTransport | PostmarkTransport,
) -> None:
    reply = transport.send(outgoing(b"Subject: =?utf-8?q?a=0D=0ABcc:_eve@example.com?=\r\n\r\nx"))

    transport.close()
    assert (reply.phase, reply.code, reply.enhanced) == (Phase.DATA, 554, "5.6.1")
