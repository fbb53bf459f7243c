"""The relay as a process: checks the servers, wires a loop for each shard, runs them, and says how it ended."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from outbox.envelope import Envelope, Route, load_envelope
from outbox.errors import InvalidRouteError, UnknownEnvelopeError
from relay.errors import (
    INSPECT,
    RESOLVE,
    HaltedError,
    InvalidOptionError,
    PositionHiddenError,
    SourceUnavailableError,
    StoppedError,
    cure,
)
from relay.hanging import explained, hangs
from relay.isolation import Policies
from relay.lease import Installation, judge_history
from relay.leases import Session
from relay.loop import ShardLoop
from relay.machine import State
from relay.metrics import Metrics
from relay.patience import Stop
from relay.primary import first_session
from relay.progress import ProgressReader
from relay.settings import RelaySettings
from relay.shortage import shortage
from relay.sink import KafkaSink
from relay.source import Source
from relay.telemetry import Observer, Telemetry, log_observer
from relay.topics import TopicPlan, Topics
from relay.transactions import Transactions
from relay.trial import Trial, load_trial_sink
from relay.upkeep import Upkeep
from relay.wire import Wire
from relay.wiring import Outcome, Wiring
from runtime import interpreter, logs
from runtime.connecting import check_kafka
from runtime.endpoint import Endpoint
from runtime.schema_version import require_schema
from runtime.stopping import StopSignal

_KAFKA = "kafka"
_DAY = 86_400.0


@dataclass(slots=True)
class Report:
    """How a run ended: an outcome a shard, and what went wrong."""

    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


# --------------------------------------------------------------------------------------------------- the process


def serve(env: Mapping[str, str], *, drain: bool, shards: str | None, observers: Sequence[Observer] = ()) -> Report:
    """Run a relay process until it ends, and return how; *observers* see every telemetry event beside the log."""
    settings = RelaySettings.load(env)
    logs.configure(log_format=settings.log_format, log_level=settings.log_level)
    interpreter.settle()
    stop = StopSignal()
    stop.install()
    metrics = Metrics()
    telemetry = Telemetry(log_observer(), metrics.observe, *observers)
    try:
        installation = identify(settings, stop, patient=not drain, telemetry=telemetry)
    except StoppedError:
        return Report()
    chosen = chosen_shards(shards, installation)
    if settings.relay_sink != _KAFKA:
        return try_out(settings, installation, chosen, stop=stop, drain=drain)
    wiring = wire(settings, installation, telemetry, stop)
    loops = [ShardLoop(wiring, shard, drain=drain) for shard in chosen]
    if drain:
        return run_loops(loops, failed=stop.set)
    return _run_as_service(settings, loops, wiring=wiring, stop=stop, metrics=metrics)


def _run_as_service(
    settings: RelaySettings, loops: Sequence[ShardLoop], *, wiring: Wiring, stop: StopSignal, metrics: Metrics
) -> Report:
    """Run *loops* with what a service has beside them: an endpoint, retention and gauges."""
    endpoint = _endpoint(settings, loops, metrics) if settings.metrics_port is not None else None
    upkeep = Upkeep(
        open_session=wiring.open_session,
        stop=stop,
        telemetry=wiring.telemetry,
        metrics=metrics if endpoint is not None else None,
        keep_seconds=settings.relay_retention_days * _DAY,
        rows=settings.relay_retention_rows,
        interval_seconds=settings.relay_retention_interval_seconds,
    )
    if endpoint is not None:
        structlog.get_logger("relay").info("relay.endpoint.started", host=settings.metrics_host, port=endpoint.start())
    upkeep.start()
    try:
        return run_loops(loops, failed=stop.set)
    finally:
        stop.set()
        upkeep.join(0.5)
        if endpoint is not None:
            endpoint.stop()


def _endpoint(settings: RelaySettings, loops: Sequence[ShardLoop], metrics: Metrics) -> Endpoint:
    return Endpoint(
        host=settings.metrics_host,
        port=settings.metrics_port or 0,
        registry=metrics.registry,
        live=lambda: any(loop.state not in {State.HALTED, State.STOPPED} for loop in loops),
        ready=lambda: readiness(loops),
    )


def readiness(loops: Sequence[ShardLoop]) -> tuple[bool, str]:
    """Return whether every shard is published by us or by the relay that we stand by for, and how each stands."""
    said = [f"shard {loop.shard}: {loop.standing.trouble or loop.state}" for loop in loops]
    good = all(loop.standing.trouble is None or loop.standing.standing_by for loop in loops)
    return good, "; ".join(said)


def run_loops(loops: Sequence[ShardLoop], *, failed: Callable[[], None]) -> Report:
    """Run each loop in a thread of its own until all have ended; call *failed* when one ends with an error."""
    report = Report()

    def run(loop: ShardLoop) -> None:
        try:
            outcome = loop.run()
            report.outcomes.append(outcome)
            if outcome.halted:
                report.errors.append(halted(loop.shard, outcome.halted))
        except Exception as error:  # noqa: BLE001  # reported by whoever started us, with its exit code
            report.errors.append(error)
            failed()

    threads = [threading.Thread(target=run, args=(loop,), name=f"shard-{loop.shard}", daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report


def try_out(
    settings: RelaySettings, installation: Installation, shards: Sequence[int], *, stop: Stop, drain: bool
) -> Report:
    """Publish to a sink for trials, one shard after the other; no position moves."""
    sink = load_trial_sink(settings.relay_sink)
    session = Session.open(settings.database_url, name="trial")
    report = Report()
    try:
        for shard in shards:
            source = _source(settings, installation, session, shard)
            envelope = _envelope(settings, installation)
            trial = Trial(session, source, shard=shard, envelope=envelope, sink=sink)
            report.outcomes.append(Outcome(shard, published=trial.run(stop, drain=drain)))
    finally:
        session.close()
    return report


# ------------------------------------------------------------------------------------------------------- wiring


def wire(settings: RelaySettings, installation: Installation, telemetry: Telemetry, stop: Stop) -> Wiring:
    """Return how the loops get at their systems."""
    topics = open_topics(settings, telemetry)
    options = kafka_options(settings)

    def make_sink(shard: int) -> KafkaSink:
        return KafkaSink(
            options=options,
            transactional_id=installation.transactional_id(shard),
            progress_topic=installation.progress_topic,
            partition=shard,
            largest=topics.largest,
            batch=topics.batch,
            telemetry=telemetry,
        )

    return Wiring(
        installation=installation,
        envelope=_envelope(settings, installation),
        topics=topics,
        telemetry=telemetry,
        stop=stop,
        open_session=lambda name: Session.open(settings.database_url, name=name),
        make_source=lambda session, shard: _source(settings, installation, session, shard),
        make_sink=make_sink,
        make_reader=lambda shard: open_reader(settings, installation, shard),
        explain=explainer(settings, installation),
        shortage=lambda shard: shortage(topics, installation, shard),
        policies=Policies(settings.relay_poison_policy, dict(settings.relay_poison_policies)),
    )


def _source(settings: RelaySettings, installation: Installation, session: Session, shard: int) -> Source:
    return Source(
        session.connection,
        shard=shard,
        shards=installation.shards,
        rows=settings.relay_page_rows,
        page_bytes=settings.relay_page_bytes,
    )


def _envelope(settings: RelaySettings, installation: Installation) -> Envelope:
    source = settings.relay_event_source or f"/outbox/{installation.install}"
    try:
        return load_envelope(settings.relay_envelope, source=source, route=Route(settings.relay_route))
    except UnknownEnvelopeError as error:
        raise InvalidOptionError("relay_envelope", str(error)) from None
    except InvalidRouteError as error:
        raise InvalidOptionError("relay_route", str(error)) from None


def kafka_options(settings: RelaySettings) -> dict[str, str]:
    """Return what every Kafka client of this process is told."""
    return {**settings.kafka_options, "bootstrap.servers": settings.kafka_bootstrap, "client.id": "outbox-relay"}


def open_transactions(settings: RelaySettings) -> Transactions:
    """Return what asks the brokers about transactions."""
    return Transactions(Wire(settings.kafka_bootstrap, settings.kafka_options))


def open_reader(settings: RelaySettings, installation: Installation, shard: int) -> ProgressReader:
    """Return what reads the position of *shard*, and gives up early where a transaction hangs before it."""
    transactions = open_transactions(settings)
    place = (installation.progress_topic, shard)
    return ProgressReader(kafka_options(settings), installation, shard, hangs=lambda: hangs(transactions, place))


def explainer(
    settings: RelaySettings, installation: Installation
) -> Callable[[Session, PositionHiddenError], PositionHiddenError]:
    """Return what says which transaction hides a position, and how it ended."""
    prefix = settings.relay_route.partition("{")[0]

    def explain(session: Session, error: PositionHiddenError) -> PositionHiddenError:
        transactions, options = open_transactions(settings), kafka_options(settings)
        return explained(error, session, transactions, options, installation=installation, prefix=prefix)

    return explain


def open_topics(settings: RelaySettings, telemetry: Telemetry) -> Topics:
    """Return the topics of the cluster; raise what says why it cannot be reached."""
    check_kafka(settings.kafka_bootstrap, settings.kafka_options)
    plan = TopicPlan(
        create=settings.topics_create,
        partitions=settings.topics_partitions,
        replication=settings.topics_replication_factor,
        min_insync=settings.topics_min_insync_replicas,
    )
    return Topics(kafka_options(settings), plan, telemetry)


def chosen_shards(text: str | None, installation: Installation) -> tuple[int, ...]:
    """Return the shards to publish: all, unless some are named with commas between them."""
    if text is None:
        return tuple(range(installation.shards))
    try:
        wanted = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise InvalidOptionError("shards", f"expected numbers with commas between them, got {text!r}") from None
    for shard in wanted:
        if not 0 <= shard < installation.shards:
            raise InvalidOptionError("shards", f"expected shards from 0 to {installation.shards - 1}, got {shard}")
    return wanted


# ----------------------------------------------------------------------------------------------- the first look


def identify(settings: RelaySettings, stop: Stop, *, patient: bool, telemetry: Telemetry) -> Installation:
    """Return who the database says it is; raise what keeps us from reading it. For *patient* see `first_session`."""
    try:
        session = first_session(
            lambda: Session.open(settings.database_url, name="start"),
            stop=stop,
            patient=patient,
            tell=lambda failures, reason: telemetry.emit("relay.session.failed", failures=failures, reason=reason),
        )
    except SourceUnavailableError as error:
        if not error.standby:
            raise
        raise halted(0, f"OUTBOX_DATABASE_URL leads to a standby or read-only database ({error})") from None
    try:
        require_schema(session.connection)
        facts, installation = session.facts(), session.installation()
        if reason := judge_history(facts, installation):
            for shard in range(installation.shards):
                session.note_halt(shard, epoch=None, reason=HaltedError(shard, reason).noted)
            raise halted(0, reason)
        return installation
    finally:
        session.close()


def halted(shard: int, reason: str) -> HaltedError:
    """Return the error with what an operator does about it."""
    error = HaltedError(shard, reason)
    error.add_note(f"look with `{INSPECT}`; once you know which side is right: {cure(shard, reason)}; see {RESOLVE}")
    return error
