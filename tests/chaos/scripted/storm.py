"""One run with the scripted mail server: start everything, break it by plan, let it settle, read back, judge."""

import argparse
import contextlib
import dataclasses
import json
import platform
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from console.migrate import upgrade
from devstack import Stack
from mailer.subscription import GROUP
from tests.chaos.journal import Journal
from tests.chaos.scripted import certificates
from tests.chaos.scripted.fates import Fates
from tests.chaos.scripted.fleet import Fleet
from tests.chaos.scripted.injectors import INJECTORS, World, set_back
from tests.chaos.scripted.plan import Fault, Plan
from tests.chaos.scripted.promises import Account, Incidents, counted, judge
from tests.chaos.scripted.reading import PermitWatch, Reader
from tests.chaos.scripted.register import Register
from tests.chaos.scripted.server import MailServer
from tests.chaos.scripted.traffic import PARTITIONS, TOPIC, Traffic, make_topic, write_templates
from tests.chaos.scripted.traps import Traps
from tests.support.promises import Violation
from tests.support.waiting import wait_until

LEASE_SECONDS = 10
_PERMITS = 3
# Consumer, sweepers and workers issue permits; two at once may go over the cap by one another's number.
_ISSUERS = 2
_SETTLE_SECONDS = 240
_TIMES = "connect_timeout_seconds=1&timeout_seconds=1&attempt_timeout_seconds=2&dot_timeout_seconds=1.5"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to."""

    seed: int
    seconds: float
    shape: Mapping[str, object]
    versions: Mapping[str, str]
    faults: Mapping[str, int]
    worker_kills: int
    events: Mapping[str, int]
    deliveries: Mapping[str, int]
    server: Mapping[str, int]
    met: Mapping[str, int]
    attempts: Mapping[str, int]
    most_permits: Mapping[str, int]
    most_in_doubt_a_worker: int
    found: Mapping[str, int]
    wrong: Sequence[str]

    def record(self, path: Path) -> None:
        """Append them to the file at *path*, as a line of JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(self), default=str) + "\n")


@dataclass(frozen=True, slots=True)
class Site:
    """What a run has: servers, processes, traffic, and who looks on."""

    world: World
    traffic: Traffic
    watch: PermitWatch
    reader: Reader
    register: Register


