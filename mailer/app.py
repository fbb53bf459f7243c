"""The Celery application that `celery -A mailer.app worker` and `outbox mailer work` run.

This module reads the environment when it is imported, because Celery imports it; no other module of the mailer does.
"""

import logging
import os
import sys
import threading
import warnings
from uuid import UUID

from celery import signals
from celery.exceptions import SecurityWarning

from mailer.broker import DRAIN, declare_dead_queue, declare_queue, make_app, publisher
from mailer.database import DATABASE_AWAY
from mailer.rendering import Library
from mailer.settings import MailerSettings
from mailer.telemetry import logger
from mailer.worker import WorkerProcess
from outbox.errors import OutboxError
from runtime import logs
from runtime.errors import told
from runtime.exits import ExitCode

# Celery warns of root, which matters where pickled tasks are taken: ours are JSON.
warnings.filterwarnings("ignore", category=SecurityWarning)
try:
    settings = MailerSettings.load(os.environ)
    app = make_app(settings)
    # Loaded before the fork: compiled templates are shared, and a template that does not compile stops the start.
    _library = Library.load(settings.mail_templates)
except OutboxError as error:
    # Raised, it would be the last of forty lines that Celery shows of itself.
    sys.stderr.write(told(error, getattr(error, "__notes__", ())))
    sys.exit(ExitCode.USAGE)
# One a thread: a connection is used by one thread, and Celery's thread pool has several.
_processes = threading.local()


def _process() -> WorkerProcess:
    found: WorkerProcess | None = getattr(_processes, "process", None)
    if found is None:
        found = _processes.process = WorkerProcess(settings, _library, publisher(app))
    return found


@app.task(name=DRAIN, ignore_result=True)  # type: ignore[untyped-decorator] # Celery publishes no types
def drain(_lane: str, permit: str) -> None:
    """Use up a permit: for which lane it was issued only says why."""
    _process().drain(UUID(permit))


@signals.setup_logging.connect(weak=False)  # type: ignore[untyped-decorator] # as above
def _configure_logs(**_: object) -> None:
    """Log as every other process of ours does: Celery configures nothing itself once this is connected."""
    logs.configure(log_format=settings.log_format, log_level=settings.log_level)
    # Warns at each start that tasks with an ETA would block a worker of quorum queues: ours have none.
    logging.getLogger("kombu.transport.native_delayed_delivery").setLevel(logging.ERROR)


@signals.worker_init.connect(weak=False)  # type: ignore[untyped-decorator] # as above
def _prepare(**_: object) -> None:
    try:
        declare_queue(app)
    except DATABASE_AWAY as error:
        # Celery looks for its broker until it is there.
        logger().warning("mailer.database.lost", error=type(error).__name__)


@signals.worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator] # as above
def _begin(**_: object) -> None:
    _process()


@signals.worker_process_shutdown.connect(weak=False)  # type: ignore[untyped-decorator] # as above
def _end(**_: object) -> None:
    found: WorkerProcess | None = getattr(_processes, "process", None)
    if found is not None:
        found.close()


@signals.worker_ready.connect(weak=False)  # type: ignore[untyped-decorator] # as above
def _tell_ready(**_: object) -> None:
    declare_dead_queue(app)
    logger().info("mailer.process.started", process="worker", processes=settings.mailer_processes)
