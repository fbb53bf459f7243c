"""What a hanging transaction was: committed or aborted, by what can prove it, and never by a guess. No I/O.

A transaction hangs when its coordinator has ended it, or never heard of it, and no marker says so on a partition that
holds its records. Nothing that is committed behind them is seen there any more. Any later marker of its producer id on
that partition ends it, with the outcome of that marker, which may be the wrong one. So the relay stops before it, and
an operator ends it with the outcome that is proven here:

- The mirror in `outbox.shard` has its position, or a later one: then its commit was answered clean, for only then the
  mirror is written.
- The coordinator's log. A producer of a relay writes one progress record in each transaction, and begins no further one
  after anything but a clean commit (rule 4): all its transactions were committed but for, perhaps, the last. So the
  number of the record among those of its producer tells which transaction it belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from relay.answers import Known, OpenTransaction
from relay.lease import Batch
from relay.window import Progress, reaches

# What an operator calls.
END_IT = "outbox relay hanging --end"


class Outcome(StrEnum):
    """How a transaction ended for its coordinator."""

    COMMITTED = "committed"
    ABORTED = "aborted"


class Status(Enum):
    """What an entry of the coordinator's log says; the numbers are Kafka's."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the coordinator's log."""

    producer_id: int
    epoch: int
    status: Status


@dataclass(frozen=True, slots=True)
class HangingTransaction:
    """A transaction that a partition has open, and that its coordinator will not end; *known* is what that says."""

    found: OpenTransaction
    known: Known | None

    def __str__(self) -> str:
        """Return where it hangs, whose it is, and what the coordinator says."""
        one = self.found
        said = "no coordinator knows its producer"
        if self.known is not None:
            said = f"its coordinator has {self.known.transactional_id} as {self.known.state}"
        return (
            f"a transaction of producer id {one.producer_id}, epoch {one.producer_epoch} hangs on "
            f"{one.topic}/{one.partition} from offset {one.start_offset} on; {said}"
        )


@dataclass(frozen=True, slots=True)
class Mirror:
    """What `outbox.shard` knows to be confirmed."""

    bootstrapped: bool
    seq: int
    last_id: int | None

    def reaches(self, record: Progress) -> bool:
        """Return whether the transaction with *record* had been answered clean when the mirror was written."""
        if not self.bootstrapped:
            return False  # it is empty, and reads like the beginning
        if self.seq != record.seq:
            return self.seq > record.seq
        return reaches(self.last_id, record.last_id)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What hangs on the partitions of one shard, and how it has to end; no *outcome*: it could not be proven."""

    shard: int
    hanging: tuple[HangingTransaction, ...]
    outcome: Outcome | None
    reason: str

    def __str__(self) -> str:
        """Return what hangs, how it ended, and which command ends it that way."""
        what = "; ".join(map(str, self.hanging))
        if self.outcome is None:
            return f"{what}; whether it was committed is not proven: {self.reason}"
        return f"{what}; it was {self.outcome}: {self.reason}; to end it so: {END_IT}"


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What speaks for one outcome or the other: *records* are those of the transaction on the progress partition."""

    records: tuple[Progress | None, ...]  # None for one that no relay wrote
    batch: Batch | None  # the barrier of the last one's window
    mirror: Mirror
    log: tuple[Entry, ...]


def judge(found: OpenTransaction, witnesses: Witnesses) -> tuple[Outcome | None, str]:
    """Return how *found* on a progress partition has ended, and by what that is proven; None if it is not."""
    records = [record for record in witnesses.records if record is not None]
    if len(records) < len(witnesses.records):
        return None, "it holds records that no relay wrote"
    if not records:
        return None, "none of its records is left"
    last = records[-1]
    if witnesses.mirror.reaches(last) and _same_history(last, witnesses.batch):
        return Outcome.COMMITTED, f"outbox.shard confirms its position, window {last.seq}: it was answered clean"
    return judge_log(found, len(records), witnesses.log)


def _same_history(record: Progress, batch: Batch | None) -> bool:
    """Return whether the mirror speaks of the same windows as *record*."""
    return batch is not None and (batch.a, batch.b) == (record.a, record.b) and batch.epoch >= record.epoch


def judge_log(found: OpenTransaction, records: int, log: Sequence[Entry]) -> tuple[Outcome | None, str]:
    """Return what the coordinator's log proves of the last *records* of *found*'s producer and epoch.

    Without *records* it is not known which of its transactions they are of.
    """
    complete, outcomes = _transactions(found, log)
    counted = complete and records > 0
    if reason := _unfit(outcomes):
        return None, reason
    if counted and found.last_sequence >= len(outcomes):
        return None, "the coordinator's log has fewer transactions than its producer has records"
    if outcomes[-1] is Outcome.COMMITTED:
        return Outcome.COMMITTED, "the coordinator's log has every transaction of its producer and epoch as committed"
    if counted and found.last_sequence < len(outcomes) - 1:
        return Outcome.COMMITTED, "the coordinator's log has a later transaction of its producer and epoch"
    if counted and records == 1:
        return Outcome.ABORTED, "the coordinator's log has it as aborted"
    return None, "the coordinator's log has the last of its producer's transactions as aborted, and this may be another"


def _unfit(outcomes: Sequence[Outcome | None]) -> str | None:
    """Return why nothing can be read out of *outcomes*."""
    if not outcomes:
        return "the coordinator's log has no transaction of its producer and epoch, or may not be read"
    if outcomes[-1] is None:
        return "its producer has a transaction that the coordinator has not ended yet"
    if any(outcome is not Outcome.COMMITTED for outcome in outcomes[:-1]):
        return "the coordinator's log has its producer go on behind an abort, which no relay does"
    return None


def _transactions(found: OpenTransaction, log: Sequence[Entry]) -> tuple[bool, list[Outcome | None]]:
    """Return whether *log* has the beginning of the producer's epoch, and how each transaction of that epoch ended."""
    complete = begun = False
    outcomes: list[Outcome | None] = []
    for entry in log:
        # Who fences a producer ends its transaction under the epoch after its own.
        later = entry.epoch - found.producer_epoch
        if entry.producer_id != found.producer_id or later not in (0, 1):
            continue
        if entry.status is Status.EMPTY and later == 0:
            complete, begun, outcomes = True, False, []
        elif entry.status is Status.ONGOING and later == 0:
            outcomes += [] if begun else [None]
            begun = True
        elif begun and entry.status is Status.PREPARE_COMMIT and later == 0:
            outcomes[-1], begun = Outcome.COMMITTED, False
        elif begun and entry.status is Status.PREPARE_ABORT:
            outcomes[-1], begun = Outcome.ABORTED, False
    return complete, outcomes
