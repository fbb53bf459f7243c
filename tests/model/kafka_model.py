"""Kafka's transactions, as far as the protocol rests on them: epochs, open transactions, the last stable offset.

There is one partition of events and one of positions. An entry of a log belongs to a transaction that is open, or is
committed; what was aborted is left out, for nobody ever sees it. Rule 4 is in `deliver_late`: an EndTxn of the current
epoch ends whatever transaction is then open (the client has no KIP-890 part 2). What is assumed here of a broker is
shown on a real one by test_assumptions_of_kafka.py.
"""

from collections.abc import Iterable
from typing import NamedTuple

# The owner of an entry that is committed; every other is the number of a transactional id.
COMMITTED = -1
# Its transaction was decided, and the marker never came: a hanging transaction (a broker that lost it).
HANGING = -2

EVENTS, PROGRESS = 0, 1

# Kafka's numbers, as the client reports them.
FENCED = -144
INVALID_TXN_STATE = 48


class Entry(NamedTuple):
    """A record in a log, and whose transaction it belongs to."""

    owner: int
    value: object


class LateEnd(NamedTuple):
    """An EndTxn(commit) that is still on its way."""

    producer: int
    epoch: int


class Transaction(NamedTuple):
    """What became visible together."""

    producer: int
    events: tuple[object, ...]
    progress: tuple[object, ...]


