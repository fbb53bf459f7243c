"""A primary and its standby, a database on both, and relays that reach whichever takes writes."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack import folders, providers
from devstack.versions import installation
from tests.support.checker import read_committed
from tests.support.operators import Operator
from tests.support.relays import RelayProcess, Relays, relays_on
from tests.support.replication import Pair, ask, embeddable
from tests.support.servers import Databases, address
from tests.support.waiting import wait_until

INSPECT = "outbox relay position"
TOO_LARGE = 1_200_000


@dataclass(slots=True)
class Site:
    """One database of the pair, and a host that writes to it."""

    pair: Pair
    name: str
    kind: str

    @property
    def dsn(self) -> str:
        """Return its address on the primary of this moment."""
        return address(self.pair.dsn, self.name)

    @property
    def standby_dsn(self) -> str:
        """Return its address on the standby."""
        return address(self.pair.follower.dsn, self.name)

    @property
    def topic(self) -> str:
        """Return where its events go."""
        return f"outbox.event.{self.kind}"

    def insert(self, count: int, *, dsn: str | None = None, each: bool = False, too_large: int | None = None) -> None:
        """Insert *count* events in one transaction, or *each* in its own; no host waits for a standby.

        The event with the number *too_large* is one that Kafka does not take.
        """
        with psycopg.connect(dsn or self.dsn, autocommit=each) as connection:
            connection.execute("set synchronous_commit = local")
            for number in range(count):
                connection.execute(
                    "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
                    " values (%s, %s, 'thing.happened', json_build_object('pad', repeat('x', %s)))",
                    (self.kind, f"key-{number}", TOO_LARGE if number == too_large else 1),
                )

    def ask(self, query: str, *parameters: object) -> Any:
        """Return the first value that the primary answers."""
        return ask(self.dsn, query, *parameters)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Iterator[Pair]:
    """The pair that these tests share."""
    version = pytestconfig.getoption("--postgres-version")
    if not embeddable():
        pytest.skip("a standby is made from the embedded PostgreSQL alone")
    folder = folders.new_run_folder()
    pair = Pair(folder, installation=installation(version) if version else None)
    yield pair
    pair.close()
    folders.remove(folder)


@pytest.fixture(scope="session")
def replicated_databases(servers: Pair) -> Iterator[Databases]:
    """Databases on the pair."""
    from console.migrate import upgrade  # noqa: PLC0415 - SQLAlchemy and alembic, which unit tests do not wait for

    def migrate(dsn: str) -> None:
        upgrade(dsn)

    made = Databases(servers, migrate=migrate)
    yield made
    made.close()


@pytest.fixture
def site(servers: Pair, replicated_databases: Databases, aggregate_type: str) -> Iterator[Site]:
    """A fresh database on a primary and on a standby that follows it."""
    servers.ready()
    with replicated_databases.migrated() as dsn:
        servers.catch_up()
        yield Site(servers, dsn.rpartition("/")[2], aggregate_type)


@pytest.fixture
def relays(site: Site, kafka: providers.Kafka, tmp_path: Path) -> Iterator[Relays]:
    """What starts relays, on whichever server takes writes."""
    with relays_on(site.pair.either(site.dsn), kafka.bootstrap, tmp_path) as started:
        yield started


@pytest.fixture
def outbox(site: Site, kafka: providers.Kafka, capsys: pytest.CaptureFixture[str]) -> Operator:
    """The command, for whichever server takes writes."""
    return Operator(site.pair.either(site.dsn), capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})


def wait_published(relay: RelayProcess, events: int) -> None:
    """Wait until *relay* has published so many events."""

    def enough() -> bool:
        assert relay.process.poll() is None, relay.output
        counts: list[int] = [page["count"] for page in relay.events("relay.page.committed")]
        return sum(counts) >= events

    wait_until(enough, timeout_seconds=90, what=f"{events} events to be published")


def published(kafka: providers.Kafka, site: Site) -> int:
    """Return how many records consumers see."""
    return len(read_committed(kafka.bootstrap, [site.topic]))


def end(relay: RelayProcess) -> None:
    """Ask *relay* to stop, which it does in order."""
    relay.send(signal.SIGTERM)
    assert relay.wait() == 0, relay.output


def ends_with_3(relay: RelayProcess, reason: str) -> None:
    """Wait for *relay* to stop to keep the guarantee, for *reason*, with what an operator does about it."""
    assert relay.wait(timeout_seconds=90) == 3, relay.output
    assert reason in relay.output, relay.output
    assert INSPECT in relay.output
    assert "docs/operations.md" in relay.output


def failed_checks(outbox: Operator) -> dict[str, str]:
    """Return what `outbox doctor` finds wrong: each check with what it says."""
    answer = outbox.json("doctor")
    return {one["check"]: one["actual"] for one in answer["checks"] if one["mark"] == "failed"}
