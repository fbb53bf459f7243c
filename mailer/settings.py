"""Settings of the mailer: `OUTBOX_MAIL_…`, `OUTBOX_MAILER_…`, `OUTBOX_CELERY_…`, as `runtime.settings` reads them."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from mailer.broker_urls import checked_broker
from mailer.errors import AddressRefusedError, HeaderRefusedError, TransportDsnError
from mailer.guard import check_address, parse_mailbox
from mailer.mail import SECURITY_LANE, is_lane
from mailer.transports import open_transport
from mailer.unsubscribing import Unsubscribing
from runtime.secrets import SecretUrl
from runtime.settings import ProcessSettings


def _checked_sender(text: str) -> str:
    try:
        parse_mailbox(text)
    except (AddressRefusedError, HeaderRefusedError) as error:
        raise ValueError(f"expected `address` or `Name <address>`: {error}") from None
    return text


def _checked_redirect(address: str | None) -> str | None:
    try:
        return None if address is None else check_address(address)
    except AddressRefusedError as error:
        raise ValueError(f"expected an address: {error}") from None


def _checked_https(url: str | None) -> str | None:
    if url is not None and not re.fullmatch(r"https://[^\s/?#@]+(?:/[^\s?#]*)?", url):
        raise ValueError("expected https://host, or https://host/path")
    return url


def _checked_selector(selector: str | None) -> str | None:
    if selector is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", selector):
        raise ValueError("expected the name before ._domainkey, such as s1")
    return selector


def _checked_server(server: str | None) -> str | None:
    if server is not None:
        _split_server(server)
    return server


def _split_server(server: str) -> tuple[str, int]:
    """Return address and port of `9.9.9.9`, `127.0.0.1:5353`, `2620:fe::fe` or `[::1]:5353`."""
    match = re.fullmatch(r"(?:\[([^]]+)\]|([0-9.]+)):([0-9]{1,5})", server)
    host, port = (match[1] or match[2], int(match[3])) if match else (server, 53)
    try:
        ip_address(host)
    except ValueError:
        raise ValueError("expected an IP address, or address:port") from None
    return host, port


def _checked_transport(dsn: SecretUrl) -> SecretUrl:
    try:
        open_transport(dsn.get_secret_value()).close()
    except TransportDsnError as error:
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        raise ValueError(f"{error}{notes}") from None
    return dsn


def _checked_url(url: SecretUrl | None) -> SecretUrl | None:
    return None if url is None else SecretUrl(checked_broker(url.get_secret_value()))


def _checked_lanes(lanes: str) -> str:
    words = lanes.split()
    if bad := [word for word in words if not is_lane(word)]:
        raise ValueError(f"expected lanes of lower-case letters, digits, - and _, got {bad[0]!r}")
    if twice := [word for word in words if words.count(word) > 1]:
        raise ValueError(f"expected each lane once, got {twice[0]!r} twice")
    return lanes


def _checked_pattern(pattern: str) -> str:
    # librdkafka takes a subscription for a pattern only if it begins with ^, else for the name of one topic.
    if not pattern.startswith("^"):
        raise ValueError(r"expected a regular expression that begins with ^, such as ^outbox\.event\..*")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return pattern


class MailerSettings(ProcessSettings):
    """What consumer, worker and sweeper are told."""

    mail_dsn: Annotated[SecretUrl, AfterValidator(_checked_transport)] = Field(
        description="Where mail goes: `smtp://user:password@host:587`, `smtps://…`, `file:///folder`, `console:`, "
        "`null:`, `resend://…`, `postmark://…`, `ses://…`, `failover(a b)` or `roundrobin(a b)`."
    )
    mail_from: Annotated[str, AfterValidator(_checked_sender)] = Field(
        description="Sender of every mail, as `address` or `Name <address>`; its domain ends the Message-IDs."
    )
    mail_redirect_all_to: Annotated[str | None, AfterValidator(_checked_redirect)] = Field(
        None,
        description="For staging: all mail goes to this address, whatever its recipient, whom its headers still name.",
    )
    mail_unsubscribe_url: Annotated[str | None, AfterValidator(_checked_https)] = Field(
        None,
        description="Where `outbox mailer listen` is reached from outside, as `https://mail.example.com`: suppressible "
        "mails then have a one-click List-Unsubscribe.",
    )
    mail_unsubscribe_secret: SecretStr | None = Field(
        None,
        description="Signs the links of List-Unsubscribe. Several, by blanks: the first signs, the others still hold.",
    )
    mail_hook_resend_secret: SecretStr | None = Field(
        None, description="Signs Resend's webhooks (`whsec_…`); its hook is `/hooks/resend` of `outbox mailer listen`."
    )
    mail_hook_postmark_login: SecretStr | None = Field(
        None, description="`user:password` in the URL of Postmark's webhooks; its hook is `/hooks/postmark`."
    )
    mail_hook_ses_topic: str | None = Field(
        None, description="ARN of the SNS topic with SES's notifications; its hook is `/hooks/ses`."
    )
    mail_dkim_selector: Annotated[str | None, AfterValidator(_checked_selector)] = Field(
        None,
        description="Under which name your mail server or provider publishes its DKIM key, as `s1` for "
        "`s1._domainkey.example.com`: `outbox doctor` then looks for it.",
    )
    mail_dns_server: Annotated[str | None, AfterValidator(_checked_server)] = Field(
        None,
        description="Which DNS server `outbox doctor` asks about the sender's domain, as `9.9.9.9` or `address:port`, "
        "where the system's own shows another view of it than receivers have.",
    )
    mailer_listen_host: str = Field("127.0.0.1", description="Address of `outbox mailer listen`.")
    mailer_listen_port: int = Field(
        8027, ge=0, le=65535, description="Port of `outbox mailer listen`; 0 takes a free one."
    )
    mail_templates: Path | None = Field(
        None, description="Folder with one folder a mail; the shipped mails when not given."
    )
    mail_backoff_base_seconds: float = Field(
        30.0, gt=0, description="Longest pause before the first retry; it doubles with each."
    )
    mail_backoff_cap_seconds: float = Field(
        21600.0, gt=0, description="Longest pause before any retry, except where a server asks for a longer one."
    )
    mail_lease_seconds: float = Field(
        300.0,
        ge=2,
        description="How long a worker may hold a delivery. It must outlast the slowest reply of a mail server.",
    )
    mail_breaker_failures: int = Field(
        5,
        ge=1,
        description="Failures in a row after which a transport is left alone: for the backoff's base, then double, …",
    )
    mail_redact_days: int = Field(
        30, ge=1, description="Recipient, payload and content of a settled delivery are kept so long."
    )
    mail_prune_days: int = Field(
        90,
        ge=1,
        description="Settled deliveries, their attempts included, are kept so long; those with a dead letter stay.",
    )
    mail_recipient_secret: SecretStr | None = Field(
        None,
        description="Keys the hash that is left of a recipient after redaction; the installation's id when not given. "
        "Changing it makes every recipient a new one.",
    )
    mailer_topics: Annotated[str, AfterValidator(_checked_pattern)] = Field(
        r"^outbox\.event\..*", description="Topics to consume, as a regular expression that begins with `^`."
    )
    mailer_topics_refresh_seconds: float = Field(
        1.0,
        ge=0.01,
        le=3600,
        description="How often to look for new topics; raise it on clusters with thousands of them.",
    )
    mailer_batch_records: int = Field(500, ge=1, le=10_000, description="Most records consumed in one transaction.")
    # One: what a killed worker leaves in doubt is one window. More mail goes out by more workers, or by more processes.
    mailer_processes: int = Field(1, ge=1, le=64, description="Processes of one worker, each with a window of its own.")
    mailer_window: int = Field(
        8, ge=1, le=100, description="Mails that one process sends at a time; as many are in doubt when it is killed."
    )
    mailer_lanes: Annotated[str, AfterValidator(_checked_lanes)] = Field(
        f"{SECURITY_LANE} default",
        description="Lanes by urgency, the most urgent first, by blanks. Mail of a lane waits while any is due in those"
        " before it; lanes that are not named come last, by name.",
    )
    mailer_claim: int = Field(50, ge=1, le=1000, description="Most mails claimed for one permit.")
    mailer_permits: int = Field(8, ge=1, le=1000, description="Most permits of a lane in the broker at a time.")
    mailer_permit_seconds: float = Field(
        60.0, ge=1, description="A permit that no worker took for so long counts as lost."
    )
    mailer_sweep_seconds: float = Field(
        1.0, gt=0, le=60, description="How often the sweeper looks for what is due or over."
    )
    celery_broker_url: Annotated[SecretUrl | None, AfterValidator(_checked_url)] = Field(
        None,
        description="Celery's broker: `pgmq://` (the database itself, when not given), `amqp://` (RabbitMQ) or `redis://`.",
    )

    @model_validator(mode="after")
    def _base_below_cap(self) -> Self:
        if self.mail_backoff_base_seconds > self.mail_backoff_cap_seconds:
            raise ValueError(
                f"expected OUTBOX_MAIL_BACKOFF_BASE_SECONDS ({self.mail_backoff_base_seconds:g}) not to exceed "
                f"OUTBOX_MAIL_BACKOFF_CAP_SECONDS ({self.mail_backoff_cap_seconds:g})"
            )
        return self

    @model_validator(mode="after")
    def _unsubscribing_whole(self) -> Self:
        if (self.mail_unsubscribe_url is None) != (self.mail_unsubscribe_secret is None):
            raise ValueError("expected both OUTBOX_MAIL_UNSUBSCRIBE_URL and OUTBOX_MAIL_UNSUBSCRIBE_SECRET, or neither")
        return self

    def unsubscribing(self) -> Unsubscribing | None:
        """Return what signs and reads links of List-Unsubscribe; nothing where there are none."""
        if self.mail_unsubscribe_url is None or self.mail_unsubscribe_secret is None:
            return None
        return Unsubscribing(self.mail_unsubscribe_url, self.mail_unsubscribe_secret)

    def lanes(self) -> tuple[str, ...]:
        """Return the lanes that are named, the most urgent first."""
        return tuple(self.mailer_lanes.split())

    @property
    def broker(self) -> str:
        """Return the broker's URL; `pgmq://` alone means the database itself."""
        return self.celery_broker_url.get_secret_value() if self.celery_broker_url else "pgmq://"

    def dns_server(self) -> tuple[str, int] | None:
        """Return address and port of the DNS server to ask; nothing for the system's."""
        return None if self.mail_dns_server is None else _split_server(self.mail_dns_server)
