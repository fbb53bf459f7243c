"""Workers killed with SIGKILL while they send, on the broker that is asked for; then every mail is accounted for.

Each kill waits until one of the workers has messages under way, and a random moment longer. The broker is killed now
and then, too, and every worker that lives has to send again afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from console.migrate import upgrade
from devstack import Stack
from devstack.sink.client import SinkClient
from tests.chaos.mail import accounts, books, brokers
from tests.chaos.mail.gauges import Gauges
from tests.chaos.mail.load import Load
from tests.chaos.mail.processes import Fleet
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.brokers import Broker

WORKERS = ("worker-a", "worker-b", "worker-c")
COMMANDS = {
    "relay": ("relay", "run"),
    "consumer": ("mailer", "consume"),
    "sweeper": ("mailer", "sweep"),
    **dict.fromkeys(WORKERS, ("mailer", "work")),
}
OUTSTANDING = 500
# Seconds. What servers of others take for the final dot; at the same time it keeps the rate modest.
ANSWER = 0.15
# Seconds. A kill comes so long after its worker was seen sending, at most: somewhere in one of the next windows.
SPREAD = 0.5
DOWN = 2.0
_SETTINGS = {
    "OUTBOX_MAILER_PERMIT_SECONDS": "10",
    "OUTBOX_LOG_FORMAT": "json",
}
# The cap is per lane; each of those that issue at the same time may go over it once (see issue_permits.sql).
_MOST_PERMITS = 8 + 8 * len(COMMANDS)
_FLOWS_WITHIN = 120
_SENDING = "select distinct claimed_by from outbox.delivery where state = 'sending'"
_HOLDING = "select distinct claimed_by from outbox.delivery where state in ('claimed', 'sending')"
_SENT_SINCE = "select distinct worker from outbox.attempt where outcome = 'accepted' and id > %s"


def main(given: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 when every mail is accounted for, 1 when one is not, 2 when the broker is not installed."""
    options = parsed(given)
    if lacking := brokers.missing(options.broker):
        print(f"error: {lacking}", file=sys.stderr)
        return 2
    evidence = Path(tempfile.mkdtemp(prefix=f"outbox-kills-{options.broker}-"))
    print(f"seed {options.seed}: {options.kills} kills of workers on {options.broker}: {evidence}", flush=True)
    figures = run(options, evidence, environment)
    line = json.dumps(figures)
    print(line)
    if options.record:
        with options.record.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    if figures["wrong"]:
        print(f"error: {figures['wrong']}\n  fix: the logs of every process are in {evidence}", file=sys.stderr)
        return 1
    print("no mail lost, none doubled that was not in doubt")
    return 0


