"""What real servers send back, read from a real mailbox by `outbox mail bounces`: Postfix, Exim and Dovecot."""

import imaplib
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest

from devstack import folders
from mailer.bounce_record import record_bounce
from mailer.bounces import Bounce, read_notification
from mailer.database import Database
from mailer.mailboxes import open_mailbox
from mailer.reply import OutgoingMessage
from mailer.transports import open_transport
from tests.integration.mailer.conftest import Query
from tests.integration.mailer.test_bounces import arrived, mailer_database, outbox, sent
from tests.support.mail_servers import CA, PASSWORD, USER, Service, SmtpPeer, missing
from tests.support.mail_servers.dovecot import Dovecot
from tests.support.mail_servers.exim import Exim
from tests.support.mail_servers.postfix import Postfix
from tests.support.operators import Operator
from tests.support.waiting import wait_until
from tests.unit.mailer.test_bounces import failed, notification

__all__ = ["mailer_database", "outbox"]
Owe = Callable[..., int]
NOTHING = {"bounced": 0, "known already": 0, "delayed": 0, "not understood": 0}
BOUNCES = "bounces@example.com"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = folders.new_run_folder()
    yield made
    folders.remove(made)


@pytest.fixture(scope="module")
def dovecot(folder: Path) -> Iterator[Dovecot]:
    if why := missing("dovecot"):
        pytest.skip(why)
    server = Dovecot(folder)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module", params=["postfix", "exim"])
def peer(request: pytest.FixtureRequest) -> Iterator[SmtpPeer]:
    if why := missing(request.param):
        pytest.skip(why)
    run = folders.new_run_folder()
    server: Postfix | Exim = Postfix(run, auth_port=None) if request.param == "postfix" else Exim(run)
    try:
        server.start()
        yield server
    finally:
        server.close()
        folders.remove(run)


@pytest.fixture
def inbox(dovecot: Dovecot) -> Iterator[imaplib.IMAP4]:
    """A session of a person's, in an empty inbox."""
    context = ssl.create_default_context(cafile=str(CA))
    with imaplib.IMAP4_SSL("localhost", dovecot.imaps_port, ssl_context=context) as session:
        session.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
        session.select("INBOX")
        session.uid("STORE", "1:*", "+FLAGS", r"(\Deleted)")
        session.expunge()
        yield session


def source(dovecot: Dovecot, *, scheme: str = "imaps", password: str = PASSWORD, folder: str = "INBOX") -> str:
    port = dovecot.imaps_port if scheme == "imaps" else dovecot.imap_port
    return f"{scheme}://{USER}:{quote(password)}@localhost:{port}/{quote(folder)}"


def flags(inbox: imaplib.IMAP4) -> list[str]:
    inbox.select("INBOX")
    _, found = inbox.fetch("1:*", "(FLAGS)")
    return [" ".join(sorted(re.findall(r"\\(Seen|Flagged)", str(line)))) for line in found]


def report(message: UUID) -> bytes:
    return notification(failed("5.1.1", "smtp; 550 5.1.1 unknown"), returned=f"Message-ID: <{message}@example.org>\r\n")


def returned(peer: SmtpPeer, message: UUID, recipient: str) -> bytes:
    """Return what *peer* sends back of a message that it took."""
    head = f"From: {BOUNCES}\r\nTo: {recipient}\r\nMessage-ID: <{message}@example.com>\r\n"
    content = f"{head}Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nhi".encode()
    with closing(open_transport(f"smtp://localhost:{peer.ports[Service.PLAIN]}")) as transport:
        assert transport.send(OutgoingMessage(BOUNCES, recipient, content, f"<{message}@example.com>")).accepted

    def found() -> list[bytes]:
        return [one for one in peer.delivered() if b"multipart/report" in one and str(message).encode() in one]

    return wait_until(found, timeout_seconds=60, what="what came back")[0]


@pytest.mark.parametrize("recipient", ["gone@gone.example", "partí@gone.example", "refused@example.com"])
def test_a_mail_that_a_server_took_and_sent_back_is_bounced_and_its_recipient_suppressed(
    peer: SmtpPeer, outbox: Operator, owe: Owe, query: Query, tmp_path: Path, *, recipient: str
) -> None:
    arrived(tmp_path / "bounces", returned(peer, sent(owe, query), recipient))

    assert outbox.json("mail", "bounces", str(tmp_path / "bounces")) == NOTHING | {"bounced": 1}

    assert query("select state from outbox.delivery") == [{"state": "bounced"}]
    assert query("select reason from outbox.suppression") == [{"reason": "bounced"}]
    assert [row["detail"] for row in query("select detail from outbox.attempt") if "@" in row["detail"]] == []


