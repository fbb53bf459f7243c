"""The order in which everything is read, so that a relay that publishes meanwhile makes no difference.

The position comes first: what it confirms is the range. Then the rows of the range, then every record up to the ends
that the topics have by now, then the dead letters. A record that the rows do not explain is looked for in the windows
beside the range, and in the whole table, before it is called made up.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from console.database import Database, Row
from console.verify.bounds import Asked, Bounds, bound, read_from, read_until
from console.verify.chain import chained, chosen_anew, contiguous, paged, recorded
from console.verify.facts import SKEW, Copy, Doubt, Finding, Kind, Link, Note, Reach, TopicState
from console.verify.judging import compare, in_order
from console.verify.outcome import Outcome, Range
from console.verify.records import NO_WINDOW, OtherSource, owner_of, read_progress, read_record
from console.verify.scratch import Scratch
from console.verify.table import Table
from console.verify.topics import Topics
from outbox.envelope import Route
from relay.lease import Installation
from relay.settings import RelaySettings
from relay.window import xmax
from runtime.connecting import check_kafka

_PROGRESS: Final = re.compile(r"outbox\.[0-9a-f-]{36}\.progress")
# Records without a row that are looked for in the whole table, and how many at a time.
_STRANGERS: Final = 200_000
_SOUGHT: Final = 20_000
_ANY_ID: Final = 2**63 - 1


def verify(settings: RelaySettings, asked: Asked, *, most: int) -> Outcome:
    """Return what came of comparing *asked*; of each kind of finding at most *most* are named."""
    check_kafka(settings.kafka_bootstrap, settings.kafka_options)
    with Database.open(settings.database_url) as database, Scratch.open() as scratch:
        facts, server = database.one("installation"), database.one("server")
        installation = Installation(facts["install"], facts["gen"], facts["sysid"], facts["shards"])
        table = Table(database, shards=installation.shards, route=Route(settings.relay_route))
        topics = Topics(settings.kafka_bootstrap, settings.kafka_options)
        try:
            run = Verification(settings, installation, server, table=table, topics=topics, scratch=scratch)
            run.outcome.most = most
            run.compare(asked)
            return run.outcome
        finally:
            topics.close()


class Verification:
    """One comparison, from the range to the outcome."""

    def __init__(
        self,
        settings: RelaySettings,
        installation: Installation,
        server: Row,
        *,
        table: Table,
        topics: Topics,
        scratch: Scratch,
    ) -> None:
        """Compare what *table* and *topics* say, by way of *scratch*."""
        self.outcome = Outcome()
        self._settings = settings
        self._installation = installation
        self._server = server
        self._table, self._topics, self._scratch = table, topics, scratch
        self._now = float(server["clock"])
        self._bounds: list[Bounds] = []
        self._windows: dict[int, list[int]] = {}
        self._other_sources = 0

    def compare(self, asked: Asked) -> None:
        """Read everything, and judge it."""
        self._bounds = [bound(self._table, ends, asked, now=self._now) for ends in self._table.shards()]
        since = read_from(self._table, self._bounds)
        self._read_position(since)
        self._read_rows()
        states, until = self._read_records(since)
        if next(self._scratch.strangers(), None) is not None:
            self._read_beside(since, until)
            self._find_strangers()
        self._read_letters()
        self._scratch.index()
        self._judge(self._reach(since, states))
        self._count()

    # ---------------------------------------------------------------------------------------------- the position

    def _read_position(self, since: float) -> None:
        """Read the progress records, and take of the range what they confirm."""
        topic = self._installation.progress_topic
        states = self._topics.states([topic])
        finished: dict[int, int] = {}

        def records() -> Iterator[tuple[object, ...]]:
            for message in self._topics.read(states, since=since):
                record = read_progress(message, self._installation)
                shard, _, seq, *_, last_id, _, _, _ = record
                if last_id is None and seq != NO_WINDOW:
                    finished[shard] = max(seq, finished.get(shard, -1))
                yield record

        self._scratch.add("progress", records())
        self._bounds = [one.confirmed(finished) for one in self._bounds]
        said = self._about_position(topic, states, finished)
        self.outcome.hear(said)

    def _about_position(
        self, topic: str, states: dict[str, TopicState], finished: dict[int, int]
    ) -> Iterator[Finding | Doubt | Note]:
        if self._bounds and topic not in states:
            yield Finding(Kind.CHAIN, f"{topic} is gone: Kafka no longer says what is published", topic=topic)
        for partition in sorted(states[topic].undecided) if topic in states else ():
            yield Doubt(f"{topic}: a transaction is open in partition {partition}, and hides the position")
        for ends in self._table.shards():
            ahead = finished.get(ends.shard, -1)
            if ahead > ends.last and self._server["recovering"]:
                yield Note(f"shard {ends.shard}: the standby that was asked is behind Kafka, at window {ends.last}")
            elif ahead > ends.last:
                problem = f"Kafka has window {ahead} of shard {ends.shard}, outbox.batch ends with {ends.last}"
                yield Finding(Kind.BARRIER, f"{problem}: PostgreSQL lost history", shard=ends.shard, window=ahead)
        for one in self._bounds:
            if one.forgotten:
                yield Doubt(f"shard {one.shard}: windows before {one.ends.first}, which retention has deleted")

    # ------------------------------------------------------------------------------------------------------ rows

    def _read_rows(self) -> None:
        for one in self._bounds:
            if one.empty:
                continue
            self.outcome.ranges.append(Range(one.shard, one.first, one.last))
            a, since = self._read_windows(one.shard, one.first, one.last, judged=True)
            low, high = self._scratch.young(one.shard, xmax(a)) if a else (None, None)
            if low is not None and high is not None:
                high = _ANY_ID if one.open else high
                astray = self._table.astray(one.shard, a=a, low=low, high=high, since=since)
                self._scratch.add("event", astray)

    def _read_windows(self, shard: int, first: int, last: int, *, judged: bool) -> tuple[str, float]:
        """Read windows with their events; return the snapshot that the first begins with, and since when."""
        begins: tuple[str, float] = ("", 0.0)
        for windows in self._table.windows(shard, first, last):
            begins = begins if begins[0] else (windows[0].a, windows[0].since)
            if judged:
                kept = ((shard, one.seq, one.epoch, one.a, one.b, one.since, one.at) for one in windows)
                self._scratch.add("window", kept)
                self._windows.setdefault(shard, []).extend(one.seq for one in windows)
            self._scratch.add("event", self._table.events(shard, windows, judged=judged))
        return begins

    # --------------------------------------------------------------------------------------------------- records

    def _read_records(self, since: float) -> tuple[dict[str, TopicState], float | None]:
        named = names = self._scratch.topics()
        prefix = self._settings.relay_route.partition("{")[0]
        there = self._topics.names()
        if prefix:
            names = named | {name for name in there if name.startswith(prefix) and not _PROGRESS.fullmatch(name)}
        states = self._topics.states(names)
        until = read_until(self._table, self._bounds)
        if any(not one.empty for one in self._bounds):
            self.outcome.topics = sorted(states)
            self._scratch.add("record", self._records(states, since, until, named=named))
        return states, until

    def _records(
        self, states: dict[str, TopicState], since: float, until: float | None, *, named: set[str]
    ) -> Iterator[Copy]:
        source = self._settings.relay_event_source or f"/outbox/{self._installation.install}"
        for message in self._topics.read(states, since=since, until=until):
            match record := read_record(message, source.rstrip("/"), ours=message.topic() in named):
                case Copy():
                    yield record
                case Finding():
                    self.outcome.hear([record])
                case OtherSource():
                    self._other_sources += 1

    # ------------------------------------------------------------------------------------------- beside the range

    def _read_beside(self, since: float, until: float | None) -> None:
        """Read the windows around the range as far as records were read."""
        for ends in self._table.shards():
            judged = next((one for one in self._bounds if one.shard == ends.shard and not one.empty), None)
            first = self._table.first_where(ends, "at", since - SKEW)
            last = ends.last if until is None else self._table.first_where(ends, "at", until + SKEW)
            if judged is None:
                self._read_windows(ends.shard, first, last, judged=False)
                continue
            self._read_windows(ends.shard, min(first, judged.first), judged.first - 1, judged=False)
            self._read_windows(ends.shard, judged.last + 1, last, judged=False)

    def _find_strangers(self) -> None:
        """Look for records without a row in the whole table."""
        strangers = list(islice(self._scratch.strangers(), _STRANGERS))
        spans = [span for one in self._bounds if (span := self._scratch.span(one.shard)) is not None]
        around = max((span[0] for span in spans), default=0)
        for start in range(0, len(strangers), _SOUGHT):
            self._scratch.add("event", self._table.find(strangers[start : start + _SOUGHT], around=around))

    def _read_letters(self) -> None:
        for one in self._bounds:
            if (span := self._scratch.span(one.shard)) is not None:
                self._scratch.add("letter", self._table.letters(one.shard, *span))

    # --------------------------------------------------------------------------------------------------- judging

    def _reach(self, since: float, states: dict[str, TopicState]) -> Reach:
        days = self._settings.relay_retention_days
        return Reach(
            read_from=since,
            pruned_before=self._now - days * 86_400 + SKEW if days else 0.0,
            compacted_before=self._now - self._topics.lag_seconds(self._installation.progress_topic),
            topics=states,
        )

    def _judge(self, reach: Reach) -> None:
        scratch, hear = self._scratch, self.outcome.hear
        hear(compare(scratch.rows(), scratch.copies(), reach))
        hear(in_order(scratch.placed()))
        owner = owner_of(self._installation.install, self._installation.sysid)
        for one in self._bounds:
            if one.empty:
                continue
            hear(chained(one.shard, self._links(one, foreign=True), owner=owner))
            hear(contiguous(one.shard, self._windows.get(one.shard, ())))
            chosen = max((link.seq for link in self._links(one) if chosen_anew(link)), default=0)
            hear(recorded(one.shard, scratch.missing(one.shard, one.first, one.last), reach, chosen=chosen))
            hear(paged(one.shard, self._links(one), scratch.members(one.shard), reach))

    def _links(self, one: Bounds, *, foreign: bool = False) -> Iterator[Link]:
        return (
            link
            for link in self._scratch.links(one.shard)
            if one.first <= link.seq <= one.last or (foreign and link.seq == NO_WINDOW)
        )

    def _count(self) -> None:
        events, letters, records = self._scratch.counts()
        windows = sum(len(seqs) for seqs in self._windows.values())
        self.outcome.counts = {"windows": windows, "events": events, "dead_letters": letters, "records": records}
        if self._other_sources:
            text = f"{self._other_sources} records are of other sources than ours, and were left out"
            self.outcome.hear(chain([Note(text)]))
