"""Servers whose addresses were given: checked at the start, and neither stopped nor crashed by us."""

from typing import Never

import psycopg

from devstack import kafka
from devstack.errors import AddressError, NotOurServerError

DATABASE = "OUTBOX_DATABASE_URL"
KAFKA = "OUTBOX_KAFKA_BOOTSTRAP"


class GivenServer:
    """A server that is not ours."""

    running = True

    def __init__(self, name: str) -> None:
        self._name = name

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self) -> Never:
        """Refuse."""
        raise NotOurServerError(self._name, "stop")

    def crash(self) -> Never:
        """Refuse."""
        raise NotOurServerError(self._name, "crash")

    def close(self) -> None:
        """Leave it as it is."""


class GivenPostgres(GivenServer):
    """The PostgreSQL at *dsn*."""

    def __init__(self, dsn: str) -> None:
        """Check that somebody answers."""
        super().__init__("PostgreSQL")
        self.dsn = dsn
        if not dsn.startswith(("postgresql://", "postgres://")):
            raise AddressError(DATABASE, "is not of the form postgresql://user:password@host:port/database")
        try:
            psycopg.connect(dsn, connect_timeout=10).close()
        except psycopg.Error as problem:
            # libpq's text names host, port and user, never the password.
            raise AddressError(DATABASE, f"cannot be used: {str(problem).strip()}") from problem


class GivenKafka(GivenServer):
    """The Kafka at *bootstrap*."""

    def __init__(self, bootstrap: str, *, timeout_seconds: float = 10) -> None:
        """Check that somebody answers."""
        super().__init__("Apache Kafka")
        self.bootstrap = bootstrap
        if not kafka.answers(bootstrap, timeout_seconds=timeout_seconds):
            problem = f"cannot be used: no broker answered at {bootstrap} within {timeout_seconds:g} s"
            error = AddressError(KAFKA, problem)
            error.add_note(
                "a broker that answers there but advertises another address looks the same: see its listeners"
            )
            raise error
