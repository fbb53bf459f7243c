"""The lease: whether we may publish a shard, and whether the position that Kafka keeps fits this database.

The right to a shard is an advisory lock on the connection that also reads and writes the barrier, and an epoch that
rises with each takeover. A position is believed only if this database can prove the history that it speaks of
(rule 5): anything else stops the shard, for both ways of guessing lose or double events.
"""

from dataclasses import dataclass

from relay.window import Position, Progress, reaches, xmax

# Space of the advisory locks of shards, "outb" in ASCII; the second key is the shard.
LOCK_SPACE = 0x6F757462
FIRST_VERSION = 140000


@dataclass(frozen=True, slots=True)
class Installation:
    """Who this database says it is."""

    install: str
    gen: int
    sysid: int
    shards: int
    database: int | None = None  # its oid in the cluster; None: not known

    @property
    def progress_topic(self) -> str:
        """Return the topic of the positions; each shard has the partition of its number (rule 3)."""
        return f"outbox.{self.install}.progress"

    def transactional_id(self, shard: int) -> str:
        """Return the name under which Kafka fences predecessors."""
        return f"outbox.{self.install}.{self.gen}.{shard}"


@dataclass(frozen=True, slots=True)
class Term:
    """One relay's time on a shard, from raising the epoch until it is lost."""

    shard: int
    epoch: int
    bootstrapped: bool
    pruned_seq: int
    confirmed_seq: int
    confirmed_last: int | None = 0  # of that window, as `Position.last_id` has it


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the connected server says of itself."""

    version: int
    recovering: bool
    sysid: int
    cache: int
    backend_pid: int
    connected_pid: int
    plan_cache_mode: str = "force_custom_plan"
    database: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lease of a shard."""

    pid: int
    application_name: str
    since: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """The barrier row of a window: what PostgreSQL remembers of it."""

    a: str
    b: str
    epoch: int
    n: int


@dataclass(frozen=True, slots=True)
class DeadHead:
    """The dead letter that the events of a key wait for."""

    id: int
    aggregate_type: str
    aggregate_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The position fits; go on from there. *n* is what the barrier row says of its window."""

    position: Position
    n: int


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing was ever published: bootstrap."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """The position does not fit this database."""

    reason: str


PositionVerdict = Accepted | Absent | Unfit


def judge_history(facts: ServerFacts, installation: Installation) -> str | None:
    """Return why the connected server may not be read from; None if it may."""
    if facts.recovering:
        return "the connected PostgreSQL is a standby, whose snapshots miss running transactions"
    if facts.sysid != installation.sysid:
        return (
            f"the database belongs to another cluster: expected system identifier {installation.sysid} "
            f"(outbox.meta), got {facts.sysid}; it was restored or copied"
        )
    if installation.database not in {None, facts.database}:
        return (
            f"the database is a copy within its cluster: expected the oid {installation.database} (outbox.meta), "
            f"got {facts.database}; the original may be publishing under the same name"
        )
    if facts.cache != 1:
        return f"expected the sequence of outbox.event.id to have cache 1, got {facts.cache}: order would be lost"
    return None


def judge_position(
    record: Progress | None, *, foreign: bool, installation: Installation, term: Term, batch: Batch | None, now: str
) -> PositionVerdict:
    """Return whether the last record of our progress partition fits, by what PostgreSQL remembers (protocol 2.6, 2.7).

    *foreign* says that there is a record which is no progress record at all. *now* is the current snapshot.
    """
    if foreign:
        return Unfit(f"{installation.progress_topic} holds a record that no relay wrote")
    if record is None:
        if term.bootstrapped:
            return Unfit(
                f"{installation.progress_topic} has no record, although shard {term.shard} has published before"
            )
        return Absent()
    reason = (
        _foreign(record, installation, term)
        or _out_of_order(record, term)
        or _unproven(record, batch)
        or _ahead(record, now)
    )
    return Unfit(reason) if reason else Accepted(record.position, batch.n if batch else 0)


def _foreign(record: Progress, installation: Installation, term: Term) -> str | None:
    """Return whose record it is, if it is not ours."""
    got = (record.install, record.gen, record.sysid, record.shard)
    expected = (installation.install, installation.gen, installation.sysid, term.shard)
    if got == expected:
        return None
    return f"expected the last progress record to be of (install, generation, sysid, shard) {expected}, got {got}"


def _out_of_order(record: Progress, term: Term) -> str | None:
    """Return what the record knows that this database does not, or no longer."""
    if record.epoch > term.epoch:
        return f"the last progress record is of epoch {record.epoch}, PostgreSQL is at {term.epoch}: it lost history"
    if record.seq < term.pruned_seq:
        return f"the last progress record is of window {record.seq}, what precedes {term.pruned_seq} is pruned"
    if record.seq < term.confirmed_seq:
        return f"the last progress record is of window {record.seq}, {term.confirmed_seq} was confirmed: Kafka lost it"
    if record.seq == term.confirmed_seq and not reaches(record.last_id, term.confirmed_last):
        confirmed = "its end" if term.confirmed_last is None else f"id {term.confirmed_last}"
        return (
            f"the last progress record is of window {record.seq} up to id {record.last_id}, "
            f"{confirmed} was confirmed: Kafka lost it"
        )
    if record.seq > 0 and not term.bootstrapped:
        return f"the last progress record is of window {record.seq}, and shard {term.shard} was never bootstrapped"
    return None


def _unproven(record: Progress, batch: Batch | None) -> str | None:
    """Return what is wrong with the barrier row that must have preceded the record."""
    if batch is None:
        return f"outbox.batch has no row for window {record.seq}, which Kafka has committed: PostgreSQL lost history"
    if (batch.a, batch.b) != (record.a, record.b):
        return f"outbox.batch and the progress record disagree on the snapshots of window {record.seq}"
    # The snapshots alone do not tell: a standby and the primary it parted from count the same transaction ids. Only a
    # term that took up an unfinished window can have left its epoch on the row without a record of it.
    if batch.epoch < record.epoch or (record.last_id is None and batch.epoch != record.epoch):
        return (
            f"window {record.seq} was published in epoch {record.epoch}, "
            f"and outbox.batch has it of epoch {batch.epoch}: PostgreSQL lost history"
        )
    return None


def _ahead(record: Progress, now: str) -> str | None:
    """Return whether transaction ids that the record has seen are yet to come."""
    if xmax(now) < xmax(record.b):
        return f"the position has seen transaction {xmax(record.b)}, PostgreSQL is at {xmax(now)}: it went back"
    return None
