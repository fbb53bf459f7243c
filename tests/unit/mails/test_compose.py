"""A message is what a reader's program understands, and the same bytes at every attempt."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailer.compose import compose
from mailer.errors import AddressRefusedError, HeaderRefusedError
from mailer.rendering import Rendered

DATE = datetime(2026, 11, 24, 6, 30, 5, tzinfo=UTC)


def written(
    *,
    subject: str = "Hello",
    text: str = "Hello Ada\n",
    html: str | None = "<p>Hello Ada</p>",
    recipient: str = "ada@example.com",
    sender: str = "Example <no-reply@example.com>",
    message_id: str = "<5c1b@example.com>",
    extra_headers: dict[str, str] | None = None,
) -> bytes:
    return compose(
        Rendered(subject, text, html),
        message_id=message_id,
        sender=sender,
        recipient=recipient,
        date=DATE,
        extra_headers=extra_headers or {},
    )


def read(message: bytes) -> EmailMessage:
    return message_from_bytes(message, policy=policy.default)


def test_a_message_has_the_headers_that_servers_and_readers_expect() -> None:
    message = read(written(extra_headers={"List-Unsubscribe": "<https://example.com/u/1>"}))

    assert message.get_content_type() == "multipart/alternative"
    assert {name: value for name, value in message.items() if name != "Content-Type"} == {
        "From": "Example <no-reply@example.com>",
        "To": "ada@example.com",
        "Subject": "Hello",
        "Date": "Tue, 24 Nov 2026 06:30:05 +0000",
        "Message-ID": "<5c1b@example.com>",
        "MIME-Version": "1.0",
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": "<https://example.com/u/1>",
    }


def test_equal_arguments_make_equal_bytes() -> None:
    assert written() == written()


def test_the_text_part_comes_before_the_html_part() -> None:
    parts = [part.get_content_type() for part in read(written()).iter_parts()]

    assert parts == ["text/plain", "text/html"]


def test_a_mail_without_html_is_plain_text() -> None:
    message = read(written(html=None, text="Grüße\n"))

    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Grüße\r\n"


def test_a_message_is_clean_for_servers_that_know_seven_bits_only() -> None:
    message = written(subject="Grüße 🎉", text="Grüße 🎉\n" * 100, html="<p>Grüße 🎉</p>" * 500)

    assert message.isascii()
    assert all(len(line) <= 78 for line in message.split(b"\r\n"))


def test_a_subject_outside_ascii_arrives() -> None:
    subject = "Ihr Konto wurde gesperrt: bitte prüfen Sie es so bald wie möglich 🎉"

    assert read(written(subject=subject))["Subject"] == subject


def test_a_long_ascii_subject_is_folded_at_blanks() -> None:
    message = written(subject="word " * 60 + "end")

    assert read(message)["Subject"] == "word " * 60 + "end"
    assert max(len(line) for line in message.split(b"\r\n")) <= 78


def test_a_sender_name_outside_ascii_arrives() -> None:
    message = read(written(sender="Bücher & Söhne <no-reply@example.com>"))

    assert message["From"].addresses[0].display_name == "Bücher & Söhne"


def test_an_international_domain_goes_out_in_ascii_as_registries_have_it() -> None:
    assert read(written(recipient="ada@straße.de"))["To"] == "ada@xn--strae-oqa.de"


def test_an_international_local_part_goes_out_as_utf8() -> None:
    assert b"\r\nTo: \xc3\xb6@xn--bcher-kva.example\r\n" in written(recipient="ö@bücher.example")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@example("a\r\nb\rc\nd")
@example("From here\n.\n.dot\n" + "x" * 2000)
@example("trailing blank \nand tab\t\n=3D")
def test_any_text_arrives(text: str) -> None:
    message = written(text=text, html=None)

    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    payload = message_from_bytes(message, policy=policy.compat32).get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().replace("\r\n", "\n").rstrip("\n") == normal.rstrip("\n")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_body_never_ends_its_part(text: str) -> None:
    message = read(written(text=f"{text}\n--=_x--\n", html="<p>second</p>"))

    assert len(list(message.iter_parts())) == 2


def test_a_message_has_no_bare_line_breaks() -> None:
    message = written(text="a\rb\nc\r\nd\n" + "ü\rä\n", html="<p>\r\n\r\n\n.</p>")

    assert b"\r" not in message.replace(b"\r\n", b"")
    assert b"\n" not in message.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "message_id", ["", "5c1b@example.com", "<5c1b>", "<a b@c>", "<a@b>\r\nBcc: x", "<ö@example.com>"]
)
def test_a_message_id_that_is_none_is_refused(message_id: str) -> None:
    with pytest.raises(HeaderRefusedError, match="Message-ID"):
        written(message_id=message_id)


def test_a_recipient_that_is_no_address_is_refused() -> None:
    with pytest.raises(AddressRefusedError, match="recipient"):
        written(recipient="ada")