def parsed(given: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="make chaos ARGS=--mail --broker …", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--broker", choices=brokers.KINDS, required=True)
    parser.add_argument("--kills", type=int, default=200, help="kills of workers")
    parser.add_argument("--broker-kills", type=int, default=5, help="kills of the broker, in between")
    parser.add_argument("--lease", type=float, default=6, help="seconds; what a killed worker held is kept from others")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--record", type=Path, help="append the figures to this file, a line of JSON a run")
    return parser.parse_args(given)


def run(options: argparse.Namespace, evidence: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Return the figures of a run."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(Stack.start())
        upgrade(servers.database_url)
        SinkClient(servers.inbox_url).script("*", [f"after {ANSWER:g}"], phase="dot")
        broker = brokers.started(options.broker, evidence, servers=servers)
        stack.callback(broker.close)
        settings = {
            **environment,
            **_SETTINGS,
            "OUTBOX_CELERY_BROKER_URL": broker.url,
            "OUTBOX_MAIL_LEASE_SECONDS": f"{options.lease:g}",
        }
        version = broker.version
        fleet = stack.enter_context(Fleet(servers, logs=evidence, environment=settings, commands=COMMANDS))
        load = stack.enter_context(Load(servers.database_url, outstanding=OUTSTANDING, seed=options.seed))
        gauges = stack.enter_context(Gauges(servers.database_url, broker.waiting))
        killing = Killing(fleet, broker, dsn=servers.database_url, seed=options.seed)
        killing.kill(options.kills, brokers=options.broker_kills)
        under_fire = time.monotonic() - began
        load.stop()
        read = books.read(servers.database_url, inbox_url=servers.inbox_url, load=load)
        latency = books.latency_seconds(servers.database_url)
    run_facts = {"broker": options.broker, "version": version, "seed": options.seed, "seconds": round(under_fire)}
    run_facts["lease_seconds"] = options.lease
    return run_facts | _counted(read, killing, fleet, gauges) | {"latency_seconds": latency}


class Killing:
    """Kills workers, and the broker now and then."""

    def __init__(self, fleet: Fleet, broker: Broker, *, dsn: str, seed: int) -> None:
        """Prepare; *seed* decides who and when."""
        self._fleet = fleet
        self._broker = broker
        self._dsn = dsn
        self._chance = random.Random(seed)  # noqa: S311 - replayable, not secret
        self.broker_kills = 0
        self.back_seconds: list[float] = []
        self.silent: list[str] = []

    def kill(self, kills: int, *, brokers: int) -> None:
        """Kill workers *kills* times, and the broker *brokers* times in between."""
        between = {round(kills * (number + 1) / (brokers + 1)) for number in range(brokers)}
        for number in range(kills):
            if number in between:
                self._kill_broker()
            name = wait_until(self._sending, timeout_seconds=120, what="a worker that sends")
            self._pause(SPREAD)
            self._fleet.kill(name)
            self._fleet.revive()

    def _sending(self) -> str | None:
        """Return a worker that has messages under way, any of them."""
        names = self._workers(_SENDING)
        return self._chance.choice(sorted(names)) if names else None

    def _kill_broker(self) -> None:
        """Kill the broker and start it again; then wait until every worker that lived through it has sent mail."""
        everyone = set(WORKERS)
        # A worker that finds no database at its start ends, for its supervisor to start it again. Here all are up.
        wait_until(lambda: self._workers(_HOLDING) == everyone, timeout_seconds=120, what="every worker to be at work")
        self._broker.crash()
        self.broker_kills += 1
        self._pause(DOWN)
        self._broker.start()
        back = time.monotonic()
        marker = self._asked("select coalesce(max(id), 0) from outbox.attempt")[0][0]
        try:
            wait_until(
                lambda: self._workers(_SENT_SINCE, marker) == everyone,
                timeout_seconds=_FLOWS_WITHIN,
                what="mail by every worker",
            )
        except AssertionError:
            self.silent += sorted(everyone - self._workers(_SENT_SINCE, marker))
        self.back_seconds.append(round(time.monotonic() - back, 1))

    def _pause(self, longest: float) -> None:
        moment = time.monotonic() + self._chance.uniform(0, longest)
        wait_until(partial(_reached, moment), timeout_seconds=longest + 60, what="the next kill")

    def _workers(self, query: str, *arguments: object) -> set[str]:
        """Return which of our workers, as they run at this moment, *query* names."""
        found = {row[0]: self._fleet.named(int(row[0].rpartition(":")[2])) for row in self._asked(query, *arguments)}
        return {name for name in found.values() if name in WORKERS}

    def _asked(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            return connection.execute(query.encode(), arguments).fetchall()


def _reached(moment: float) -> bool:
    return time.monotonic() >= moment


def _counted(read: accounts.Books, killing: Killing, fleet: Fleet, gauges: Gauges) -> dict[str, object]:
    """Return the figures, and what is wrong with them."""
    doubts, states = read.doubts(), Counter(one.state for one in read.deliveries)
    wrong = accounts.wrong(read) + [f"{name} sent nothing after the broker was back" for name in killing.silent]
    wrong += [f"{count} times {what}" for what, count in fleet.kills.items() if "ended by itself" in what]
    wrong += [f"{count} permits out on lane {lane}" for lane, count in gauges.most.items() if count > _MOST_PERMITS]
    return {
        "kills": sum(fleet.kills[name] for name in WORKERS),
        "broker_kills": killing.broker_kills,
        "events": len(read.acknowledged),
        "mails": sum(read.mails.values()),
        "states": dict(states),
        "in_doubt": {
            "attempts": sum(doubts.values()),
            "kills_that_left_some": len(doubts),
            "most_of_a_kill": max(doubts.values(), default=0),
        },
        "mails_doubled_in_doubt": sum(count - 1 for count in read.mails.values()),
        "most_permits_out": gauges.most,
        "most_permits_in_broker": gauges.most_waiting,
        "flows_again_seconds": killing.back_seconds,
        "wrong": wrong,
    }
