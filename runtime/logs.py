"""Logs: one structlog line an event on stderr, for people or as JSON; other libraries' records take the same way.

Two guards hold for every line, whoever wrote it: a URL's password is masked, and a traceback shows no local variables.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Literal, TextIO

import structlog
from structlog.types import EventDict, Processor

from runtime.secrets import mask

# Below `warning` these tell of every connection and every task: noise for an operator, and addresses in part.
_CHATTY = ("celery", "kombu", "amqp", "asyncio", "urllib3", "sqlalchemy", "alembic", "psycopg", "uvicorn", "css_inline")


def configure(*, log_format: Literal["console", "json"], log_level: str, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records to stderr (or *stream*), in one form, from *log_level* on."""
    out = stream or sys.stderr
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared = _shared()
    structlog.configure(
        processors=[*shared, *_rendering(log_format, out)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(log_format, out)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
    logging.captureWarnings(capture=True)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]


def _rendering(log_format: str, out: TextIO) -> list[Processor]:
    if log_format == "json":
        last: Processor = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="at"
        )
    return [structlog.processors.format_exc_info, masked, last]


def masked(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Return the line with every URL's password masked, also in an exception's text."""
    return {key: _masked(value) for key, value in event.items()}


def _masked(value: object) -> object:
    match value:
        case str():
            return mask(value) if "://" in value or "pass" in value.lower() else value
        case dict():
            return {key: _masked(one) for key, one in value.items()}
        case list() | tuple():
            return [_masked(one) for one in value]
        case int() | float() | None:
            return value
        case _:
            return _masked(str(value)) if not isinstance(value, MutableMapping) else value