def main(given: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 when every promise held, 1 when one did not."""
    parser = argparse.ArgumentParser(
        prog='make chaos ARGS="--mail --scripted"', description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", type=float, default=20, help="events a second")
    parser.add_argument("--record", type=Path, help="append the figures to this file, a line of JSON a run")
    parser.add_argument("--plan", action="store_true", help="print the plan, and run nothing")
    options = parser.parse_args(given)
    plan = Plan.of(options.seed, seconds=options.seconds, rate=options.rate)
    if options.plan:
        print(json.dumps(plan.as_json(), indent=1))
        return 0
    folder = Path(tempfile.mkdtemp(prefix=f"outbox-chaos-mail-{plan.seed}-"))
    print(
        f"seed {plan.seed}: {plan.seconds:.0f} s, {len(plan.faults)} faults planned, {plan.shape}: {folder}", flush=True
    )
    figures = run(plan, folder=folder, environment=environment)
    if options.record:
        figures.record(options.record)
    return _concluded(figures, folder)


def run(plan: Plan, *, folder: Path, environment: Mapping[str, str]) -> Figures:
    """Return what came of *plan*."""
    (folder / "plan.json").write_text(json.dumps(plan.as_json(), indent=1), encoding="utf-8")
    journal = Journal(folder)
    with contextlib.ExitStack() as closers:
        site = _built(plan, folder=folder, environment=environment, journal=journal, closers=closers)
        _storm(plan, site.world)
        if site.world.fleet.gave_up.is_set():
            raise RuntimeError(f"processes end by themselves: look into {folder}")
        _calm(plan, site)
        _settle(site, "to settle")
        _read_again(site)
        _settle(site, "to stay as they were, read again from the beginning")
        codes = site.world.fleet.stop()
        for name, code in codes.items():
            if code != 0:
                journal.accuse(f"{name} ended with {code} when asked to end")
        return _judged(plan, site)


def _built(
    plan: Plan, *, folder: Path, environment: Mapping[str, str], journal: Journal, closers: contextlib.ExitStack
) -> Site:
    stack = closers.enter_context(Stack.start(smtp=False))
    assert stack.postgres is not None
    assert stack.kafka is not None
    upgrade(stack.database_url)
    reader = Reader(stack.database_url)
    reader.prepare()
    make_topic(stack.kafka_bootstrap)
    register, traps = Register(folder), Traps()
    servers = _mail_servers(plan, register, traps, folder, closers)
    dsn = _route(plan.shape.route, servers, folder)
    settings = _settings(environment, stack, mail_dsn=dsn, templates=write_templates(folder / "templates"))
    fleet = closers.enter_context(Fleet(plan.shape.processes(), environment=settings, folder=folder, journal=journal))
    world = World(
        dsn=stack.database_url,
        lease_seconds=LEASE_SECONDS,
        postgres=stack.postgres,
        kafka=stack.kafka,
        servers=servers,
        traps=traps,
        fleet=fleet,
        journal=journal,
    )
    watch = closers.enter_context(PermitWatch(stack.database_url))
    traffic = closers.enter_context(Traffic(stack.kafka_bootstrap, seed=plan.seed, rate=plan.rate))
    return Site(world, traffic, watch, reader, register)


def _mail_servers(
    plan: Plan, register: Register, traps: Traps, folder: Path, closers: contextlib.ExitStack
) -> list[MailServer]:
    tls = certificates.made(folder)
    return [
        closers.enter_context(
            MailServer(
                Fates(plan.seed),
                register=register,
                traps=traps,
                index=index,
                pipelining=plan.shape.pipelining,
                certificates=given,
            )
        )
        for index, given in enumerate((None, tls))
    ]


def _route(route: str, servers: Sequence[MailServer], folder: Path) -> str:
    plain, tls = (server.transport for server in servers)
    secure = f"{tls}?{_TIMES}&starttls=require&ca_file={folder / certificates.TRUSTED}"
    return route.replace("plain", f"{plain}?{_TIMES}").replace("tls", secure, 1)


def _settings(environment: Mapping[str, str], stack: Stack, *, mail_dsn: str, templates: Path) -> dict[str, str]:
    inherited = {name: value for name, value in environment.items() if not name.startswith("OUTBOX_")}
    return inherited | {
        "OUTBOX_DATABASE_URL": f"{stack.database_url}?options=-c%20role%3Doutbox_mailer",
        "OUTBOX_KAFKA_BOOTSTRAP": stack.kafka_bootstrap,
        "OUTBOX_MAIL_DSN": mail_dsn,
        "OUTBOX_MAIL_FROM": "Users <no-reply@example.com>",
        "OUTBOX_MAIL_TEMPLATES": str(templates),
        "OUTBOX_MAIL_BACKOFF_BASE_SECONDS": "0.3",
        "OUTBOX_MAIL_BACKOFF_CAP_SECONDS": "2",
        "OUTBOX_MAIL_LEASE_SECONDS": str(LEASE_SECONDS),
        "OUTBOX_MAILER_CLAIM": "20",
        "OUTBOX_MAILER_PERMITS": str(_PERMITS),
        "OUTBOX_MAILER_PERMIT_SECONDS": "5",
        "OUTBOX_MAILER_SWEEP_SECONDS": "0.3",
        "OUTBOX_MAILER_TOPICS": f"^{TOPIC}$",
        "OUTBOX_MAILER_TOPICS_REFRESH_SECONDS": "0.5",
        "OUTBOX_METRICS_PORT": "0",
        "OUTBOX_LOG_FORMAT": "json",
        "OUTBOX_LOG_LEVEL": "info",
    }


def _storm(plan: Plan, world: World) -> None:
    """Break what is planned, each kind of fault by a thread of its own."""
    began = time.monotonic()
    threads = [threading.Thread(target=_inject, args=(plan, world, kind, began), name=kind) for kind in Fault]
    for thread in threads:
        thread.start()
    world.fleet.gave_up.wait(plan.seconds)
    world.stop.set()
    for thread in threads:
        thread.join()


def _inject(plan: Plan, world: World, kind: Fault, began: float) -> None:
    for planned in plan.faults:
        if planned.kind is not kind:
            continue
        if world.stop.wait(max(0.0, began + planned.at - time.monotonic())):
            return
        try:
            INJECTORS[kind](world, random.Random(planned.seed))  # noqa: S311 - replayable, not secret
        except Exception as error:  # noqa: BLE001 - a thread that ends unheard would leave a calm storm
            world.journal.accuse(f"could not inject {kind}: {error!r}")


def _calm(plan: Plan, site: Site) -> None:
    """Let everything run and be well, except that what recipients still have to go through stays."""
    site.traffic.stop()
    site.world.postgres.start()
    site.world.kafka.start()
    for server in site.world.servers:
        server.away, server.fates = False, Fates(plan.seed, calm=True)
    if site.traffic.published.refused:
        site.world.journal.accuse(f"Kafka refused {len(site.traffic.published.refused)} events of the harness")


def _settle(site: Site, what: str) -> None:
    """Wait until nothing is under way; what never ends is found in what is read back."""
    owed = len(site.traffic.published.owed)
    try:
        wait_until(
            lambda: site.reader.is_settled(owed), timeout_seconds=_SETTLE_SECONDS, what=f"{owed} deliveries {what}"
        )
    except AssertionError as error:
        site.world.journal.accuse(str(error))


def _read_again(site: Site) -> None:
    """Set the offsets back to the beginning, and wait until everything was read again."""
    bootstrap = site.world.kafka.bootstrap
    wait_until(lambda: set_back(site.world), timeout_seconds=60, what="the offsets to be set back")
    try:
        wait_until(lambda: _lag(bootstrap) == 0, timeout_seconds=60, what="everything to be read again")
    except AssertionError as error:
        site.world.journal.accuse(str(error))


def _lag(bootstrap: str) -> int:
    """Return how many records the mailer's group has not committed; one, when Kafka does not say just now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False})
    try:
        partitions = [TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)]
        committed = consumer.committed(partitions, timeout=10)
        ends = [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
        return sum(end - max(0, partition.offset) for partition, end in zip(committed, ends, strict=True))
    except KafkaException:
        return 1
    finally:
        consumer.close()


def account(site: Site) -> Account:
    """Return everything that is known in the end."""
    published = site.traffic.published
    return Account(
        owed=published.owed,
        malformed=frozenset(published.malformed),
        deliveries=site.reader.deliveries(),
        attempts=site.reader.attempts(),
        letters=site.reader.letters(),
        transactions=site.register.transactions,
        turned=site.register.turned,
        moves=site.reader.moves(),
        settled_by_operator=frozenset(site.world.settled),
        incidents=Incidents(site.world.fleet.incidents),
        permits=site.watch.most(),
        permits_cap=_PERMITS * _ISSUERS,
    )


def _judged(plan: Plan, site: Site) -> Figures:
    known = account(site)
    violations = judge(known)
    return figures(plan, site, known, violations)


def figures(plan: Plan, site: Site, known: Account, violations: Sequence[Violation]) -> Figures:
    """Return the figures of a run."""
    published, faults = site.traffic.published, site.world.journal.counts
    doubts = Counter(one.worker for one in known.attempts if one.phase == "unknown")
    at_steps = sum(count for what, count in faults.items() if what.startswith(f"{Fault.KILL_AT}:"))
    return Figures(
        seed=plan.seed,
        seconds=plan.seconds,
        shape=dataclasses.asdict(plan.shape),
        versions={
            "python": platform.python_version(),
            "postgresql": site.reader.query("show server_version")[0]["server_version"],
        },
        faults=dict(sorted(faults.items())),
        worker_kills=at_steps + faults[Fault.KILL],
        events={
            "committed": len(published.owed) + len(published.malformed),
            "malformed": len(published.malformed),
            "published twice": published.twice,
            "aborted": published.aborted,
        },
        deliveries=dict(Counter(one.state for one in known.deliveries)),
        server={
            "messages accepted": site.register.kept(),
            "transactions": len(known.transactions),
            "turned away before RCPT": len(known.turned),
            "accepted more than once, in doubt": sum(
                n > 1 for n in Counter(one.recipient for one in known.transactions if one.kept).values()
            ),
        },
        met=dict(sorted(Counter(one.met for one in known.transactions if one.met is not None).items())),
        attempts=dict(sorted(Counter(f"{one.phase} {one.outcome}" for one in known.attempts).items())),
        most_permits=known.permits,
        most_in_doubt_a_worker=max(doubts.values(), default=0),
        found=counted(violations),
        wrong=[*site.world.journal.wrong, *(str(violation) for violation in violations)],
    )


def _concluded(figures: Figures, folder: Path) -> int:
    for part in ("faults", "events", "deliveries", "server", "met", "attempts", "most_permits", "found"):
        print(f"{part}: {json.dumps(getattr(figures, part))}")
    print(f"worker kills: {figures.worker_kills}; most in doubt by one worker: {figures.most_in_doubt_a_worker}")
    if figures.wrong:
        print(f"error: seed {figures.seed}: {len(figures.wrong)} things are wrong:", file=sys.stderr)
        for line in figures.wrong[:20]:
            print(f"  {line[:500]}", file=sys.stderr)
        print(f"  fix: look into {folder}; SEED={figures.seed} plans the same faults again", file=sys.stderr)
        return 1
    print(f"seed {figures.seed}: every delivery has one end, and the mail server agrees")
    return 0
