"""A provider's HTTP API: one request a message, and how far it came when no answer did.

A connection that was never made has carried nothing. Once it stands, the request may have been read whole, and an
answer that is lost, cut short or a gateway's own guess leaves the message in doubt: nothing is sent a second time here.
Redirects are not followed, for what moved is not what was configured; proxies and certificates of the environment
(`HTTPS_PROXY`, `SSL_CERT_FILE`) are used as everywhere.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from mailer.reply import OutgoingMessage, Phase, Reply, refused, unanswered
from mailer.transports.dsn import Dsn
from runtime.loopback import is_loopback

# `endpoint` is for gateways and tests; the rest is read by `HttpApi`.
HTTP_OPTIONS = ("endpoint", "max_connections", "connect_timeout_seconds", "timeout_seconds")
# A provider closes idle connections after a minute or so; one that it has closed would leave a message in doubt.
_IDLE_SECONDS = 5.0
# Seconds. What has come by now is read, however late it is.
_SHORTEST_WAIT = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: *body* is the JSON object, or nothing where it was none."""

    status: int
    body: Mapping[str, Any] | None

    @property
    def ok(self) -> bool:
        """Return whether the request was taken."""
        return self.status // 100 == 2  # noqa: PLR2004 - RFC 9110: 2xx

    def said(self, name: str) -> str:
        """Return the field *name* as text; nothing where it is missing or null."""
        value = (self.body or {}).get(name)
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Equivalent:
    """What a provider's refusal is in the words of SMTP, by which replies are judged."""

    phase: Phase
    code: int | None
    enhanced: str


# By status, where a provider's own error says no more. What is missing here is a gateway's or a defect's: in doubt.
BY_STATUS: Mapping[int, Equivalent] = {
    400: Equivalent(Phase.DOT, 400, "5.6.0"),
    401: Equivalent(Phase.AUTH, 401, "5.7.8"),
    403: Equivalent(Phase.AUTH, 403, "5.7.8"),
    # A wrong endpoint: about the transport, and somebody has to look. (A code of 4yz would heal by itself.)
    404: Equivalent(Phase.EHLO, 554, "5.5.1"),
    405: Equivalent(Phase.EHLO, 554, "5.5.1"),
    413: Equivalent(Phase.DOT, 413, "5.3.4"),
    415: Equivalent(Phase.DOT, 415, "5.6.1"),
    422: Equivalent(Phase.DOT, 422, "5.6.0"),
    429: Equivalent(Phase.MAIL, 429, "4.7.28"),
    # The one 5xx by which a server says that it did not handle the request (RFC 9110, 15.6.4).
    503: Equivalent(Phase.CONNECT, 451, "4.3.2"),
}


class HttpApi:
    """The connections to one provider, shared by threads."""

    def __init__(self, dsn: Dsn, *, default: str, headers: Mapping[str, str]) -> None:
        """Read the options of *dsn*; nothing is connected before the first request."""
        self.name = dsn.name
        self._endpoint = endpoint_of(dsn, default=default)
        self._headers = dict(headers)
        self.max_connections = int(dsn.number("max_connections", default=8, least=1, most=1000))
        connect = dsn.number("connect_timeout_seconds", default=10, least=0.1, most=300)
        patience = dsn.number("timeout_seconds", default=30, least=0.1, most=600)
        self._timeout = httpx.Timeout(patience, connect=connect)
        self._client = self._opened()

    def close(self) -> None:
        """Close every connection; the next request opens new ones."""
        closing, self._client = self._client, self._opened()
        closing.close()

    def post(
        self, path: str, body: Mapping[str, Any], message: OutgoingMessage, *, headers: Mapping[str, str] | None = None
    ) -> Answer | Reply:
        """Return the provider's answer, or the reply that says in which phase there was none."""
        try:
            response = self._client.post(
                f"{self._endpoint}{path}", json=body, headers=headers, timeout=self._patience(message)
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            return lost(self.name, Phase.CONNECT, error, message)
        except httpx.HTTPError as error:
            return lost(self.name, Phase.DOT, error, message)
        return Answer(response.status_code, _object(response))

    def get(self, path: str) -> Answer | str:
        """Return the answer to a request that changes nothing, or the kind of error that there was instead."""
        try:
            response = self._client.get(f"{self._endpoint}{path}")
        except httpx.HTTPError as error:
            return type(error).__name__
        return Answer(response.status_code, _object(response))

    def _patience(self, message: OutgoingMessage) -> httpx.Timeout:
        if message.until is None:
            return self._timeout
        left = max(_SHORTEST_WAIT, message.until - time.monotonic())
        return httpx.Timeout(min(self._timeout.read or left, left), connect=min(self._timeout.connect or left, left))

    def _opened(self) -> httpx.Client:
        limits = httpx.Limits(
            max_connections=self.max_connections,
            max_keepalive_connections=self.max_connections,
            keepalive_expiry=_IDLE_SECONDS,
        )
        return httpx.Client(headers=self._headers, timeout=self._timeout, limits=limits, follow_redirects=False)


def lost(transport: str, phase: Phase, error: Exception, message: OutgoingMessage) -> Reply:
    """Return the reply for *error*, whose text may quote what was sent and is not repeated."""
    return unanswered(transport, phase, text=f"no answer: {type(error).__name__}", recipient=message.recipient)


def refusal(transport: str, message: OutgoingMessage, *, status: int, known: Equivalent | None, said: str) -> Reply:
    """Return what an answer of *status* means: what is *known* of the provider's error, else what its status says."""
    text = f"HTTP {status}{': ' if said else ''}{said}"
    equivalent = known or BY_STATUS.get(status)
    if equivalent is None:
        return unanswered(transport, Phase.DOT, text=text, recipient=message.recipient)
    return refused_as(equivalent, transport, message, text=text)


def refused_as(what: Equivalent, transport: str, message: OutgoingMessage, *, text: str) -> Reply:
    """Return the refusal that *what* is, with the provider's *text*."""
    text = f"{what.enhanced} {text}"
    return refused(transport, what.phase, code=what.code, text=text, recipient=message.recipient)


def endpoint_of(dsn: Dsn, *, default: str) -> str:
    """Return where requests go: *default*, or the option `endpoint`, without TLS on this machine only."""
    endpoint = dsn.options.get("endpoint", default).rstrip("/")
    parts = urlsplit(endpoint)
    plain_is_safe = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or plain_is_safe):
        dsn.refuse(f"expected endpoint to be https://…, or http:// on this machine, got {parts.scheme}://…")
    return endpoint


def _object(response: httpx.Response) -> Mapping[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
