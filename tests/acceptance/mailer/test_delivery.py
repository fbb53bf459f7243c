from collections.abc import Callable

import pytest

from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def running(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    made = make_pipeline()
    made.make_topic()
    made.consumer()
    made.worker()
    made.sweeper()
    return made


def test_an_event_arrives_as_a_mail(running: Pipeline, smtp_sink: Sink) -> None:
    running.publish(email="ada@example.com", name="Ada", new_role="ADMIN")

    [mail] = smtp_sink.wait(1, timeout_seconds=30)

    assert mail.recipients == ("ada@example.com",)
    running.wait_states({"sent": 1})
