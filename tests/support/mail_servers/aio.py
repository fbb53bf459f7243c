"""aiosmtpd, which comes with the tests: what the others are compared with where they are not installed."""

import ssl
from collections.abc import Mapping
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from devstack.processes import free_port
from tests.support.mail_servers import (
    BAD_SUBJECT,
    BANNED,
    DOMAIN,
    FULL,
    GREY,
    MAILBOXES,
    PASSWORD,
    SMALL_BYTES,
    TLS,
    USER,
    Service,
)

_REFUSED = {GREY: "450 4.2.0 Greylisted", FULL: "452 4.2.2 Mailbox full"}


class Aiosmtpd:
    """One server a service, each in a thread."""

    def __init__(self) -> None:
        """Start them."""
        self._handler = _Handler()
        self._controllers: dict[Service, Controller] = {}
        for service in Service:
            controller = Controller(self._handler, hostname="127.0.0.1", port=free_port(), **_options(service))
            controller.start()
            self._controllers[service] = controller

    @property
    def ports(self) -> Mapping[Service, int]:
        """Return where each service listens."""
        return {service: controller.port for service, controller in self._controllers.items()}

    @property
    def connections(self) -> int:
        """Return how many connections there were."""
        return self._handler.connections

    def delivered(self) -> list[bytes]:
        """Return the mails that arrived."""
        return list(self._handler.mails)

    def close(self) -> None:
        """End them."""
        for controller in self._controllers.values():
            controller.stop()


class _Handler:
    def __init__(self) -> None:
        self.connections = 0
        self.mails: list[bytes] = []

    async def handle_EHLO(  # noqa: N802 - the names that aiosmtpd calls, here and below
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.connections += session.ssl is None
        return responses

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == BANNED:
            return "550 5.7.1 Sender address rejected: not allowed here"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        local, _, domain = address.rpartition("@")
        if domain != DOMAIN:
            return "554 5.7.1 Relay access denied"
        if address in _REFUSED:
            return _REFUSED[address]
        if local not in MAILBOXES:
            return "550 5.1.1 User unknown"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content or b""
        content = content.encode() if isinstance(content, str) else content
        if BAD_SUBJECT.encode() in content:
            return "550 5.7.1 no advertisements"
        self.mails.append(content)
        return "250 2.0.0 Ok"


def _options(service: Service) -> dict[str, Any]:
    with_login = {"authenticator": _authenticated, "auth_require_tls": True}
    special: dict[Service, dict[str, Any]] = {
        Service.PLAIN: {},
        Service.SUBMISSION: with_login | {"tls_context": _context("localhost")},
        Service.LOGIN: with_login | {"tls_context": _context("localhost"), "auth_exclude_mechanism": ["PLAIN"]},
        # It does not see that a connection which it did not encrypt itself is encrypted.
        Service.SMTPS: with_login | {"ssl_context": _context("localhost"), "auth_require_tls": False},
        Service.ELSEWHERE: {"tls_context": _context("elsewhere")},
        Service.ASCII: {"enable_SMTPUTF8": False},
        Service.HASTY: {"timeout": 1},
        Service.SMALL: {"data_size_limit": SMALL_BYTES},
    }
    return {"enable_SMTPUTF8": True, **special[service]}


def _context(name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / f"{name}.pem", TLS / f"{name}-key.pem")
    return context


def _authenticated(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object) -> AuthResult:
    right = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)
