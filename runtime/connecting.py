"""The first connection to PostgreSQL and to Kafka, with an error that names the server, the reason and the fix.

Drivers' messages are kept to their first line and never hold a password: libpq writes none, and ours is taken out.
"""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime.dsn import SecretDsn
from runtime.errors import DatabaseUnavailableError, KafkaUnavailableError, SettingsError

if TYPE_CHECKING:
    import psycopg
    from confluent_kafka import KafkaError
    from confluent_kafka.admin._metadata import ClusterMetadata

DATABASE_TIMEOUT_SECONDS = 5
KAFKA_TIMEOUT_SECONDS = 5.0

# What a server's or a driver's sentence means: (its words, ours, the fix). English, as libpq writes without NLS.
_DATABASE_CAUSES = (
    (
        r"password authentication failed|no password supplied",
        "the password was not accepted",
        "check the password in OUTBOX_DATABASE_URL",
    ),
    (
        r"role \"[^\"]*\" does not exist|is not permitted to log in",
        "that user cannot log in",
        "create the role with `login`, or name another user",
    ),
    (
        r"database \"[^\"]*\" does not exist",
        "that database does not exist",
        "create it with `createdb`, or name another in OUTBOX_DATABASE_URL",
    ),
    (
        r"could not translate host name|Name or service not known|failed to resolve|nodename nor servname",
        "the host name is unknown",
        "check the host in OUTBOX_DATABASE_URL",
    ),
    (
        r"Connection refused",
        "nothing listens there",
        "start PostgreSQL, or correct host and port in OUTBOX_DATABASE_URL",
    ),
    (
        r"timeout expired|timed out|No route to host|Network is unreachable",
        "no answer",
        "check host, port and firewall",
    ),
    (
        r"no pg_hba\.conf entry",
        "the server refuses this client",
        "add the client to pg_hba.conf, or ask for TLS with ?sslmode=require",
    ),
    (
        r"too many connections|remaining connection slots",
        "the server has no connection left",
        "raise max_connections, or stop what holds them",
    ),
    (r"starting up|shutting down|in recovery mode", "the server is starting or stopping", "wait for it"),
    (r"SSL|certificate", "TLS did not come about", "check sslmode and sslrootcert in OUTBOX_DATABASE_URL"),
)
_KAFKA_CAUSES = (
    (r"_RESOLVE|Failed to resolve", "the host name is unknown", "check OUTBOX_KAFKA_BOOTSTRAP"),
    (r"Connection refused", "nothing listens there", "start Kafka, or correct OUTBOX_KAFKA_BOOTSTRAP"),
    (r"_AUTHENTICATION|SASL", "the broker refused the credentials", "check sasl.* in OUTBOX_KAFKA_OPTIONS"),
    (r"_SSL|SSL handshake", "TLS did not come about", "check security.protocol and ssl.* in OUTBOX_KAFKA_OPTIONS"),
    (
        r"Disconnected|ApiVersionRequest",
        "the broker closes the connection",
        "check that the port speaks Kafka, and whether it wants TLS or SASL",
    ),
)


def connect(
    dsn: SecretDsn | str, *, application_name: str, autocommit: bool = False, **options: str | int
) -> "psycopg.Connection":
    """Return a connection, or raise what says why there is none; *options* go to libpq."""
    import psycopg  # noqa: PLC0415 - a command that needs no database starts without its driver

    secret = dsn if isinstance(dsn, SecretDsn) else SecretDsn.parse(dsn)
    url = secret.get_secret_value()
    timeout = {} if "connect_timeout=" in url else {"connect_timeout": DATABASE_TIMEOUT_SECONDS}
    more: dict[str, Any] = {"application_name": application_name, **timeout, **options}
    try:
        return psycopg.connect(url, autocommit=autocommit, **more)
    except psycopg.Error as error:
        unavailable = database_unavailable(secret, error)
    raise unavailable


def database_unavailable(dsn: SecretDsn, error: Exception) -> DatabaseUnavailableError:
    """Return *error* of a driver as ours, with the fix as its note."""
    said = _first_line(str(error), secret=dsn.get_secret_value())
    for words, cause, fix in _DATABASE_CAUSES:
        if re.search(words, said, re.IGNORECASE):
            unavailable = DatabaseUnavailableError(str(dsn.address()), cause)
            unavailable.add_note(fix)
            return unavailable
    unavailable = DatabaseUnavailableError(str(dsn.address()), said)
    unavailable.add_note("check OUTBOX_DATABASE_URL: postgresql://user:password@host:5432/database")
    return unavailable


def check_kafka(
    bootstrap: str, options: Mapping[str, str], *, timeout_seconds: float = KAFKA_TIMEOUT_SECONDS
) -> "ClusterMetadata":
    """Return the cluster's metadata, or raise what says why nobody answered; makes no topic and joins no group."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - as above
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    heard: list[str] = []
    client = None

    def hear(error: "KafkaError") -> None:
        heard.append(f"{error.name()} {error.str()}")

    try:
        config: dict[str, Any] = {**options, "bootstrap.servers": bootstrap, "error_cb": hear}
        client = AdminClient(config, logger=_silent())
        return client.list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        if client is None:
            raise SettingsError((f"OUTBOX_KAFKA_OPTIONS: {error.args[0].str()}",)) from None
        client.poll(0)  # delivers what happened on the way; the call itself only says that nobody answered
        heard.append(f"{error.args[0].name()} {error.args[0].str()}")
    raise kafka_unavailable(bootstrap, heard)


def kafka_unavailable(bootstrap: str, heard: list[str]) -> KafkaUnavailableError:
    """Return what librdkafka said as our error, with the fix as its note."""
    for words, cause, fix in _KAFKA_CAUSES:
        if any(re.search(words, line) for line in heard):
            unavailable = KafkaUnavailableError(bootstrap, cause)
            unavailable.add_note(fix)
            return unavailable
    unavailable = KafkaUnavailableError(bootstrap, heard[-1] if heard else "no answer")
    unavailable.add_note(
        "check OUTBOX_KAFKA_BOOTSTRAP, and that the brokers advertise addresses that this machine reaches"
    )
    return unavailable


def _first_line(said: str, *, secret: str) -> str:
    """Return the sentence that matters; psycopg puts one line an attempted address."""
    password = secret.partition("://")[2].rpartition("@")[0].partition(":")[2]
    tried = [line.strip() for line in said.splitlines() if "failed:" in line]
    # Of several hosts, the one that answers and takes no writes says more than the one that is away.
    standbys = [line for line in tried if "read-only" in line or "hot standby" in line]
    line = (standbys or tried or [said.strip().partition("\n")[0]])[-1]
    return line.replace(password, "***") if password else line


def _silent() -> logging.Logger:
    """Return a logger that says nothing: what librdkafka has to say arrives in the error."""
    logger = logging.getLogger("runtime.kafka.silent")
    logger.propagate = False
    logger.handlers[:] = [logging.NullHandler()]
    return logger
