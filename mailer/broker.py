"""The Celery application as this project runs it: what is acknowledged when, and what each broker needs.

Acknowledged late, rejected when a worker is lost, results ignored. Retries are rows in PostgreSQL and never countdowns:
with a visibility timeout of 5 s, 10 tasks with an ETA of 18 s ran 40 times.
"""

from typing import Any, NoReturn
from uuid import UUID

from celery import Celery
from celery.app.control import Control
from kombu.entity import Exchange, Queue
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DuplicateObject, UniqueViolation

from mailer.broker_urls import PGMQ, kind_of
from mailer.errors import RemoteControlError
from mailer.permits import Publish
from mailer.settings import MailerSettings
from runtime.errors import SettingsError

QUEUE = "outbox_mail"
DEAD_QUEUE = "outbox_mail_dead"
DRAIN = "mailer.drain"
# The hard limit ends a process that hangs before another worker may claim what it holds.
_LIMIT_WITHIN_LEASE = 0.9
_DEAD_PERMITS_KEPT = 1000
# Seconds. A permit that was taken comes back only after the worker that took it has certainly ended.
_VISIBILITY_MARGIN = 60


def make_app(settings: MailerSettings) -> Celery:
    """Return the application for these settings; nothing is connected yet."""
    kind = kind_of(settings.broker)
    url = _shown_url(settings) if kind == PGMQ else settings.broker
    app = Celery("outbox", set_as_current=False, control=NoRemoteControl if kind == PGMQ else None)
    app.conf.update(
        broker_url=url,
        broker_transport_options=_transport_options(kind, settings),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=10,
        task_queues=[_queue(kind)],
        task_default_queue=QUEUE,
        task_create_missing_queues=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_store_eager_result=False,
        task_time_limit=settings.mail_lease_seconds * _LIMIT_WITHIN_LEASE,
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5},
        task_serializer="json",
        accept_content=["json"],
        worker_concurrency=settings.mailer_processes,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=kind != PGMQ,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=settings.mail_lease_seconds / 2,
        enable_utc=True,
    )
    _refuse_another_broker(app, url)
    return app


def publisher(app: Celery) -> Publish:
    """Return what sends a permit through *app*."""

    def publish(lane: str, permit: UUID) -> None:
        app.send_task(DRAIN, args=(lane, str(permit)), queue=QUEUE, ignore_result=True)

    return publish


def declare_queue(app: Celery) -> None:
    """Make the queue of permits, so that the start of a worker finds it.

    On PGMQ, two processes that are the first of all at the same moment make the same trigger: one of them fails, which
    Celery takes for the end of a worker, with exit code 0. Asked again, it finds what the other has made.
    """
    if not app.conf.broker_url.startswith(PGMQ):
        return
    for last in (False, False, True):
        try:
            with app.connection_for_write() as connection:
                _queue(PGMQ).bind(connection.default_channel).declare()  # type: ignore[no-untyped-call] # as below
        except (DuplicateObject, UniqueViolation):
            if last:
                raise
        else:
            return


def declare_dead_queue(app: Celery) -> None:
    """Make the queue for permits that RabbitMQ gives up, for a person to look at; other brokers have none.

    Not one of the application's own queues, for workers consume those. Losing what is in it costs nothing: the sweeper
    has long issued other permits.
    """
    if kind_of(app.conf.broker_url) == "amqp":
        with app.connection_for_write() as connection:
            arguments = {"x-queue-type": "quorum", "x-max-length": _DEAD_PERMITS_KEPT}
            dead = Queue(DEAD_QUEUE, queue_arguments=arguments)  # type: ignore[no-untyped-call] # kombu publishes no types
            dead.bind(connection.default_channel).declare()  # type: ignore[no-untyped-call] # as above


class NoRemoteControl(Control):  # type: ignore[misc] # Celery publishes no types
    """Says why nobody answers `celery inspect` and `celery control` on PGMQ.

    kombu's pgmq has broadcasts, but a queue that each worker makes and none removes: rows that nobody ever reads. And a
    queue for the answers has a name that is too long for it, which is what one would be told.
    """

    def broadcast(self, command: str, *_: object, **__: object) -> NoReturn:
        """Refuse."""
        raise RemoteControlError(command)


def _refuse_another_broker(app: Celery, url: str) -> None:
    """Raise where Celery would use another broker than *url*: unchecked, and with the options of ours."""
    if {app.conf.broker_read_url, app.conf.broker_write_url} != {url}:
        error = SettingsError(("another broker is named by CELERY_BROKER_URL, …_READ_URL, …_WRITE_URL or -b",))
        error.add_note("name it by OUTBOX_CELERY_BROKER_URL, and unset those: Celery would heed them alone")
        raise error


def _queue(kind: str) -> Queue:
    quorum = {"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD_QUEUE}
    return Queue(  # type: ignore[no-untyped-call] # kombu publishes no types
        QUEUE,
        Exchange(QUEUE, type="direct"),  # type: ignore[no-untyped-call] # as above
        routing_key=QUEUE,
        queue_arguments=quorum if kind == "amqp" else None,
    )


def _transport_options(kind: str, settings: MailerSettings) -> dict[str, Any]:
    visibility = int(settings.mail_lease_seconds) + _VISIBILITY_MARGIN
    match kind:
        case "amqp":
            return {"confirm_publish": True}
        case "redis":
            return {"visibility_timeout": visibility}
        case _:
            return {
                "conn_string": _pgmq_address(settings),
                "init_extension": False,
                "wait_time_seconds": 0,
                "use_notify": True,
                # Throttled, the second of two permits in a row would wait for the next look.
                "notify_throttle_interval_ms": 0,
                # Also how long kombu sleeps while every process is busy, even when one gets free meanwhile.
                "polling_interval": 0.1,
                "visibility_timeout": visibility,
                "pool_size": 4,
                "pool_timeout": 5,
            }


def _shown_url(settings: MailerSettings) -> str:
    """Return what kombu shows as the broker; where it connects is in the transport's options, login included."""
    parts = conninfo_to_dict(_address(settings))
    host = str(parts.get("host") or "localhost")
    return f"pgmq://{'localhost' if '/' in host or ',' in host else host}/{parts.get('dbname') or ''}"


def _address(settings: MailerSettings) -> str:
    own = settings.broker.partition("://")[2]
    return f"postgresql://{own}" if own else settings.database_url.get_secret_value()


def _pgmq_address(settings: MailerSettings) -> str:
    """Return the address such that pgmq's client, which quotes nothing and knows five parts only, gets it right.

    It takes a connection string apart, keeps host, port, database, user and password, and joins them again unquoted. So
    each value is quoted once more than libpq needs, and every other option rides behind the database's name.
    """
    parts = {name: str(value) for name, value in conninfo_to_dict(_address(settings)).items() if value is not None}
    plain = {name: parts.pop(name, default) for name, default in _PGMQ_PARTS.items()}
    riders = "".join(
        f" {name}={_quoted(value)}" for name, value in {"application_name": "outbox mailer broker", **parts}.items()
    )
    values = {name: _quoted(value) for name, value in plain.items()}
    values["dbname"] += riders
    return " ".join(f"{name}={_quoted(value)}" for name, value in values.items())


# Empty means to libpq what it means when it is left out; pgmq would put its own defaults there.
_PGMQ_PARTS = dict.fromkeys(("host", "port", "dbname", "user", "password"), "")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
