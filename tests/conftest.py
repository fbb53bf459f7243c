"""Servers and databases for the tests.

A server starts when the first test asks for it: a run of unit tests starts none.
"""

import uuid
from collections.abc import Iterator

import pytest

from devstack import Stack, providers
from devstack.errors import NotOurServerError
from devstack.sink import Sink
from devstack.versions import versioned
from tests.support.servers import Databases


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that picks another PostgreSQL."""
    parser.addoption(
        "--postgres-version",
        metavar="MAJOR",
        help="run on PostgreSQL 14, 15, 16 or 17 instead of the embedded one (make test-versions)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Skip a test that wants to stop or crash a server whose address was given: it is not ours."""
    try:
        yield
    except NotOurServerError as refusal:
        pytest.skip(str(refusal))


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[providers.Postgres]:
    """A server: `.dsn` of its superuser, `.stop()`, `.start()`, `.crash()`. No fsync: it outlives its own crash."""
    version = pytestconfig.getoption("--postgres-version")
    if version:
        with versioned(version) as server:
            yield server
        return
    with Stack.start(kafka=False, smtp=False, durable=False) as stack:
        assert stack.postgres is not None
        yield stack.postgres


@pytest.fixture(scope="session")
def kafka() -> Iterator[providers.Kafka]:
    """A broker: `.bootstrap`, `.stop()`, `.start()`, `.crash()`. Topics are shared by all tests: see
    `aggregate_type`."""
    with Stack.start(postgres=False, smtp=False) as stack:
        assert stack.kafka is not None
        yield stack.kafka


@pytest.fixture(scope="session")
def databases(postgres: providers.Postgres) -> Iterator[Databases]:
    """Databases on the session's server, for fixtures that need more than one."""
    made = Databases(postgres, migrate=_migrate)
    yield made
    made.close()


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """The address of a fresh database with our schema."""
    with databases.migrated() as dsn:
        yield dsn


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[str]:
    """The address of a fresh database with nothing in it."""
    with databases.empty() as dsn:
        yield dsn


@pytest.fixture
def smtp_sink() -> Iterator[Sink]:
    """A mail server: `.host .port .dsn .http_url`, `.messages()`, `.wait(count)`, `.script(recipient, replies)`."""
    with Sink() as sink:
        yield sink


@pytest.fixture
def aggregate_type() -> str:
    """A name of its own for each test, so that topics do not meet on the shared broker."""
    return f"t{uuid.uuid4().hex[:12]}"


def _migrate(dsn: str) -> None:
    """Bring the database at *dsn* to the schema of this release."""
    from console.migrate import upgrade  # noqa: PLC0415 - SQLAlchemy and alembic, which unit tests do not wait for

    upgrade(dsn)
