"""`outbox mailer …`: the processes between Kafka and the inbox."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import typer
from prometheus_client import CollectorRegistry

from mailer.broker import make_app, publisher
from mailer.consumer import ConsumerLoop
from mailer.database import Database
from mailer.owing import Ledger
from mailer.permits import Permits
from mailer.recipients import hashing_secret
from mailer.rendering import Library
from mailer.settings import MailerSettings
from mailer.sweep import Sweeper, SweepRule
from mailer.telemetry import ConsumerMetrics, SweeperMetrics, logger
from runtime import logs
from runtime.connecting import check_kafka
from runtime.endpoint import Endpoint
from runtime.errors import SettingsError
from runtime.schema_version import require_schema
from runtime.stopping import StopSignal

app = typer.Typer(help="From Kafka to the inbox: plan deliveries, send them, look after them.", no_args_is_help=True)


@app.command()
def consume(context: typer.Context) -> None:
    """Plan a delivery for each mail that a committed event owes, until stopped."""
    _serve(context.obj, "consumer", _consumer)


@app.command()
def sweep(context: typer.Context) -> None:
    """Issue permits for what is due and end claims that ran out, until stopped; one of several is elected."""
    _serve(context.obj, "sweeper", _sweeper)


@app.command()
def run(context: typer.Context) -> None:
    """Consume and sweep in one process, beside a worker."""
    _serve(context.obj, "consumer and sweeper", _consumer, _sweeper)


@app.command()
def work(context: typer.Context) -> None:
    """Send what is due: a Celery worker, the same as `celery -A mailer.app worker`."""
    settings = _begin(context.obj)
    _check_database(settings)
    # Reads the environment when it is imported, as Celery wants it.
    from mailer.app import app as celery  # noqa: PLC0415

    name = f"outbox-{os.getpid()}@%h"
    celery.worker_main(["--quiet", "worker", "--loglevel", "WARNING", "--hostname", name])


@app.command()
def listen(context: typer.Context) -> None:
    """Hear clicks on List-Unsubscribe and providers' webhooks, until stopped. Put TLS in front.

    Serves /unsubscribe/…, /hooks/resend, /hooks/postmark, /hooks/ses and /livez on OUTBOX_MAILER_LISTEN_HOST and _PORT.
    """
    settings = _begin(context.obj)
    _check_database(settings)
    from mailer.listening import listening  # noqa: PLC0415 - a web server, which no other process needs
    from runtime.serving import serve  # noqa: PLC0415

    heard = listening(settings)
    if heard.unsubscribing is None and not heard.hooks:
        error = SettingsError(("nothing to listen for: no OUTBOX_MAIL_UNSUBSCRIBE_… and no OUTBOX_MAIL_HOOK_… is set",))
        raise error
    serve(
        heard.application(),
        host=settings.mailer_listen_host,
        port=settings.mailer_listen_port,
        settings="OUTBOX_MAILER_LISTEN_HOST and OUTBOX_MAILER_LISTEN_PORT",
        started=lambda url: logger().info("mailer.endpoint.opened", url=url, hooks=sorted(heard.hooks)),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One loop of a process."""

    run: Callable[[], None]
    live: Callable[[], bool]
    ready: Callable[[], tuple[bool, str]]


Maker = Callable[[MailerSettings, StopSignal, CollectorRegistry], Part]


def _begin(env: Mapping[str, str]) -> MailerSettings:
    settings = MailerSettings.load(env)
    logs.configure(log_format=settings.log_format, log_level=settings.log_level)
    return settings


def _check_database(settings: MailerSettings) -> None:
    """Raise what says what is wrong with the database, while a person may still be looking."""
    database = Database(settings.database_url, name="outbox mailer")
    try:
        require_schema(database.connection())
    finally:
        database.close()


def _serve(env: Mapping[str, str], process: str, *makers: Maker) -> None:
    """Run the parts that *makers* make until stopped, each in a thread, and serve their metrics."""
    settings = _begin(env)
    _check_database(settings)
    stop = StopSignal()
    registry = CollectorRegistry()
    parts = [make(settings, stop, registry) for make in makers]
    stop.install()
    endpoint = _endpoint(settings, registry, parts)
    logger().info("mailer.process.started", process=process)
    try:
        _run_all(parts, stop)
    finally:
        if endpoint is not None:
            endpoint.stop()
        logger().info("mailer.process.stopped", process=process)


def _run_all(parts: list[Part], stop: StopSignal) -> None:
    """Run the first part here and the others in threads; one that fails stops all, and its error is raised."""
    failures: list[BaseException] = []

    def guarded(part: Part) -> None:
        try:
            part.run()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the main thread
            failures.append(error)
        finally:
            stop.set()

    threads = [threading.Thread(target=guarded, args=(part,), name=f"part-{n}") for n, part in enumerate(parts[1:])]
    for thread in threads:
        thread.start()
    guarded(parts[0])
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _endpoint(settings: MailerSettings, registry: CollectorRegistry, parts: list[Part]) -> Endpoint | None:
    if settings.metrics_port is None:
        return None
    endpoint = Endpoint(
        host=settings.metrics_host,
        port=settings.metrics_port,
        registry=registry,
        live=lambda: all(part.live() for part in parts),
        ready=lambda: _all_ready(parts),
    )
    port = endpoint.start()
    logger().info("mailer.endpoint.opened", host=settings.metrics_host, port=port)
    return endpoint


def _all_ready(parts: list[Part]) -> tuple[bool, str]:
    answers = [part.ready() for part in parts]
    return all(good for good, _ in answers), "; ".join(words for _, words in answers)


def _permits(settings: MailerSettings, database: Database) -> Permits:
    publish = publisher(make_app(settings))
    return Permits(database, publish, cap=settings.mailer_permits, claim=settings.mailer_claim)


def _consumer(settings: MailerSettings, stop: StopSignal, registry: CollectorRegistry) -> Part:
    check_kafka(settings.kafka_bootstrap, settings.kafka_options)
    database = Database(settings.database_url, name="outbox mailer consume")

    def secret() -> bytes:
        return hashing_secret(settings.mail_recipient_secret, database.rows("installation")[0]["install_id"])

    ledger = Ledger(database, mails=Library.load(settings.mail_templates), secret=secret)
    loop = ConsumerLoop(
        settings, owing=ledger, permits=_permits(settings, database), stop=stop, metrics=ConsumerMetrics(registry)
    )
    return Part(loop.run, loop.live, loop.ready)


def _sweeper(settings: MailerSettings, stop: StopSignal, registry: CollectorRegistry) -> Part:
    database = Database(settings.database_url, name="outbox mailer sweep")
    rule = SweepRule(
        tick=timedelta(seconds=settings.mailer_sweep_seconds),
        permit_age=timedelta(seconds=settings.mailer_permit_seconds),
        resend_pause=timedelta(seconds=settings.mail_backoff_base_seconds),
        due_limit=settings.mailer_permits * settings.mailer_claim,
        redact_days=settings.mail_redact_days,
        prune_days=settings.mail_prune_days,
    )
    sweeper = Sweeper(
        database, permits=_permits(settings, database), rule=rule, stop=stop, metrics=SweeperMetrics(registry)
    )
    return Part(sweeper.run, sweeper.live, sweeper.ready)
