"""Our SMTP against servers that others wrote: aiosmtpd always, Postfix and Exim where they are installed.

What each server says is written out beside what it means: mail.md's table, seen from the other side.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from devstack import folders
from devstack.processes import free_port
from mailer.classify import judge_reply
from mailer.meanings import Breaker, Kind, Scope
from mailer.reply import OutgoingMessage, Phase, Reply
from mailer.transports import open_transport
from mailer.transports.conformance import TransportConformance
from mailer.transports.smtp import SmtpTransport
from tests.support.mail_servers import (
    ADA,
    BAD_SUBJECT,
    BANNED,
    CA,
    ELSEWHERE,
    FULL,
    GREY,
    JOSE,
    NOBODY,
    PASSWORD,
    USER,
    Service,
    SmtpPeer,
    missing,
)
from tests.support.mail_servers.aio import Aiosmtpd
from tests.support.mail_servers.dovecot import Dovecot
from tests.support.mail_servers.exim import Exim
from tests.support.mail_servers.postfix import Extra, Postfix
from tests.support.waiting import wait_until

SIGNED_IN = (Service.SUBMISSION, Service.LOGIN, Service.SMTPS)
ODD_LINES = "Grüße ☃\r\n.\r\n..two\r\n trailing \r\n" + "x" * 990 + "\r\n\tFrom here\r\nFrom there\r\n\r\n"


class Said(NamedTuple):
    """What a server says, and what it means."""

    phase: str
    code: int
    enhanced: str | None
    kind: str
    scope: str
    reason: str


def mail(
    number: int = 1, recipient: str = ADA, *, subject: str = "Subject: hi", body: str = "Hello"
) -> OutgoingMessage:
    head = f"From: no-reply@example.com\r\nTo: {recipient}\r\n{subject}\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
    content = f"{head}Message-ID: <{number}@example.com>\r\n\r\n{body}"
    return OutgoingMessage("no-reply@example.com", recipient, content.encode(), f"<{number}@example.com>")


def opened(peer: SmtpPeer, service: Service, options: str = "", *, password: str | None = None) -> SmtpTransport:
    scheme = "smtps" if service is Service.SMTPS else "smtp"
    login = f"{USER}:{quote(password)}@" if password is not None else ""
    transport = open_transport(
        f"{scheme}://{login}localhost:{peer.ports[service]}?timeout_seconds=30&{options}".rstrip("&")
    )
    assert isinstance(transport, SmtpTransport)
    return transport


def send(transport: SmtpTransport, sent: OutgoingMessage) -> Reply:
    with closing(transport):
        return transport.send(sent)


def secure(service: Service) -> str:
    return f"ca_file={CA}" + ("" if service is Service.SMTPS else "&starttls=require")


def meant(reply: Reply) -> Said:
    meaning = judge_reply(reply).meaning
    assert reply.code is not None, reply
    return Said(str(reply.phase), reply.code, reply.enhanced, str(meaning.kind), str(meaning.scope), meaning.reason)


def closed_by_server(transport: SmtpTransport) -> bool:
    """Say whether the server has closed the idle session: something came unasked, be it the end."""
    wire = transport._pool.idle[0][0]._dialogue.wire
    wire._socket.settimeout(0)
    try:
        wire._socket.recv(1, 2)  # MSG_PEEK
    except BlockingIOError:
        return False
    return True


class SmtpContract(TransportConformance):
    """What holds whoever the server is."""

    unknown: Said
    grey: Said
    full: Said
    relay: Said
    sender: Said
    content: Said
    too_big: Said

    @pytest.fixture
    def dsn(self, peer: SmtpPeer) -> str:
        return f"smtp://localhost:{peer.ports[Service.PLAIN]}"

    @pytest.fixture
    def unreachable(self) -> str:
        return f"smtp://localhost:{free_port()}"

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ()

    def test_a_message_arrives_byte_for_byte(self, peer: SmtpPeer) -> None:
        sent = mail(7001, body=ODD_LINES)

        assert send(opened(peer, Service.PLAIN), sent).accepted

        [arrived] = wait_until(
            lambda: [one for one in peer.delivered() if b"<7001@" in one], timeout_seconds=30, what="the mail"
        )
        assert arrived.endswith(sent.content)

    def test_an_address_outside_ascii_gets_its_mail_where_the_server_says_so(self, peer: SmtpPeer) -> None:
        sent = mail(7002, JOSE)

        assert send(opened(peer, Service.PLAIN), sent).accepted

        [arrived] = wait_until(
            lambda: [one for one in peer.delivered() if b"<7002@" in one], timeout_seconds=30, what="the mail"
        )
        assert arrived.rstrip().endswith(sent.content)

    def test_an_address_outside_ascii_is_refused_for_good_where_it_does_not(self, peer: SmtpPeer) -> None:
        reply = send(opened(peer, Service.ASCII), mail(recipient=JOSE))

        assert meant(reply) == Said("rcpt", 553, "5.6.7", "permanent", "message", "message_refused")

    @pytest.mark.parametrize("service", SIGNED_IN)
    def test_a_private_ca_and_the_right_password_are_enough(self, peer: SmtpPeer, service: Service) -> None:
        assert send(opened(peer, service, secure(service), password=PASSWORD), mail()).accepted

    @pytest.mark.parametrize("service", SIGNED_IN)
    def test_a_wrong_password_is_of_the_configuration_and_opens_the_breaker(
        self, peer: SmtpPeer, service: Service
    ) -> None:
        reply = send(opened(peer, service, secure(service), password=PASSWORD[::-1]), mail())

        meaning = judge_reply(reply).meaning
        assert (reply.phase, reply.code) == (Phase.AUTH, 535)
        assert (meaning.kind, meaning.scope, meaning.breaker, meaning.spends) == (
            Kind.PERMANENT, Scope.CONFIGURATION, Breaker.OPENS, False,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("service", "options", "why"),
        [
            (Service.SUBMISSION, "starttls=require", "certificate does not verify"),
            (Service.SMTPS, "", "certificate does not verify"),
            (Service.ELSEWHERE, f"starttls=require&ca_file={CA}", "certificate does not verify: Hostname mismatch"),
            (Service.PLAIN, "starttls=require", "the server offers no STARTTLS"),
        ],
        ids=["unknown CA", "unknown CA at once", "another host", "no STARTTLS"],
    )
    def test_a_server_that_is_not_proven_gets_nothing(
        self, peer: SmtpPeer, service: Service, options: str, why: str
    ) -> None:
        reply = send(opened(peer, service, options, password=PASSWORD), mail(7003))

        meaning = judge_reply(reply).meaning
        assert (reply.phase, meaning.kind, meaning.scope) == (Phase.TLS, Kind.TRANSIENT, Scope.TRANSPORT)
        assert why in reply.text
        assert not [one for one in peer.delivered() if b"<7003@" in one]

    def test_a_message_above_the_limit_is_refused_before_it_is_sent(self, peer: SmtpPeer) -> None:
        assert meant(send(opened(peer, Service.SMALL), mail(body="x" * 80 + "\r\n" + "y" * 3000))) == self.too_big

    def test_what_is_refused_is_judged_by_the_table(self, peer: SmtpPeer) -> None:
        with closing(opened(peer, Service.PLAIN)) as transport:
            said = {recipient: meant(transport.send(mail(recipient=recipient))) for recipient in (NOBODY, GREY, FULL)}
            relay = meant(transport.send(mail(recipient=ELSEWHERE)))
            sender = meant(transport.send(replace(mail(), sender=BANNED)))
            content = meant(transport.send(mail(subject=BAD_SUBJECT)))

        assert said == {NOBODY: self.unknown, GREY: self.grey, FULL: self.full}
        assert (relay, sender, content) == (self.relay, self.sender, self.content)

    def test_a_session_serves_a_hundred_messages(self, peer: SmtpPeer) -> None:
        before = peer.connections

        with closing(opened(peer, Service.PLAIN, "max_connections=1")) as transport:
            replies = [transport.send(mail(number)) for number in range(150)]

        assert all(reply.accepted for reply in replies)
        assert peer.connections - before == 2

    def test_refusals_in_a_row_are_each_judged_as_one_alone(self, peer: SmtpPeer) -> None:
        # Servers lose patience with a session of refusals: that is about the session, and neither about the recipients
        # nor the transport.
        with closing(opened(peer, Service.PLAIN, "max_connections=1")) as transport:
            replies = [transport.send(mail(recipient=NOBODY)) for _ in range(25)]

        assert {meant(reply) for reply in replies} == {self.unknown}

    @pytest.mark.parametrize("trusted_seconds", [0, 3600])
    def test_a_session_that_the_server_closed_for_idling_costs_no_attempt(
        self, peer: SmtpPeer, trusted_seconds: int
    ) -> None:
        with closing(opened(peer, Service.HASTY, f"idle_trusted_seconds={trusted_seconds}")) as transport:
            assert transport.send(mail(1)).accepted
            wait_until(lambda: closed_by_server(transport), timeout_seconds=30, what="the server to close")

            assert transport.send(mail(2)).accepted


class TestAiosmtpd(SmtpContract):
    unknown = Said("rcpt", 550, "5.1.1", "permanent", "recipient", "recipient_refused")
    grey = Said("rcpt", 450, "4.2.0", "transient", "recipient", "greylisted")
    full = Said("rcpt", 452, "4.2.2", "transient", "recipient", "mailbox_full")
    relay = Said("rcpt", 554, "5.7.1", "permanent", "policy", "policy_refused")
    sender = Said("mail", 550, "5.7.1", "permanent", "policy", "policy_refused")
    content = Said("dot", 550, "5.7.1", "permanent", "policy", "policy_refused")
    too_big = Said("mail", 552, None, "permanent", "message", "message_refused")

    @pytest.fixture(scope="class")
    @classmethod
    def peer(cls) -> Iterator[SmtpPeer]:
        with closing(Aiosmtpd()) as peer:
            yield peer


@pytest.mark.skipif(missing("postfix") is not None, reason=f"{missing('postfix')}")
class TestPostfix(SmtpContract):
    unknown = Said("rcpt", 550, "5.1.1", "permanent", "recipient", "recipient_refused")
    grey = Said("rcpt", 450, "4.2.0", "transient", "recipient", "greylisted")
    full = Said("rcpt", 452, "4.2.2", "transient", "recipient", "mailbox_full")
    relay = Said("rcpt", 554, "5.7.1", "permanent", "policy", "policy_refused")
    # Postfix waits for the recipient before it says what it has against the sender.
    sender = Said("rcpt", 550, "5.7.1", "permanent", "policy", "policy_refused")
    content = Said("dot", 550, "5.7.1", "permanent", "policy", "policy_refused")
    too_big = Said("mail", 552, "5.3.4", "permanent", "message", "message_refused")

    @pytest.fixture(scope="class")
    @classmethod
    def peer(cls) -> Iterator[Postfix]:
        if why := missing("dovecot"):
            pytest.skip(f"Postfix asks Dovecot who may sign in: {why}")
        folder = folders.new_run_folder()
        dovecot = Dovecot(folder)
        postfix = Postfix(folder, auth_port=dovecot.auth_port)
        try:
            dovecot.start()
            postfix.start()
            yield postfix
        finally:
            postfix.close()
            dovecot.close()
            folders.remove(folder)

    @pytest.mark.parametrize(
        ("extra", "said"),
        [
            (Extra.MAILS_A_MINUTE, Said("mail", 450, "4.7.1", "transient", "transport", "rate_limited")),
            (Extra.RECIPIENTS_A_MINUTE, Said("rcpt", 450, "4.7.1", "transient", "transport", "rate_limited")),
            (Extra.CONNECTIONS_A_MINUTE, Said("connect", 421, "4.7.0", "transient", "transport", "service_closing")),
        ],
    )
    def test_a_rate_that_is_exceeded_is_of_the_transport(self, peer: Postfix, extra: Extra, said: Said) -> None:
        transports = [open_transport(f"smtp://localhost:{peer.extra_ports[extra]}") for _ in range(3)]

        replies: list[Any] = [transport.send(mail()) for transport in transports]
        for transport in transports:
            transport.close()

        assert meant(replies[2]) == said

    def test_a_full_disk_is_of_the_transport(self, peer: Postfix) -> None:
        with closing(open_transport(f"smtp://localhost:{peer.extra_ports[Extra.NO_ROOM]}")) as transport:
            reply = transport.send(mail())

        assert meant(reply) == Said("mail", 452, "4.3.1", "transient", "transport", "unavailable")

    def test_a_message_that_outgrows_the_queue_is_refused_for_good(self, peer: Postfix) -> None:
        with closing(open_transport(f"smtp://localhost:{peer.extra_ports[Extra.NARROW]}")) as transport:
            reply = transport.send(mail(body="x" * 900))

        assert meant(reply) == Said("dot", 552, "5.3.4", "permanent", "message", "message_refused")


@pytest.mark.skipif(missing("exim") is not None, reason=f"{missing('exim')}")
class TestExim(SmtpContract):
    # Exim gives no enhanced codes but those that its administrator writes.
    unknown = Said("rcpt", 550, None, "permanent", "recipient", "recipient_refused")
    grey = Said("rcpt", 451, None, "transient", "recipient", "greylisted")
    full = Said("rcpt", 452, "4.2.2", "transient", "recipient", "mailbox_full")
    relay = Said("rcpt", 550, None, "permanent", "policy", "policy_refused")
    sender = Said("rcpt", 550, "5.7.1", "permanent", "policy", "policy_refused")
    content = Said("dot", 550, None, "permanent", "message", "message_refused")
    too_big = Said("mail", 552, None, "permanent", "message", "message_refused")

    @pytest.fixture(scope="class")
    @classmethod
    def peer(cls) -> Iterator[Exim]:
        folder = folders.new_run_folder()
        exim = Exim(folder)
        try:
            exim.start()
            yield exim
        finally:
            exim.close()
            folders.remove(folder)
