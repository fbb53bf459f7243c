"""Commit to `read_committed` consumer at several rates, ours against the peers, and the floor under all of them.

The floor of an event is what nobody who promises exactly once could do without: one durable commit in PostgreSQL (the
barrier), one Kafka transaction of one record, and a fetch.
"""

from __future__ import annotations

import time
import uuid
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka import Producer

from bench.bench import Bench
from bench.contest import contest, spread
from bench.peers import contestants, servers
from bench.peers.feeding import Feeder
from bench.peers.outboxes import RELAY, number_of
from bench.peers.reading import Reader
from bench.quantiles import NAMES, milliseconds
from bench.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from bench.peers.contestants import Contestant
    from devstack import Stack

ROUNDS = 3
# Events a second: events a transaction, and seconds.
RATES = {1: (1, 6), 100: (1, 7), 1_000: (5, 4), 5_000: (25, 4)}
AT_100 = {100: RATES[100]}
FLOOR_SAMPLES = 200


def _measure() -> Rounds:
    with servers.started() as stack, servers.worker(stack) as worker:
        tuned = contestants.Debezium(worker, stack.database_url, tuned=True)
        default = contestants.Debezium(worker, stack.database_url, tuned=False)
        for connector in (tuned, default):
            connector.rest()
        trial = Trial(stack)
        trial.run(tuned, {5_000: (25, 10)})  # warms the JVM
        return contest(
            {
                "floor": partial(_floor, stack),
                "relay": partial(trial.run, contestants.relay(stack), RATES),
                "debezium": partial(trial.run, tuned, RATES),
                "usual 1000": partial(trial.run, contestants.usual(stack, rows=1000), RATES),
                "debezium by default": partial(trial.run, default, AT_100),
                "faststream": partial(trial.run, contestants.faststream(stack), AT_100),
            },
            rounds=ROUNDS,
        )


class Trial:
    """Latencies of one contestant after another, on the same servers."""

    def __init__(self, stack: Stack) -> None:
        """Measure on *stack*."""
        self._stack = stack
        self._numbers = count(1, 1_000_000)

    def run(self, contestant: Contestant, rates: Mapping[int, tuple[int, float]]) -> Figures:
        """Return `RATE QUANTILE` in ms for each of *rates*."""
        found: dict[str, float] = {}
        with Reader(self._stack.kafka_bootstrap, contestant.outbox.topic) as reader:
            contestant.begin()
            for rate, (rows, seconds) in ({10: (1, 1.0)} | dict(rates)).items():  # the first one is its start
                latencies = self._latencies(contestant, reader, rate=rate, rows=rows, seconds=seconds)
                found |= {f"{rate} {name}": ms for name, ms in milliseconds(latencies).items() if rate in rates}
            contestant.rest()
        return found

    def _latencies(
        self, contestant: Contestant, reader: Reader, *, rate: int, rows: int, seconds: float
    ) -> list[float]:
        first, seen = next(self._numbers), len(reader.arrivals)
        url, outbox = self._stack.database_url, contestant.outbox
        committed = Feeder(url, outbox, first=first, rate=rate, rows=rows, seconds=seconds).stop()
        reader.wait_for(committed.numbers)
        own = committed.numbers
        return [at - committed.committed_at(number) for number, at in reader.arrivals[seen:] if number in own]


def _floor(stack: Stack) -> Figures:
    """Return the quantiles of a durable commit, a Kafka transaction of one record, and its fetch."""
    settings = {"bootstrap.servers": stack.kafka_bootstrap, "transactional.id": f"floor-{uuid.uuid4()}", "linger.ms": 0}
    producer = Producer(settings)
    producer.init_transactions(30)
    value = RELAY.line(0).split("\t")[-1].strip().encode()
    assert number_of(value) == 0  # noqa: S101  what the reader looks for
    measured = []
    with (
        psycopg.connect(stack.database_url, autocommit=True) as connection,
        Reader(stack.kafka_bootstrap, RELAY.topic) as reader,
    ):
        connection.execute("create table if not exists bench_floor (at timestamptz)")
        for number in range(FLOOR_SAMPLES):
            began = time.monotonic()
            connection.execute("insert into bench_floor values (now())")
            producer.begin_transaction()
            producer.produce(RELAY.topic, value)
            producer.commit_transaction(10)
            reader.wait(lambda arrivals, number=number: len(arrivals) > number, timeout_seconds=10)  # type: ignore[misc]  # the default binds it
            measured.append(reader.arrivals[number][1] - began)
    return {f"100 {name}": ms for name, ms in milliseconds(measured).items()}


def _tabulate(rounds: Rounds) -> Table:
    heads = ("events/s", "", *(f"{name}, ms" for name in NAMES))
    rows = [
        (f"{rate:,}", name, *(f"{spread(rounds, name, f'{rate} {cut}'):.1f}" for cut in NAMES))
        for rate in RATES
        for name in _measured_at(rounds, rate)
    ]
    return Table(heads, rows)


def _measured_at(rounds: Rounds, rate: int) -> Iterable[str]:
    return (name for name, found in rounds.items() if f"{rate} p50" in found[0])


def _plot(axes: Axes, rounds: Rounds) -> None:
    for name, found in rounds.items():
        rates = [rate for rate in RATES if f"{rate} p50" in found[0]]
        medians = [spread(rounds, name, f"{rate} p50").median for rate in rates]
        line = axes.plot(rates, medians, marker="o", label=name)[0]
        tops = [spread(rounds, name, f"{rate} p99").median for rate in rates]
        axes.plot(rates, tops, marker="^", linestyle="--", color=line.get_color())
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(list(RATES), [f"{rate:,}" for rate in RATES])
    axes.set_xlabel("events/s")
    axes.set_ylabel("ms: p50 (round), p99 (dashed)")
    axes.legend()


BENCH = Bench(
    name="peer_latency",
    question="how long from a commit to a consumer, against what people use instead?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