class Kafka:
    """One cluster; producers are numbered by their transactional id."""

    __slots__ = ("added", "deciding", "epochs", "finished", "late", "logs", "slow_markers")

    def __init__(self, producers: int = 1, *, slow_markers: bool = False) -> None:
        """Have *producers* transactional ids; with *slow_markers* a decision reaches the partitions in its own time."""
        self.epochs = (0,) * producers
        self.logs: tuple[tuple[Entry, ...], tuple[Entry, ...]] = ((), ())
        self.added: tuple[frozenset[int], ...] = (frozenset(),) * producers  # partitions of the open transaction
        self.deciding: tuple[bool | None, ...] = (None,) * producers  # decided, markers not yet written
        self.late: tuple[LateEnd, ...] = ()
        self.slow_markers = slow_markers
        self.finished: list[Transaction] = []  # what was committed since somebody looked

    def copy(self) -> "Kafka":
        """Return a copy that shares what is immutable."""
        made = Kafka.__new__(Kafka)
        made.epochs, made.logs, made.added, made.deciding = self.epochs, self.logs, self.added, self.deciding
        made.late, made.slow_markers, made.finished = self.late, self.slow_markers, []
        return made

    def key(self) -> tuple[object, ...]:
        """Return what tells two states apart; of epochs only what is late depends on, relays tell of their own."""
        late = tuple(sorted(end.producer for end in self.late if end.epoch == self.epochs[end.producer]))
        return self.logs, self.added, self.deciding, late

    # ---------------------------------------------------------------------------------------------- producers

    def initialise(self, producer: int) -> int | None:
        """Fence predecessors, abort what they left open, and return the new epoch; None while markers are written."""
        if self.deciding[producer] is not None:
            return None
        if self.added[producer]:
            # The coordinator raises the epoch before it aborts: the predecessor's EndTxn is refused from here on.
            self.time_out(producer)
            if self.slow_markers:
                return None
        self.epochs = _with(self.epochs, producer, self.epochs[producer] + 1)
        self.late = tuple(end for end in self.late if end.producer != producer)
        return self.epochs[producer]

    def busy(self, producer: int) -> bool:
        """Return whether a new transaction has to wait for the markers of the one before (CONCURRENT_TRANSACTIONS)."""
        return self.deciding[producer] is not None

    def produce(self, producer: int, epoch: int, *, partition: int, value: object, first: bool) -> int | None:
        """Append a record; *first*: the client has just added the partition. Return the error's code, if any."""
        if epoch != self.epochs[producer]:
            return FENCED
        if not first and partition not in self.added[producer]:
            return INVALID_TXN_STATE  # a late EndTxn has ended the transaction that the client believes in
        self.added = _with(self.added, producer, self.added[producer] | {partition})
        self._append(partition, Entry(producer, value))
        return None

    def end(self, producer: int, epoch: int) -> int | None:
        """Commit; return the error's code, if any. A transaction that is not open was committed before: no error."""
        if epoch != self.epochs[producer]:
            return FENCED
        if self.added[producer]:
            self._decide(producer, commit=True)
        return None

    def deliver_late(self, end: LateEnd) -> None:
        """Have *end* arrive: whatever transaction of its epoch is open is committed (rule 4)."""
        self.late = _without(self.late, end)
        self.end(end.producer, end.epoch)

    def time_out(self, producer: int) -> None:
        """Abort the open transaction and fence its producer, as the coordinator does when its time is over."""
        self._decide(producer, commit=False)
        self.epochs = _with(self.epochs, producer, self.epochs[producer] + 1)

    def time_out_all(self) -> None:
        """Abort every transaction that is open, as happens when nobody ends it."""
        for producer in (number for number, added in enumerate(self.added) if added):
            self.time_out(producer)

    def _decide(self, producer: int, *, commit: bool) -> None:
        self.added = _with(self.added, producer, frozenset())
        if self.slow_markers:
            self.deciding = _with(self.deciding, producer, commit)
        else:
            self._mark(producer, commit=commit)

    def write_markers(self, producer: int) -> None:
        """Have the decision reach the partitions."""
        commit = self.deciding[producer]
        assert commit is not None
        self.deciding = _with(self.deciding, producer, None)
        self._mark(producer, commit=commit)

    def lose_markers(self, producer: int) -> None:
        """Have the coordinator believe that the markers were written, and the partitions never see them."""
        self.deciding = _with(self.deciding, producer, None)
        self.logs = _by_partition(_owned(log, producer, HANGING) for log in self.logs)

    def resolve_hanging(self, *, commit: bool) -> None:
        """End what hangs by hand."""
        if commit:
            self.logs = _by_partition(_owned(log, HANGING, COMMITTED) for log in self.logs)
        else:
            self.logs = _by_partition(tuple(one for one in log if one.owner != HANGING) for log in self.logs)

    def _mark(self, producer: int, *, commit: bool) -> None:
        if commit:
            events, progress = (tuple(one.value for one in log if one.owner == producer) for log in self.logs)
            self.finished.append(Transaction(producer, events, progress))
            self.logs = _by_partition(_owned(log, producer, COMMITTED) for log in self.logs)
        else:
            self.logs = _by_partition(tuple(one for one in log if one.owner != producer) for log in self.logs)

    def _append(self, partition: int, entry: Entry) -> None:
        logs = list(self.logs)
        logs[partition] = (*logs[partition], entry)
        self.logs = _by_partition(logs)

    # ------------------------------------------------------------------------------------------------ readers

    def end_offset(self, partition: int) -> int:
        """Return the uncommitted end of *partition*."""
        return len(self.logs[partition])

    def last_stable_offset(self, partition: int) -> int:
        """Return the offset of the first record whose transaction is undecided."""
        return next(
            (n for n, one in enumerate(self.logs[partition]) if one.owner != COMMITTED), self.end_offset(partition)
        )

    def read_committed(self, partition: int) -> tuple[object, ...]:
        """Return what a `read_committed` consumer sees."""
        return tuple(one.value for one in self.logs[partition][: self.last_stable_offset(partition)])


def _with(values: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]  # of whatever it was
    return (*values[:index], value, *values[index + 1 :])


def _without(late: tuple[LateEnd, ...], end: LateEnd) -> tuple[LateEnd, ...]:
    at = late.index(end)
    return late[:at] + late[at + 1 :]


def _owned(log: tuple[Entry, ...], owner: int, then: int) -> tuple[Entry, ...]:
    return tuple(Entry(then, one.value) if one.owner == owner else one for one in log)


def _by_partition(logs: Iterable[tuple[Entry, ...]]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    events, progress = logs
    return events, progress
