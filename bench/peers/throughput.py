"""A backlog drained by our relay and by what people use instead: events/s, CPU, memory, and what PostgreSQL writes."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from bench import plots
from bench.bench import Bench
from bench.contest import contest, ratio, spread
from bench.peers import contestants, drain, servers
from bench.peers.meters import Offsets, Sampler, Written
from bench.processor import peak_rss_kib, reset_peak
from bench.programs import figures_of
from bench.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from bench.peers.contestants import Contestant
    from devstack import Stack

ROUNDS = 3
# About as many seconds for each.
EVENTS = {"relay": 200_000, "debezium": 150_000, "usual 1000": 150_000, "usual 100": 60_000, "faststream": 5_000}
LIMIT_ROWS, LIMIT_EVENTS = 5_000, 300_000
WARM_UP_EVENTS = 120_000  # the second backlog of this size is as fast as the tenth
HEADS = (
    "",
    "events/s",
    "relay to it",
    "CPU µs an event",
    "its own",
    "PostgreSQL's",
    "the broker's",
    "it to the relay",
    "peak MiB",
    "it to the relay",
    "WAL bytes an event",
    "dead rows an event",
)


class Race:
    """Backlogs for one contestant after another, on the same servers."""

    def __init__(self, stack: Stack) -> None:
        """Measure on *stack*."""
        self._stack = stack
        self._offsets = Offsets(stack.kafka_bootstrap)
        self._numbers = count(1)

    def drain(self, contestant: Contestant, *, events: int) -> Figures:
        """Return the figures of a backlog of *events*, which *contestant* finds when it begins."""
        topic, url = contestant.outbox.topic, self._stack.database_url
        self._fill(contestant, events)
        start, before = self._offsets.visible(topic), Written.by(url)
        contestant.begin()
        reset_peak(contestant.pid)
        with Sampler(self._stack, self._offsets, topic, contestant.pid) as sampler:
            self._offsets.settled(topic, at_least=start + events)
        memory = peak_rss_kib(contestant.pid) / 1024
        contestant.rest()
        after = Written.by(url)
        return {
            **drain.figures(sampler.samples, events=events),
            "peak_rss_mib": memory,
            "wal_bytes": (after.wal_bytes - before.wal_bytes) / events,
            "dead_rows": (after.dead_rows - before.dead_rows) / events,
        }

    def catch_up(self, contestant: Contestant, *, events: int = 1_000) -> None:
        """Let a resting *contestant* read the log up to now: what others wrote there is not its backlog."""
        start = self._offsets.visible(contestant.outbox.topic)
        contestant.begin()
        self._fill(contestant, events)
        self._offsets.settled(contestant.outbox.topic, at_least=start + events)
        contestant.rest()

    def _fill(self, contestant: Contestant, events: int) -> None:
        contestant.outbox.fill(self._stack.database_url, 1, events)


def _measure() -> Rounds:
    with servers.started() as stack, servers.worker(stack) as worker:
        race = Race(stack)
        debezium = contestants.Debezium(worker, stack.database_url, tuned=True)
        debezium.rest()
        for _ in range(2):
            race.drain(debezium, events=WARM_UP_EVENTS)

        def warm() -> Figures:
            race.catch_up(debezium)
            return race.drain(debezium, events=EVENTS["debezium"])

        racing: dict[str, Contestant] = {
            "relay": contestants.relay(stack),
            "usual 1000": contestants.usual(stack, rows=1000),
            "usual 100": contestants.usual(stack, rows=100),
            "faststream": contestants.faststream(stack),
        }
        race.catch_up(racing["relay"])  # its first start makes its rows and its progress topic
        runs = {name: partial(race.drain, who, events=EVENTS[name]) for name, who in racing.items()}
        return contest({"limit": partial(_limit, stack), "debezium": warm, **runs}, rounds=ROUNDS)


def _limit(stack: Stack) -> Figures:
    """Return what the bare loop of transactions does, as in the bench `relay`."""
    printed = figures_of("bench.limit_process", (stack.kafka_bootstrap, LIMIT_ROWS, LIMIT_EVENTS))
    return {"rate": printed["published"] / printed["seconds"]}


def _tabulate(rounds: Rounds) -> Table:
    limit = (f"limit, {LIMIT_ROWS:,} a transaction", f"{spread(rounds, 'limit', 'rate'):,.0f}")
    versus_limit = f"{ratio(rounds, 'relay', 'limit', 'rate'):.2f}"
    rows = [(*limit, versus_limit, *[""] * (len(HEADS) - 3))]
    return Table(HEADS, rows + [_row(rounds, name) for name in EVENTS])


def _row(rounds: Rounds, name: str) -> tuple[str, ...]:
    def middle(figure: str, form: str) -> str:
        return f"{spread(rounds, name, figure).median:{form}}"

    return (
        name,
        f"{spread(rounds, name, 'rate'):,.0f}",
        f"{ratio(rounds, 'relay', name, 'rate'):.2f}",
        f"{spread(rounds, name, 'cpu_us'):.1f}",
        middle("relay_us", ".1f"),
        middle("postgres_us", ".1f"),
        middle("broker_us", ".1f"),
        f"{ratio(rounds, name, 'relay', 'cpu_us'):.2f}",
        f"{spread(rounds, name, 'peak_rss_mib'):.0f}",
        f"{ratio(rounds, name, 'relay', 'peak_rss_mib'):.2f}",
        middle("wal_bytes", ".1f"),
        middle("dead_rows", ".4f"),
    )


def _plot(axes: Axes, rounds: Rounds) -> None:
    names = list(EVENTS)
    plots.bars(axes, names, {"events/s": [spread(rounds, name, "rate") for name in names]})
    axes.set_ylabel("events/s")


BENCH = Bench(
    name="peers",
    question="how fast is a backlog drained, and at what cost, against what people use instead?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
