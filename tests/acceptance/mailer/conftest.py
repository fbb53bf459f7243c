"""Fixtures of the mailer's acceptance tests."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack.providers import Kafka
from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline, pipeline
from tests.support.servers import Databases


@pytest.fixture
def make_pipeline(
    database: str, kafka: Kafka, smtp_sink: Sink, aggregate_type: str, tmp_path: Path
) -> Iterator[Callable[..., Pipeline]]:
    """Return what makes the test's pipeline, with settings beyond the usual ones as keywords."""
    with ExitStack() as stack:

        def make(**settings: str) -> Pipeline:
            made = pipeline(
                database=database,
                bootstrap=kafka.bootstrap,
                mail_dsn=settings.pop("mail_dsn", smtp_sink.dsn),
                aggregate_type=aggregate_type,
                folder=tmp_path,
                **settings,
            )
            return stack.enter_context(made)

        yield make


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """A mail server that the tests of a module share; each has recipients of its own."""
    with Sink() as made:
        yield made


@pytest.fixture(scope="module")
def running(
    databases: Databases, kafka: Kafka, sink: Sink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Consumer, worker and sweeper that the tests of a module share: none of them stops or kills one."""
    with (
        databases.migrated() as database,
        pipeline(
            database=database,
            bootstrap=kafka.bootstrap,
            mail_dsn=sink.dsn,
            aggregate_type=f"t{uuid.uuid4().hex[:12]}",
            folder=tmp_path_factory.mktemp("mailer"),
        ) as made,
    ):
        made.start_all()
        yield made


@pytest.fixture
def recipient() -> str:
    """An address of the test's own."""
    return f"r{uuid.uuid4().hex[:12]}@example.com"
