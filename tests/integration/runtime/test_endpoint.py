import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from runtime.endpoint import Endpoint
from runtime.errors import EndpointError


class Process:
    live, ready, text = True, True, "publishing"


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def endpoint(process: Process) -> Iterator[Endpoint]:
    registry = CollectorRegistry()
    Counter("outbox_pages", "Pages.", registry=registry).inc()
    made = Endpoint(
        host="127.0.0.1",
        port=0,
        registry=registry,
        live=lambda: process.live,
        ready=lambda: (process.ready, process.text),
    )
    yield made
    made.stop()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_are_served(endpoint: Endpoint) -> None:
    status, body = get(endpoint.start(), "/metrics")

    assert status == 200
    assert "outbox_pages_total 1.0" in body


def test_liveness_and_readiness_follow_the_process(endpoint: Endpoint, process: Process) -> None:
    port = endpoint.start()
    assert get(port, "/livez") == (200, "live\n")
    assert get(port, "/readyz") == (200, "publishing\n")

    process.live, process.ready, process.text = False, False, "standing by"

    assert get(port, "/livez") == (503, "not live\n")
    assert get(port, "/readyz?verbose") == (503, "standing by\n")


def test_another_path_is_not_found(endpoint: Endpoint) -> None:
    assert get(endpoint.start(), "/")[0] == 404


def test_a_taken_port_is_named_with_the_fix(endpoint: Endpoint) -> None:
    port = endpoint.start()
    second = Endpoint(
        host="127.0.0.1", port=port, registry=CollectorRegistry(), live=lambda: True, ready=lambda: (True, "")
    )

    with pytest.raises(EndpointError, match=f"cannot listen on 127.0.0.1:{port}") as refused:
        second.start()

    assert "OUTBOX_METRICS_PORT" in refused.value.__notes__[0]


def test_stopping_twice_does_no_harm(endpoint: Endpoint) -> None:
    endpoint.start()

    endpoint.stop()
    endpoint.stop()
