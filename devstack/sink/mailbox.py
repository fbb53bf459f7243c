"""The mails that the sink took, in memory, oldest first."""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import cached_property


@dataclass(frozen=True)
class Mail:
    """One mail: its envelope (who it was from and for, as SMTP said) and its bytes."""

    id: int
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    source: bytes = field(repr=False)
    tls: bool = False
    login: str | None = None

    @cached_property
    def message(self) -> EmailMessage:
        """Return the message, parsed."""
        parsed = BytesParser(policy=policy.default).parsebytes(self.source)
        assert isinstance(parsed, EmailMessage)  # noqa: S101  what policy.default makes
        return parsed

    @property
    def subject(self) -> str:
        """Return the decoded subject, or nothing."""
        return str(self.message.get("Subject", ""))

    @property
    def text(self) -> str | None:
        """Return the plain text body."""
        return self._body("plain")

    @property
    def html(self) -> str | None:
        """Return the HTML body."""
        return self._body("html")

    def _body(self, kind: str) -> str | None:
        part = self.message.get_body(preferencelist=(kind,))
        if part is None:
            return None
        payload = part.get_payload(decode=True)
        return (
            payload.decode(part.get_content_charset("utf-8"), errors="replace") if isinstance(payload, bytes) else None
        )

    def header(self, name: str) -> str | None:
        """Return a header, decoded."""
        value = self.message.get(name)
        return None if value is None else str(value)

    @property
    def attachments(self) -> tuple[str, ...]:
        """Return the names of the attachments."""
        return tuple(part.get_filename() or part.get_content_type() for part in self.message.iter_attachments())


class Mailbox:
    """A list of mails that several threads may use, with a limit on the bytes kept."""

    def __init__(self, *, capacity_bytes: int = 256_000_000) -> None:
        self._changed = threading.Condition()
        self._mails: list[Mail] = []
        self._next_id = 1
        self._size = 0
        self._capacity = capacity_bytes

    def add(
        self,
        *,
        received_at: datetime,
        sender: str,
        recipients: tuple[str, ...],
        source: bytes,
        tls: bool,
        login: str | None,
    ) -> Mail | None:
        """Keep a mail and return it; None means that the box is full."""
        with self._changed:
            if self._size + len(source) > self._capacity:
                return None
            mail = Mail(self._next_id, received_at, sender, recipients, source, tls, login)
            self._next_id += 1
            self._size += len(source)
            self._mails.append(mail)
            self._changed.notify_all()
            return mail

    def all(self, *, recipient: str | None = None) -> list[Mail]:
        """Return the mails, oldest first; those for *recipient* only, if one is named."""
        with self._changed:
            mails = list(self._mails)
        return [mail for mail in mails if recipient is None or recipient in mail.recipients]

    def get(self, mail_id: int) -> Mail | None:
        """Return one mail."""
        return next((mail for mail in self.all() if mail.id == mail_id), None)

    def clear(self) -> None:
        """Forget every mail; numbers go on."""
        with self._changed:
            self._mails.clear()
            self._size = 0

    def wait(self, count: int, *, timeout_seconds: float, recipient: str | None = None) -> list[Mail]:
        """Return the mails (for *recipient*) once there are *count*; raise TimeoutError when they do not come."""
        with self._changed:
            if self._changed.wait_for(lambda: len(self.all(recipient=recipient)) >= count, timeout_seconds):
                return self.all(recipient=recipient)
            got = len(self.all(recipient=recipient))
        raise TimeoutError(f"expected {count} mails in the sink within {timeout_seconds:g} s, got {got}")
