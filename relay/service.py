"""The relay as a process: checks the servers, wires a loop for each shard, runs them, and says how it ended."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from outbox.envelope import Route, load_envelope
from relay.errors import HaltedError, InvalidOptionError, SourceUnavailableError
from relay.isolation import Policies
from relay.lease import INSPECT, RESOLVE, Installation, judge_history
from relay.leases import Session
from relay.loop import Outcome, ShardLoop, Wiring
from relay.machine import retry_pause
from relay.patience import Stop
from relay.progress import ProgressReader
from relay.settings import RelaySettings
from relay.sink import KafkaSink
from relay.source import Source
from relay.telemetry import Observer, Telemetry, log_observer
from relay.topics import TopicPlan, Topics
from runtime import logs
from runtime.connecting import check_kafka
from runtime.schema_version import require_schema
from runtime.stopping import StopSignal

# How often a connection is tried at the start before we give up: some seconds, for servers that start together with us.
_CONNECT_TRIES = 7


@dataclass(slots=True)
class Report:
    """How a run ended: an outcome a shard, and what went wrong in those that have none."""

    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


def serve(env: Mapping[str, str], *, drain: bool, shards: str | None, observers: Sequence[Observer] = ()) -> Report:
    """Run a relay process until it ends, and return how; *observers* see every telemetry event beside the log."""
    settings = RelaySettings.load(env)
    logs.configure(log_format=settings.log_format, log_level=settings.log_level)
    stop = StopSignal()
    stop.install()
    telemetry = Telemetry(log_observer(), *observers)
    installation = identify(settings, stop)
    wiring = wire(settings, installation, telemetry, stop)
    loops = [ShardLoop(wiring, shard, drain=drain) for shard in chosen_shards(shards, installation)]
    return run_loops(loops, failed=stop.set)


def kafka_options(settings: RelaySettings) -> dict[str, str]:
    """Return what every Kafka client of this process is told."""
    return {**settings.kafka_options, "bootstrap.servers": settings.kafka_bootstrap, "client.id": "outbox-relay"}


def open_topics(settings: RelaySettings, telemetry: Telemetry) -> Topics:
    """Return the topics of the cluster; raise what says why it cannot be reached."""
    check_kafka(settings.kafka_bootstrap, settings.kafka_options)
    return Topics(
        kafka_options(settings),
        TopicPlan(
            create=settings.topics_create,
            partitions=settings.topics_partitions,
            replication=settings.topics_replication_factor,
            min_insync=settings.topics_min_insync_replicas,
        ),
        telemetry,
    )


def identify(settings: RelaySettings, stop: Stop) -> Installation:
    """Return who the database says it is; raise what keeps us from reading it."""
    session = _first_session(settings, stop)
    try:
        require_schema(session.connection)
        facts, installation = session.facts(), session.installation()
        if reason := judge_history(facts, installation):
            session.note_halt(0, epoch=None, reason=f"{reason}; look with `{INSPECT}`, resolve with `{RESOLVE}`")
            raise halted(0, reason)
        return installation
    finally:
        session.close()


def halted(shard: int, reason: str) -> HaltedError:
    """Return the error with what an operator does about it."""
    error = HaltedError(shard, reason)
    error.add_note(f"look with `{INSPECT}`; once you know which side is right, resolve with `{RESOLVE}`")
    return error


def _first_session(settings: RelaySettings, stop: Stop) -> Session:
    """Return a session; wait some seconds for a server that is starting."""
    for tries in range(1, _CONNECT_TRIES + 1):
        try:
            return Session.open(settings.database_url, name="start")
        except SourceUnavailableError as error:
            if error.standby:
                raise HaltedError(
                    0, f"OUTBOX_DATABASE_URL leads to a standby or read-only database ({error})"
                ) from None
            if error.lasting or tries == _CONNECT_TRIES or stop.wait(retry_pause(tries)):
                raise
    raise AssertionError


def wire(settings: RelaySettings, installation: Installation, telemetry: Telemetry, stop: Stop) -> Wiring:
    """Return how the loops get at their systems."""
    topics = open_topics(settings, telemetry)
    options = kafka_options(settings)
    source = settings.relay_event_source or f"/outbox/{installation.install}"

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

    def make_source(session: Session, shard: int) -> Source:
        return Source(
            session.connection,
            shard=shard,
            shards=installation.shards,
            rows=settings.relay_page_rows,
            page_bytes=settings.relay_page_bytes,
        )

    return Wiring(
        installation=installation,
        envelope=load_envelope(settings.relay_envelope, source=source, route=Route(settings.relay_route)),
        topics=topics,
        telemetry=telemetry,
        stop=stop,
        open_session=lambda name: Session.open(settings.database_url, name=name),
        make_source=make_source,
        make_sink=make_sink,
        make_reader=lambda shard: ProgressReader(options, installation, shard),
        policies=Policies(settings.relay_poison_policy, dict(settings.relay_poison_policies)),
    )


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
