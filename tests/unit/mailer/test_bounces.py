"""Delivery status notifications as servers write them, and what is none."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.bounces import Bounce, Delayed, NotABounce, read_notification

OURS = UUID("5b1d8cc0-1111-4222-8333-444455556666")


def notification(
    fields: str,
    *,
    returned: str = f"Message-ID: <{OURS}@example.org>\r\nSubject: hi\r\n",
    kind: str = "message/rfc822",
    head: str = "",
) -> bytes:
    """Return a notification as Postfix writes it (RFC 3464)."""
    return (
        "From: MAILER-DAEMON@mx.example.com\r\nTo: no-reply@example.org\r\nSubject: Undelivered Mail\r\n"
        f"{head}MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you\r\n\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example.com\r\nArrival-Date: Sun, 17 May 2026 12:00:00 +0000\r\n\r\n"
        f"{fields}\r\n"
        f"--b\r\nContent-Type: {kind}\r\n\r\n{returned}\r\nbody\r\n--b--\r\n"
    ).encode()


def failed(status: str, diagnostic: str, action: str = "failed") -> str:
    return (
        f"Final-Recipient: rfc822; ada@example.com\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Remote-MTA: dns; mx.example.com\r\nDiagnostic-Code: {diagnostic}\r\n"
    )


# Source of the wordings: RFC 3464 appendix E, and the texts that the documentation of Postfix, Exim and Exchange shows.
@pytest.mark.parametrize(
    ("status", "diagnostic", "hard", "outcome"),
    [
        ("5.1.1", "smtp; 550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown", True, "permanent"),
        ("5.0.0", "smtp; 550 no such user here", True, "permanent"),
        (
            "5.1.10",
            "smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup",
            True,
            "permanent",
        ),
        ("5.2.2", "smtp; 552 5.2.2 mailbox full", False, "transient"),
        ("5.7.1", "smtp; 554 5.7.1 blocked by policy", False, "permanent"),
        ("4.4.7", "smtp; 421 4.4.0 unable to connect", False, "transient"),
        ("5.3.4", "smtp; 552 5.3.4 message too big", False, "permanent"),
    ],
)
def test_a_failure_is_judged_as_if_the_far_server_had_refused_us(
    status: str, diagnostic: str, *, hard: bool, outcome: str
) -> None:
    bounce = read_notification(notification(failed(status, diagnostic)))

    assert isinstance(bounce, Bounce)
    assert (bounce.message_uuid, bounce.undeliverable, bounce.outcome) == (OURS, hard, outcome)
    assert bounce.reply.enhanced == status
    assert "ada" not in bounce.reply.text.lower()


# What Postfix 3.7.11 and Exim 4.96 wrote, run as in tests/integration/mailer/test_bounces_of_servers.py.
NOTIFICATIONS = Path(__file__).parents[2] / "support" / "mail_servers" / "notifications"


@pytest.mark.parametrize(
    ("name", "hard", "code", "enhanced", "text"),
    [
        ("postfix-gone", True, 550, "5.1.1", 'unknown user: "<address>"'),
        ("postfix-parti", True, 550, "5.1.1", 'unknown user: "<address>"'),
        ("postfix-refused", True, 550, "5.1.1", "<address>: Recipient address rejected: no such user here"),
        ("exim-gone", True, 554, "5.0.0", "no such user here"),
        ("exim-parti", True, 554, "5.0.0", "no such user here"),
        ("exim-refused", True, 550, "5.1.1", "no such user here"),
        # Full, or away, for longer than Exim tries: nobody says that it will be so for good.
        ("exim-small", False, 554, "5.0.0", "mailbox is full: retry timeout exceeded"),
    ],
)
def test_what_servers_sent_back_is_understood(name: str, *, hard: bool, code: int, enhanced: str, text: str) -> None:
    bounce = read_notification((NOTIFICATIONS / f"{name}.eml").read_bytes())

    assert isinstance(bounce, Bounce)
    assert (bounce.message_uuid, bounce.undeliverable, bounce.outcome) == (OURS, hard, "permanent")
    assert (bounce.reply.code, bounce.reply.enhanced, bounce.reply.text) == (code, enhanced, text)


@pytest.mark.parametrize("name", ["postfix-late", "exim-late"])
def test_what_servers_say_of_a_delay_is_no_failure(name: str) -> None:
    assert read_notification((NOTIFICATIONS / f"{name}.eml").read_bytes()) == Delayed()


@pytest.mark.parametrize(
    ("status", "diagnostic", "enhanced", "hard"),
    [
        # Exim says 5.0.0 of everything: what it quotes decides.
        ("5.0.0", "smtp; 550-5.7.26 Unauthenticated email from example.org\r\n 550 5.7.26 is refused", "5.7.26", False),
        ("5.0.0", "smtp; 552 5.2.2 full", "5.2.2", False),
        ("5.1.1", "smtp; 550 5.0.0 nobody", "5.1.1", True),
        # Without the far side's code, the status says all that is known.
        ("5.4.6", "X-Postfix; mail for example.com loops back to myself", "5.4.6", False),
        ("5.0.0", "", "5.0.0", False),
        ("5.1.2", "", "5.1.2", True),
    ],
)
def test_a_recipient_is_suppressed_only_for_what_was_said_of_him(
    status: str, diagnostic: str, enhanced: str, *, hard: bool
) -> None:
    bounce = read_notification(notification(failed(status, diagnostic)))

    assert isinstance(bounce, Bounce)
    assert (bounce.reply.enhanced, bounce.undeliverable) == (enhanced, hard)


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers", "message/rfc822-headers"])
def test_the_message_is_found_in_what_is_returned(kind: str) -> None:
    bounce = read_notification(notification(failed("5.1.1", "smtp; 550 unknown"), kind=kind))

    assert isinstance(bounce, Bounce)
    assert bounce.message_uuid == OURS


def test_a_server_that_returns_nothing_is_understood_by_what_it_answers() -> None:
    head = f"In-Reply-To: <{OURS}@example.org>\r\n"

    bounce = read_notification(notification(failed("5.1.1", "smtp; 550 unknown"), returned="", head=head))

    assert isinstance(bounce, Bounce)
    assert bounce.message_uuid == OURS


def test_a_delay_is_no_failure() -> None:
    assert read_notification(notification(failed("4.4.1", "smtp; 421 busy", action="delayed"))) == Delayed()


def test_a_failure_after_a_success_is_found() -> None:
    fields = failed("2.0.0", "smtp; 250 ok", action="relayed") + "\r\n" + failed("5.1.1", "smtp; 550 unknown")

    assert isinstance(read_notification(notification(fields)), Bounce)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no delivery status notification"),
        (b"From: ada@example.com\r\nSubject: Out of office\r\n\r\nback on Monday", "no delivery status notification"),
        (
            notification(failed("5.1.1", "x"), returned="Message-ID: <other@example.org>\r\n"),
            "names no message of ours",
        ),
        (notification("Final-Recipient: rfc822; a@b\r\nAction: expanded\r\n"), "no recipient that delivery failed"),
    ],
)
def test_what_is_no_bounce_of_ours_says_why(content: bytes, why: str) -> None:
    found = read_notification(content)

    assert isinstance(found, NotABounce)
    assert why in found.why


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_no_bytes_whatever_raise(noise: bytes, place: int) -> None:
    whole = notification(failed("5.1.1", "smtp; 550 5.1.1 <ada@example.com> unknown"))

    read_notification(noise)
    for known in (whole, (NOTIFICATIONS / "exim-parti.eml").read_bytes()):
        read_notification(known[:place] + noise + known[place:])


LINES = st.lists(
    st.text(st.characters(exclude_characters="\n"), max_size=40)
    | st.sampled_from(["ada@example.com", "\r", "\x00", "\u2028", "=?utf-8?q?a=0D=0ABcc:_e@x.y?=", "550 5.1.1", ";"]),
    max_size=6,
).map(" ".join)


@given(LINES, LINES, LINES, st.text(max_size=60))
def test_whatever_a_notification_says_is_one_line_without_an_address_about_one_message_of_ours(
    status: str, diagnostic: str, recipient: str, head: str
) -> None:
    fields = (
        f"Final-Recipient: rfc822; {recipient} ada@example.com\nAction: failed\n"
        f"Status: {status}\nDiagnostic-Code: smtp; {diagnostic} <ada@example.com>\n"
    )
    content = notification(fields.encode("utf-8", "replace").decode(), head=f"X-More: {head!r}\r\n")

    found = read_notification(content)

    if isinstance(found, Bounce):
        assert found.message_uuid == OURS
        assert "ada@example.com" not in found.reply.text
        assert found.reply.text == " ".join(found.reply.text.split())
        assert found.reply.text.isprintable()
