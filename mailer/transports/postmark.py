"""Postmark, by its API: `postmark://SERVER-TOKEN@default?stream=outbound`.

It knows no idempotency key, so an answer that is lost leaves the message in doubt. Our Message-ID is kept
(`X-PM-KeepID`).
Source: https://postmarkapp.com/developer/api/email-api and …/api/overview (error codes).
"""

from collections.abc import Mapping

from mailer.reply import OutgoingMessage, Phase, Reply, accepted, refused, unanswered
from mailer.transports.dsn import Dsn
from mailer.transports.http_api import HTTP_OPTIONS, Answer, Equivalent, HttpApi, refusal
from mailer.transports.message_fields import MessageFields, UnsayableMessageError, message_fields

_STREAM = "stream"
_ENDPOINT = "https://api.postmarkapp.com"
_ACCOUNT = Equivalent(Phase.AUTH, 535, "5.7.8")
_SENDER = Equivalent(Phase.MAIL, 550, "5.1.8")
_ERRORS: Mapping[int, Equivalent] = {
    10: _ACCOUNT,  # bad or missing token
    300: Equivalent(Phase.DOT, 422, "5.6.0"),  # invalid email request
    400: _SENDER,  # sender signature not found
    401: _SENDER,  # sender signature not confirmed
    402: Equivalent(Phase.DOT, 422, "5.6.0"),  # invalid JSON
    403: Equivalent(Phase.DOT, 422, "5.6.0"),  # invalid request fields
    405: _ACCOUNT,  # not allowed to send: out of credits
    406: Equivalent(Phase.RCPT, 550, "5.1.1"),  # inactive recipient: bounced hard, or complained
    411: Equivalent(Phase.DOT, 422, "5.6.1"),  # forbidden attachment type
    412: _ACCOUNT,  # account is pending approval
    413: _ACCOUNT,  # account may not send
    1235: Equivalent(Phase.EHLO, 554, "5.5.1"),  # no such message stream
}


class PostmarkTransport:
    """The transport of `postmark://`."""

    def __init__(self, dsn: Dsn) -> None:
        """Read *dsn*; nothing is connected before the first message."""
        dsn.only(*HTTP_OPTIONS, _STREAM)
        if not dsn.user or dsn.password is not None:
            dsn.refuse("expected a server token", fix="write postmark://SERVER-TOKEN@default?stream=outbound")
        headers = {"Accept": "application/json", "X-Postmark-Server-Token": dsn.user}
        self._api = HttpApi(dsn, default=_ENDPOINT, headers=headers)
        self._stream = dsn.options.get(_STREAM, "outbound")
        self.name = dsn.name

    def __repr__(self) -> str:
        """Return the transport's name; the token is not shown."""
        return f"PostmarkTransport({self.name!r})"

    @property
    def children(self) -> "tuple[PostmarkTransport, ...]":
        """Return this one alone."""
        return (self,)

    def send(self, message: OutgoingMessage) -> Reply:
        """Return what came of one request."""
        try:
            fields = message_fields(message)
        except UnsayableMessageError as error:
            return refused(self.name, Phase.DATA, code=554, text=f"5.6.1 {error}", recipient=message.recipient)
        answer = self._api.post("/email", self._request(fields, message.recipient), message)
        return answer if isinstance(answer, Reply) else self._read(answer, message)

    def close(self) -> None:
        """Close every connection; a later `send` opens new ones."""
        self._api.close()

    def probe(self) -> str | None:
        """Return why Postmark does not know our token; nothing when it does. No message is sent."""
        answer = self._api.get("/server")
        if isinstance(answer, str):
            return answer
        return None if answer.ok else f"HTTP {answer.status}: {answer.said('Message')}"

    def _request(self, fields: MessageFields, recipient: str) -> dict[str, object]:
        request: dict[str, object] = {
            "From": fields.sender,
            "To": recipient,
            "Subject": fields.subject,
            "MessageStream": self._stream,
            # Its webhooks bring it back.
            "Metadata": {"delivery": fields.delivery},
            "Headers": [
                *({"Name": name, "Value": value} for name, value in fields.headers),
                {"Name": "X-PM-KeepID", "Value": "true"},
            ],
            # Its own tracking rewrites links and adds a picture: a mail is what its folder says.
            "TrackOpens": False,
            "TrackLinks": "None",
        }
        optional = {"TextBody": fields.text, "HtmlBody": fields.html, "ReplyTo": fields.reply_to}
        return request | {name: value for name, value in optional.items() if value is not None}

    def _read(self, answer: Answer, message: OutgoingMessage) -> Reply:
        number = (answer.body or {}).get("ErrorCode")
        if answer.ok and number == 0:
            text = f"Postmark took it as {answer.said('MessageID')}"
            return accepted(self.name, code=answer.status, text=text, recipient=message.recipient)
        if answer.ok and number is None:
            text = f"HTTP {answer.status} without Postmark's answer"
            return unanswered(self.name, Phase.DOT, text=text, recipient=message.recipient)
        known = _ERRORS.get(number) if isinstance(number, int) else None
        return refusal(self.name, message, status=answer.status, known=known, said=f"{number} {answer.said('Message')}")
