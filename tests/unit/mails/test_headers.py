"""No value, wherever it comes from, makes a second header; what is taken arrives as it was given."""

from contextlib import suppress
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from mailer.compose import compose
from mailer.errors import AddressRefusedError, HeaderRefusedError
from mailer.guard import _is_plain, check_address, check_value, parse_mailbox
from mailer.rendering import Rendered

NAMES = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted", "X-Extra", "Content-Type"]
NASTY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from('\r\n\t\x00\x0b\x0c\x1c\x1d\x1e\x7f\x85\u2028\u2029 :<>@=?"\\,;'),
    ),
    max_size=400,
)
ENCODED = st.builds(
    "=?{}?{}?{}?=".format, st.sampled_from(["utf-8", "latin-1", "utf-7", "x"]), st.sampled_from("qQbB"), NASTY
)
VALUES = st.one_of(NASTY, ENCODED, st.builds("{}{}{}".format, NASTY, ENCODED, NASTY))
USUAL = r"[a-z0-9_+-]{1,9}(\.[a-z0-9_+-]{1,9}){0,2}@([a-z0-9]{1,9}(-[a-z0-9]{1,9})?\.){1,3}[a-z]{2,6}"
TOPS = sorted({"com", "test", "local", "arpa", "xn--abc", "c", "c0m", *SPECIAL_USE_DOMAIN_NAMES})
WHERE = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)


def written(*, subject: str = "Hello", sender: str = "no-reply@example.com", extra: str = "x") -> bytes:
    return compose(
        Rendered(subject, "text\n", "<p>text</p>"),
        message_id="<5c1b@example.com>",
        sender=sender,
        recipient="ada@example.com",
        date=WHERE,
        extra_headers={"X-Extra": extra},
    )


def header_lines(message: bytes) -> list[bytes]:
    head = message.partition(b"\r\n\r\n")[0]
    assert b"\r" not in head.replace(b"\r\n", b"")
    assert b"\n" not in head.replace(b"\r\n", b"")
    return [line for line in head.split(b"\r\n") if not line.startswith(b" ")]


@given(VALUES)
@example("Hello\r\nBcc: eve@example.com")
@example("=?utf-8?q?Hello=0D=0ABcc:_eve@example.com?=")
@example("=?utf-8?b?SGVsbG8NCkJjYzogZXZl?=")
@example("=?utf-8?q?a?b=0D=0ABcc:_eve@example.com?=")
@example("\u2028Bcc: eve@example.com")
def test_no_subject_makes_a_second_header_and_what_is_taken_arrives(subject: str) -> None:
    try:
        message = written(subject=subject)
    except HeaderRefusedError:
        return

    assert [line.split(b":")[0].decode() for line in header_lines(message)] == NAMES
    assert all(len(line) <= 998 for line in message.split(b"\r\n"))
    raw = message_from_bytes(message, policy=policy.compat32)["Subject"]
    assert str(make_header(decode_header(raw.replace("\r\n", "")))) == subject


@given(VALUES)
def test_no_extra_header_makes_another(value: str) -> None:
    try:
        message = written(extra=value)
    except HeaderRefusedError:
        return

    assert [line.split(b":")[0].decode() for line in header_lines(message)] == NAMES


@given(VALUES)
@example("Eve <eve@example.com>, Ada")
@example('Eve" <eve@example.com>')
def test_no_display_name_makes_another_header_or_another_sender(display: str) -> None:
    try:
        message = written(sender=f"{display} <no-reply@example.com>")
    except (HeaderRefusedError, AddressRefusedError):
        return

    assert [line.split(b":")[0].decode() for line in header_lines(message)] == NAMES
    sender = message_from_bytes(message, policy=policy.default)["From"]
    assert [address.addr_spec for address in sender.addresses] == ["no-reply@example.com"]


@given(st.text(max_size=40), VALUES)
@example("X-A\r\nBcc", "eve@example.com")
@example("Bcc", "eve@example.com")
@example("", "x")
def test_no_name_of_an_extra_header_makes_another(name: str, value: str) -> None:
    try:
        message = compose(
            Rendered("s", "t\n", None),
            message_id="<5c1b@example.com>",
            sender="no-reply@example.com",
            recipient="ada@example.com",
            date=WHERE,
            extra_headers=[(name, value)],
        )
    except HeaderRefusedError:
        return

    found = [line.split(b":")[0].decode() for line in header_lines(message)]
    assert found[:-3] == ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted"]
    assert found[-3:] == [name, "Content-Type", "Content-Transfer-Encoding"]


