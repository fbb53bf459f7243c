"""Resend, by its API: `resend://API-KEY@default`.

Its idempotency key is the Message-ID, which stays the same over attempts: for 24 hours the same message may be handed
in again, and what was taken is not sent twice. So a lost answer is no doubt here, but a question that is asked again.
Source: https://resend.com/docs/api-reference/emails/send-email, …/errors and …/dashboard/emails/idempotency-keys.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime

from mailer.reply import OutgoingMessage, Phase, Reply, accepted, refused, unanswered
from mailer.transports.dsn import Dsn
from mailer.transports.http_api import HTTP_OPTIONS, Answer, Equivalent, HttpApi, refusal
from mailer.transports.message_fields import MessageFields, UnsayableMessageError, message_fields

_ENDPOINT = "https://api.resend.com"
# Resend keeps a key for 24 hours from its first use; the Date of a message is that of its first attempt, or before.
KEY_WINDOW = timedelta(hours=23)
_ERRORS: Mapping[str, Equivalent] = {
    "invalid_from_address": Equivalent(Phase.MAIL, 550, "5.1.8"),
    # By their status they would be the message's fault.
    "missing_api_key": Equivalent(Phase.AUTH, 401, "5.7.8"),
    "invalid_api_key": Equivalent(Phase.AUTH, 403, "5.7.8"),
    "daily_quota_exceeded": Equivalent(Phase.MAIL, 429, "4.7.28"),
    "monthly_quota_exceeded": Equivalent(Phase.MAIL, 429, "4.7.28"),
    "rate_limit_exceeded": Equivalent(Phase.MAIL, 429, "4.7.28"),
    "security_error": Equivalent(Phase.DOT, 554, "5.7.1"),
}
# What was accepted under this key had other bytes: nobody but a person can tell whether that was this mail.
_OTHER_BYTES = "invalid_idempotent_request"
_CONFLICT = 409


class ResendTransport:
    """The transport of `resend://`."""

    def __init__(self, dsn: Dsn) -> None:
        """Read *dsn*; nothing is connected before the first message."""
        dsn.only(*HTTP_OPTIONS)
        if not dsn.user or dsn.password is not None:
            dsn.refuse("expected an API key", fix="write resend://API-KEY@default")
        self._api = HttpApi(dsn, default=_ENDPOINT, headers={"Authorization": f"Bearer {dsn.user}"})
        self.name = dsn.name

    def __repr__(self) -> str:
        """Return the transport's name; the key is not shown."""
        return f"ResendTransport({self.name!r})"

    @property
    def children(self) -> "tuple[ResendTransport, ...]":
        """Return this one alone."""
        return (self,)

    def send(self, message: OutgoingMessage) -> Reply:
        """Return what came of one request; one that is lost may be made again while its key is known."""
        fresh = _is_fresh(message)
        if message.again and not fresh:
            text = "its idempotency key is too old to ask again: perhaps it was accepted"
            return unanswered(self.name, Phase.DOT, text=text, recipient=message.recipient)
        try:
            request = _request(message_fields(message), message.recipient)
        except UnsayableMessageError as error:
            return refused(self.name, Phase.DATA, code=554, text=f"5.6.1 {error}", recipient=message.recipient)
        key = {"Idempotency-Key": message.message_id.strip("<>")[:256]}
        answer = self._api.post("/emails", request, message, headers=key)
        reply = answer if isinstance(answer, Reply) else self._read(answer, message)
        lost = not reply.answered and reply.phase is Phase.DOT
        other = isinstance(answer, Answer) and answer.said("name") == _OTHER_BYTES
        return replace(reply, safe_again=True) if lost and fresh and not other else reply

    def close(self) -> None:
        """Close every connection; a later `send` opens new ones."""
        self._api.close()

    def probe(self) -> str | None:
        """Return why Resend does not know our key; nothing when it does. No message is sent."""
        answer = self._api.get("/domains")
        if isinstance(answer, str):
            return answer
        # A key that may do nothing but send is the one to use.
        known = answer.ok or answer.said("name") == "restricted_api_key"
        return None if known else f"HTTP {answer.status}: {answer.said('name')}"

    def _read(self, answer: Answer, message: OutgoingMessage) -> Reply:
        name = answer.said("name")
        if answer.ok and (taken_as := answer.said("id")):
            text = f"Resend took it as {taken_as}"
            return accepted(self.name, code=answer.status, text=text, recipient=message.recipient)
        said = f"{name} {answer.said('message')}".strip()
        if answer.ok or answer.status == _CONFLICT:
            text = f"HTTP {answer.status}: {said}"
            return unanswered(self.name, Phase.DOT, text=text, recipient=message.recipient)
        return refusal(self.name, message, status=answer.status, known=_ERRORS.get(name), said=said)


def _request(fields: MessageFields, recipient: str) -> dict[str, object]:
    optional = {"text": fields.text, "html": fields.html, "reply_to": fields.reply_to}
    return {
        "from": fields.sender,
        "to": [recipient],
        "subject": fields.subject,
        "headers": dict(fields.headers),
        # Its webhooks bring it back.
        "tags": [{"name": "delivery", "value": fields.delivery}],
        **{name: value for name, value in optional.items() if value is not None},
    }


def _is_fresh(message: OutgoingMessage) -> bool:
    """Return whether the key of *message* is surely still known, if it was ever used."""
    date = BytesHeaderParser().parsebytes(message.content)["Date"]
    if date is None or message.at is None:
        return False
    return message.at - parsedate_to_datetime(date) < KEY_WINDOW