def test_a_mail_that_is_late_stays_sent(
    peer: SmtpPeer, outbox: Operator, owe: Owe, query: Query, tmp_path: Path
) -> None:
    arrived(tmp_path / "bounces", returned(peer, sent(owe, query), "late@example.com"))

    assert outbox.json("mail", "bounces", str(tmp_path / "bounces")) == NOTHING | {"delayed": 1}

    assert query("select state from outbox.delivery") == [{"state": "sent"}]
    assert query("select 1 from outbox.suppression union all select 1 from outbox.attempt") == []


@pytest.mark.parametrize("scheme", ["imaps", "imap"])
def test_an_imap_folder_is_read_once(
    dovecot: Dovecot, inbox: imaplib.IMAP4, outbox: Operator, owe: Owe, query: Query, *, scheme: str
) -> None:
    for content in (report(sent(owe, query)), b"Subject: a person's answer\r\n\r\nhi\r\n"):
        inbox.append("INBOX", "", "", content)
    address = source(dovecot, scheme=scheme)

    first = outbox.json("mail", "bounces", address, "--ca-file", str(CA))
    second = outbox.json("mail", "bounces", address, "--ca-file", str(CA))

    assert (first, second) == (NOTHING | {"bounced": 1, "not understood": 1}, NOTHING)
    assert flags(inbox) == ["Seen", "Flagged Seen"]
    assert query("select state from outbox.delivery") == [{"state": "bounced"}]


def test_two_hundred_notifications_are_read_in_one_run_and_none_twice_after_it_was_cut(
    dovecot: Dovecot, inbox: imaplib.IMAP4, outbox: Operator, owe: Owe, query: Query, *, mailer_database: Database
) -> None:
    for _ in range(200):
        inbox.append("INBOX", "", "", report(sent(owe, query)))
    # As a run leaves it that was killed after the commit of the third, and before it was put aside.
    with open_mailbox(source(dovecot), ca_file=str(CA)) as box:
        for number, one in enumerate(box.unread()):
            bounce = read_notification(one.content)
            assert isinstance(bounce, Bounce)
            assert record_bounce(mailer_database, bounce)
            if number == 2:
                break
            box.put_aside(one, understood=True)

    read = outbox.json("mail", "bounces", source(dovecot), "--ca-file", str(CA))

    assert read == NOTHING | {"bounced": 197, "known already": 1}
    assert set(flags(inbox)) == {"Seen"}
    assert query("select distinct state from outbox.delivery") == [{"state": "bounced"}]


def test_a_folder_outside_ascii_is_found(dovecot: Dovecot, inbox: imaplib.IMAP4) -> None:
    inbox.create('"R&APw-ckl&AOQ-ufer &- mehr"')
    inbox.append('"R&APw-ckl&AOQ-ufer &- mehr"', "", "", b"Subject: hi\r\n\r\nhi\r\n")

    with open_mailbox(source(dovecot, folder="Rückläufer & mehr"), ca_file=str(CA)) as box:
        assert [one.content for one in box.unread()] == [b"Subject: hi\r\n\r\nhi\r\n"]


@pytest.mark.parametrize("scheme", ["imaps", "imap"])
@pytest.mark.parametrize(
    ("changed", "trusted", "said"),
    [
        ({"password": "wörng"}, True, "error while it was read"),
        ({"folder": "Nowhere"}, True, "expected OK, got NO"),
        ({}, False, "SSLCertVerificationError"),
    ],
    ids=["password", "folder", "certificate"],
)
def test_a_mailbox_that_is_refused_says_why_and_shows_no_password(
    dovecot: Dovecot, outbox: Operator, scheme: str, changed: dict[str, str], said: str, *, trusted: bool
) -> None:
    address = source(dovecot, scheme=scheme, **changed)

    outcome = outbox("mail", "bounces", address, *(("--ca-file", str(CA)) if trusted else ()))

    assert outcome.code == 1
    assert said in outcome.err
    assert not any(secret in outcome.err for secret in (PASSWORD, quote(PASSWORD), "wörng"))