@given(NASTY)
@example("ada@example.com\r\nBcc: eve@example.com")
@example("ada@example.com>, <eve@example.com")
@example("ada@example.com ")
def test_an_address_is_taken_exactly_as_given_or_not_at_all(text: str) -> None:
    taken = None
    with suppress(AddressRefusedError):
        taken = check_address(text)

    assert taken in (None, text)
    assert not any(character in (taken or "") for character in "\r\n <>,;\x00")


@given(
    st.one_of(
        st.from_regex(USUAL, fullmatch=True),
        st.text("ab1-._+@", max_size=30).map(lambda text: f"{text}.com"),
        st.builds(
            "{}@{}.{}".format, st.text("ab1-._", max_size=9), st.text("ab1-.", max_size=9), st.sampled_from(TOPS)
        ),
    )
)
@example(f"{'a' * 64}@example.com")
@example(f"{'a' * 65}@example.com")
@example(f"a@{'b' * 63}.com")
@example(f"a@{'b' * 64}.com")
def test_what_looks_usual_is_taken_as_it_is_by_email_validator_too(address: str) -> None:
    if _is_plain(address):
        assert validate_email(address, check_deliverability=False, test_environment=True).normalized == address


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "ada@",
        "@example.com",
        "ada@example.com>",
        "<ada@example.com>",
        "Ada <ada@example.com>",
        "ada@EXAMPLE.com",
        " ada@example.com",
        "ada@example.com\n",
        "ada..l@example.com",
        "a@b@example.com",
        "ada@exa mple.com",
        "ada@[127.0.0.1]",
        '"ada l"@example.com',
    ],
)
def test_an_address_that_is_none_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(AddressRefusedError) as refused:
        check_address(address)

    assert "ada" not in str(refused.value)
    assert "example" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["ada@example.com", "a+b.c-d_e@sub.example.co.uk", "ö@bücher.example", "x@straße.de"]
)
def test_an_address_that_is_one_is_taken(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize("bad", ["\r", "\n", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_every_line_breaking_character_is_refused(bad: str) -> None:
    with pytest.raises(HeaderRefusedError, match="control character or a line break"):
        check_value("Subject", f"a{bad}b")


def test_a_line_break_inside_an_encoded_word_is_refused() -> None:
    with pytest.raises(HeaderRefusedError, match="inside an encoded word"):
        check_value("Subject", "=?utf-8?q?a=0Ab?=")


def test_an_encoded_word_of_an_unknown_character_set_is_refused() -> None:
    with pytest.raises(HeaderRefusedError, match="unknown character set"):
        check_value("Subject", "=?klingon?q?abc?=")


def test_a_harmless_encoded_word_is_shown_as_it_was_written() -> None:
    message = message_from_bytes(written(subject="=?utf-8?q?Free_money?="), policy=policy.default)

    assert message["Subject"] == "=?utf-8?q?Free_money?="


@pytest.mark.parametrize("name", ["To", "bcc", "SUBJECT", "Content-Type", "Message-Id", "Resent-To"])
def test_a_header_that_the_mailer_writes_cannot_be_added(name: str) -> None:
    with pytest.raises(HeaderRefusedError, match="written by the mailer itself"):
        compose(
            Rendered("s", "t\n", None),
            message_id="<5c1b@example.com>",
            sender="no-reply@example.com",
            recipient="ada@example.com",
            date=WHERE,
            extra_headers={name: "x"},
        )


def test_a_sender_has_a_name_and_an_address() -> None:
    mailbox = parse_mailbox('"Example, Ltd" <no-reply@example.com>')

    assert (mailbox.display, mailbox.address) == ("Example, Ltd", "no-reply@example.com")


@pytest.mark.parametrize("text", ["", "Example", "Example <>", "Example <a@b", "a@example.com, b@example.com"])
def test_a_sender_without_one_address_is_refused(text: str) -> None:
    with pytest.raises(AddressRefusedError):
        parse_mailbox(text)
