"""Fixtures of the mailer's acceptance tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack.providers import Kafka
from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline, pipeline


@pytest.fixture
def make_pipeline(
    database: str, kafka: Kafka, smtp_sink: Sink, aggregate_type: str, tmp_path: Path
) -> Iterator[Callable[..., Pipeline]]:
    """Return what makes the test's pipeline, with settings beyond the usual ones as keywords."""
    with ExitStack() as stack:

        def make(**settings: str) -> Pipeline:
            return stack.enter_context(
                pipeline(
                    database=database,
                    bootstrap=kafka.bootstrap,
                    mail_dsn=settings.pop("mail_dsn", smtp_sink.dsn),
                    aggregate_type=aggregate_type,
                    folder=tmp_path,
                    **settings,
                )
            )

        yield make
