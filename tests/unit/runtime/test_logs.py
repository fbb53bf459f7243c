import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from runtime import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def stderr() -> io.StringIO:
    return io.StringIO()


def lines(stderr: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_an_event_is_one_json_object_a_line(stderr: io.StringIO) -> None:
    logs.configure(log_format="json", log_level="info", stream=stderr)

    structlog.get_logger().info("relay.page.committed", count=12)

    (line,) = lines(stderr)
    assert {key: line[key] for key in ("event", "level", "count")} == {
        "event": "relay.page.committed",
        "level": "info",
        "count": 12,
    }
    assert str(line["at"]).endswith("Z")


def test_records_of_other_libraries_take_the_same_form(stderr: io.StringIO) -> None:
    logs.configure(log_format="json", log_level="info", stream=stderr)

    logging.getLogger("kombu.connection").warning("lost %s", "amqp://ada:hush@mq//")

    (line,) = lines(stderr)
    assert (line["event"], line["logger"], line["level"]) == ("lost amqp://ada:***@mq//", "kombu.connection", "warning")


def test_warnings_of_python_are_log_lines(stderr: io.StringIO) -> None:
    logs.configure(log_format="json", log_level="info", stream=stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("py.warnings").warning("one")

    assert lines(stderr)[0]["event"] == "one"


def test_chatty_libraries_are_quiet_below_warning(stderr: io.StringIO) -> None:
    logs.configure(log_format="json", log_level="info", stream=stderr)

    logging.getLogger("celery.worker").info("Connected")

    assert stderr.getvalue() == ""


def test_less_than_the_level_is_not_written(stderr: io.StringIO) -> None:
    logs.configure(log_format="json", log_level="warning", stream=stderr)

    structlog.get_logger().info("relay.page.committed")

    assert stderr.getvalue() == ""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_neither_a_field_nor_a_traceback_shows_a_secret(stderr: io.StringIO, log_format: str) -> None:
    logs.configure(log_format=log_format, log_level="info", stream=stderr)  # type: ignore[arg-type]  # each in turn
    hushed = "postgresql://ada:hush@db/shop"

    try:
        int(f"no answer from {hushed}")
    except ValueError:
        structlog.get_logger().exception("console.database.failed", dsn=hushed, nested={"all": [hushed]})

    assert "hush@" not in stderr.getvalue()
    assert "no answer from postgresql://ada:***@db/shop" in stderr.getvalue()
    assert stderr.getvalue().count("***@db") == 3
