"""What can go wrong in the mailer; every error pickles, and none carries an address, a payload's value or a secret."""

from dataclasses import dataclass

from outbox.errors import OutboxError


class MailerError(OutboxError):
    """Base of everything that `mailer` raises by itself."""


@dataclass(eq=False)
class MailFolderError(MailerError, ValueError):
    """A folder of templates cannot be used as it is; found when the library is loaded, before any mail is rendered."""

    where: str
    problem: str

    def __str__(self) -> str:
        """Return which file, and what is wrong with it."""
        return f"{self.where}: {self.problem}"


@dataclass(eq=False)
class MalformedEventError(MailerError, ValueError):
    """An event makes no delivery of a mail: *reason* is the dead letter's reason, *detail* its sentence."""

    mail: str
    reason: str
    detail: str

    def __str__(self) -> str:
        """Return which mail, and what the event lacks."""
        return f"event makes no {self.mail!r}: {self.detail}"


class UnsendableMailError(MailerError):
    """A delivery can never be sent, however often it is tried: its mail cannot be rendered or composed."""


@dataclass(eq=False)
class RenderError(UnsendableMailError):
    """A template could not be rendered; names template, line and variable, never a value."""

    template: str
    line: int | None
    variable: str | None
    problem: str

    def __str__(self) -> str:
        """Return where it happened, like a compiler."""
        at = f"{self.template}:{self.line}" if self.line else self.template
        return f"{at}: {self.problem}"


@dataclass(eq=False)
class HeaderRefusedError(UnsendableMailError, ValueError):
    """A header would say more than one line, or has a name that is none; its value is not shown."""

    name: str
    problem: str

    def __str__(self) -> str:
        """Return which header, and what is wrong with it."""
        return f"header {self.name!r} refused: {self.problem}"


@dataclass(eq=False)
class AddressRefusedError(UnsendableMailError, ValueError):
    """An address is none, or would not be used exactly as it was given; it is not shown."""

    role: str
    problem: str

    def __str__(self) -> str:
        """Return whose address, and what is wrong with it."""
        return f"address of the {self.role} refused: {self.problem}"


@dataclass(eq=False)
class TransportDsnError(MailerError, ValueError):
    """A transport's DSN is wrong; *dsn* is shown masked."""

    dsn: str
    problem: str

    def __str__(self) -> str:
        """Return the masked DSN, and what is wrong with it."""
        return f"mail transport {self.dsn!r}: {self.problem}"


@dataclass(eq=False)
class MailboxError(MailerError):
    """A mailbox cannot be read; *mailbox* shows no password."""

    mailbox: str
    problem: str

    def __str__(self) -> str:
        """Return which mailbox, and what is wrong."""
        return f"mailbox {self.mailbox}: {self.problem}"


@dataclass(eq=False)
class RemoteControlError(MailerError):
    """Celery's remote control was asked for on a broker where it is off."""

    command: str

    def __str__(self) -> str:
        """Return why nobody would answer, and where else to look."""
        return (
            f"{self.command}: Celery's remote control is off on pgmq://, where each worker would leave a queue behind; "
            "`outbox status` shows what is queued and sent, SIGTERM stops a worker once its mails are sent"
        )
