"""A worker process: its connection, its transports, its threads; made after the fork, for neither survives one."""

import os
import random
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

from mailer.backoff import Backoff
from mailer.claims import BreakerRule, Claim
from mailer.compose import compose
from mailer.database import DATABASE_AWAY, Database
from mailer.errors import MailFolderError, UnsendableMailError
from mailer.guard import parse_mailbox
from mailer.mail import Mail
from mailer.means import Means, Pace
from mailer.pacing import Limits
from mailer.permits import Permits, Publish
from mailer.rendering import Library
from mailer.reply import OutgoingMessage
from mailer.settings import MailerSettings
from mailer.store import Store
from mailer.tasks import drain
from mailer.telemetry import logger
from mailer.transports import Transport, open_limited, orders_of
from mailer.unsubscribing import Unsubscribing

# However long a transport has been away, it is tried again this often.
_LONGEST_BREAKER_PAUSE = timedelta(minutes=10)
# How far ahead slots of a transport with a limit are reserved: what mail of an urgent lane may have to wait for.
_LONGEST_LINE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class LibraryComposer:
    """Renders and composes by the library of mails; with *redirect_to*, the envelope names nobody else."""

    library: Library
    sender: str
    redirect_to: str | None = None
    unsubscribing: Unsubscribing | None = None

    def content(self, claim: Claim) -> tuple[bytes, str]:
        """Return the message's bytes and the version of its templates; raise UnsendableMailError if there are none."""
        try:
            mail = self.library.folder(claim.mail).mail
            rendered = self.library.render(
                claim.mail, payload=_mapping(claim.payload), event=_facts(claim), locale=claim.locale
            )
            content = compose(
                rendered,
                message_id=self._message_id(claim),
                sender=self.sender,
                recipient=claim.recipient,
                date=claim.claimed_at,
                extra_headers=self._unsubscribe(mail, claim),
            )
        except MailFolderError as error:
            raise UnsendableMailError(str(error)) from error
        except RecursionError:
            raise UnsendableMailError("its payload is nested too deep to be rendered") from None
        return content, mail.version

    def outgoing(self, claim: Claim, content: bytes) -> OutgoingMessage:
        """Return the message with its envelope."""
        return OutgoingMessage(
            sender=parse_mailbox(self.sender).address,
            # The bytes stay as they would be: what is looked at in staging is what would be sent.
            recipient=self.redirect_to or claim.recipient,
            content=content,
            message_id=self._message_id(claim),
            again=claim.pinned_transport is not None,
            at=claim.claimed_at,
        )

    def _unsubscribe(self, mail: Mail, claim: Claim) -> Mapping[str, str]:
        if self.unsubscribing is None or not mail.suppressible:
            return {}
        return self.unsubscribing.headers(claim.recipient_key)

    def _message_id(self, claim: Claim) -> str:
        domain = parse_mailbox(self.sender).address.rpartition("@")[2]
        return f"<{claim.message_uuid}@{domain.encode('idna').decode('ascii')}>"


def _mapping(payload: object) -> dict[str, object]:
    if not isinstance(payload, dict):
        raise UnsendableMailError("its payload was redacted, or is no JSON object")
    return cast("dict[str, object]", payload)


def _facts(claim: Claim) -> dict[str, object]:
    return {
        "event_id": str(claim.event_id),
        "type": claim.event_type,
        "aggregate_type": claim.aggregate_type,
        "aggregate_id": claim.aggregate_id,
    }


def breaker_rule(settings: MailerSettings) -> BreakerRule:
    """Return when a breaker opens: its pauses grow as the backoff does, for the same reason."""
    pause = timedelta(seconds=settings.mail_backoff_base_seconds)
    cap = min(_LONGEST_BREAKER_PAUSE, timedelta(seconds=settings.mail_backoff_cap_seconds))
    return BreakerRule(settings.mail_breaker_failures, pause, max(pause, cap))


class WorkerProcess:
    """What one process drains with."""

    def __init__(self, settings: MailerSettings, library: Library, publish: Publish) -> None:
        """Open the transports; nothing is connected before the first permit."""
        self._database = Database(settings.database_url, name="outbox mailer work")
        opened = open_limited(settings.mail_dsn.get_secret_value())
        transport = opened.transport
        self._transports: tuple[Transport, ...] = transport.children
        self._executor = ThreadPoolExecutor(settings.mailer_window, thread_name_prefix="sending")
        lease = timedelta(seconds=settings.mail_lease_seconds)
        lanes = settings.lanes()
        self._permits = Permits(self._database, publish, cap=settings.mailer_permits, claim=settings.mailer_claim)
        self._means = Means(
            store=Store(self._database, worker=_worker_name(), lease=lease, rule=breaker_rule(settings), lanes=lanes),
            composer=LibraryComposer(
                library, settings.mail_from, settings.mail_redirect_all_to, settings.unsubscribing()
            ),
            transports={plain.name: plain for plain in self._transports},
            orders=tuple(tuple(plain.name for plain in order) for order in orders_of(transport)),
            executor=self._executor,
            pace=Pace(
                claim=settings.mailer_claim,
                window=settings.mailer_window,
                lease=lease,
                backoff=Backoff(
                    timedelta(seconds=settings.mail_backoff_base_seconds),
                    timedelta(seconds=settings.mail_backoff_cap_seconds),
                ),
                # A message is marked as being sent for two lines at most before it goes.
                limits=Limits(opened.rates, min(_LONGEST_LINE, lease / 8)),
                lanes=lanes,
            ),
            jitter=random.SystemRandom().random,
            wait=threading.Event().wait,
        )

    def drain(self, permit: UUID) -> None:
        """Use up *permit*; when there is more to do, issue the next one. A database that is away ends it."""
        try:
            if (more := drain(self._means, permit=permit)) is not None:
                self._permits.issue({more: 1})
        except DATABASE_AWAY as error:
            # Nothing to save: claims run out and go back, and the sweeper issues permits when the database is there.
            logger().warning("mailer.database.lost", error=type(error).__name__)

    def close(self) -> None:
        """End threads, sessions and the connection."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for transport in self._transports:
            transport.close()
        self._database.close()


def _worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
