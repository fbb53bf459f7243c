"""What a relay does next: the states of a shard, and the decisions between them. No I/O.

STANDING_BY --granted--> RENEWING
STANDING_BY --refused--> STANDING_BY
STANDING_BY --stopping--> STOPPED
STANDING_BY --unfit--> HALTED
RENEWING --positioned--> READING
RENEWING --failed--> RENEWING
RENEWING --lost--> STANDING_BY
RENEWING --unfit--> HALTED
RENEWING --stopping--> STOPPED
READING --found--> PUBLISHING
READING --empty--> READING
READING --unclean--> RENEWING
READING --lost--> STANDING_BY
READING --unfit--> HALTED
READING --stopping--> STOPPED
PUBLISHING --clean--> READING
PUBLISHING --gave_up--> READING
PUBLISHING --unclean--> RENEWING
PUBLISHING --blocked--> RENEWING
PUBLISHING --lost--> STANDING_BY
PUBLISHING --unfit--> HALTED
PUBLISHING --stopping--> STOPPED

Two rules carry the promise. A transaction counts only when it is *clean* (rule 4); after anything else Kafka is asked
where we are. And an event is given up only when it failed alone, twice, for a reason that is its own (rule 8).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from relay.window import Row


class State(StrEnum):
    """Where a shard is."""

    STANDING_BY = "standing_by"
    RENEWING = "renewing"
    READING = "reading"
    PUBLISHING = "publishing"
    HALTED = "halted"
    STOPPED = "stopped"


class Signal(StrEnum):
    """What came of a step."""

    GRANTED = "granted"
    REFUSED = "refused"
    POSITIONED = "positioned"
    FAILED = "failed"
    FOUND = "found"
    EMPTY = "empty"
    CLEAN = "clean"
    UNCLEAN = "unclean"
    GAVE_UP = "gave_up"
    BLOCKED = "blocked"
    LOST = "lost"
    UNFIT = "unfit"
    STOPPING = "stopping"


TRANSITIONS: Mapping[State, Mapping[Signal, State]] = {
    State.STANDING_BY: {
        Signal.GRANTED: State.RENEWING,
        Signal.REFUSED: State.STANDING_BY,
        Signal.STOPPING: State.STOPPED,
        Signal.UNFIT: State.HALTED,
    },
    State.RENEWING: {
        Signal.POSITIONED: State.READING,
        Signal.FAILED: State.RENEWING,
        Signal.LOST: State.STANDING_BY,
        Signal.UNFIT: State.HALTED,
        Signal.STOPPING: State.STOPPED,
    },
    State.READING: {
        Signal.FOUND: State.PUBLISHING,
        Signal.EMPTY: State.READING,
        Signal.UNCLEAN: State.RENEWING,
        Signal.LOST: State.STANDING_BY,
        Signal.UNFIT: State.HALTED,
        Signal.STOPPING: State.STOPPED,
    },
    State.PUBLISHING: {
        Signal.CLEAN: State.READING,
        Signal.GAVE_UP: State.READING,
        Signal.UNCLEAN: State.RENEWING,
        Signal.BLOCKED: State.RENEWING,
        Signal.LOST: State.STANDING_BY,
        Signal.UNFIT: State.HALTED,
        Signal.STOPPING: State.STOPPED,
    },
    State.HALTED: {},
    State.STOPPED: {},
}

# --------------------------------------------------------------------------------------------- clean, or not

# Seconds. `socket.timeout.ms`: a commit that took longer may have had its EndTxn sent twice (protocol 3).
SOCKET_TIMEOUT = 5.0
TIMED_OUT = -185  # librdkafka's own: the call did not end in the time that it was given


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen while a transaction ended.

    *answers*: the errors of the EndTxn answers in the client's log. *code*: of the exception, if there was one.
    *failures*: code of each delivery error, with the row ids it may have been.
    """

    answers: tuple[str, ...]
    seconds: float
    code: int | None = None
    problem: str = ""
    failures: tuple[tuple[int, frozenset[int]], ...] = ()


@dataclass(frozen=True, slots=True)
class Clean:
    """Committed in *seconds*, and nothing is left over from it."""

    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Unclean:
    """Perhaps committed; *suspects* are the rows to be tried alone, *code* is what the first of them met.

    *slow*: it took too long, and perhaps always will with so many rows.
    """

    reason: str
    suspects: frozenset[int] = frozenset()
    code: int | None = None
    slow: bool = False


def judge_commit(evidence: Evidence, rows: Collection[int]) -> Clean | Unclean:
    """Return whether a transaction with *rows* ended cleanly; the row ids that may be to blame, if it did not."""
    reason = _unclean_reason(evidence)
    if reason is None:
        return Clean(evidence.seconds)
    blamed = [(code, ids) for code, ids in evidence.failures if code in POISON]
    if blamed:
        return Unclean(reason, frozenset().union(*(ids for _, ids in blamed)), blamed[0][0])
    if evidence.code in POISON:
        # A topic we may not write to fails the whole transaction without naming a record.
        return Unclean(reason, frozenset(rows), evidence.code)
    return Unclean(reason, slow=evidence.code == TIMED_OUT or evidence.seconds >= SOCKET_TIMEOUT)


def _unclean_reason(evidence: Evidence) -> str | None:
    """Return what was not clean."""
    if evidence.code is not None:
        return evidence.problem
    if evidence.failures:
        return f"{len(evidence.failures)} records failed, the first with code {evidence.failures[0][0]}"
    if evidence.answers != ("NO_ERROR",):
        return f"expected one EndTxn answered without an error, got {list(evidence.answers)}"
    if evidence.seconds >= SOCKET_TIMEOUT:
        return f"the commit took {evidence.seconds:.1f} s, longer than the socket timeout of {SOCKET_TIMEOUT:.0f} s"
    return None


# ---------------------------------------------------------------------------------------------------- poison

Policy = Literal["block", "park-key", "skip"]

TOO_LARGE = 10
INVALID_TOPIC = 17
TOPIC_UNAUTHORISED = 29
UNKNOWN_TOPIC = -188  # librdkafka's own, also for a topic that the relay may not create
UNENCODABLE = -10_001  # ours: the envelope cannot write the event
# Rule 8: what a record can be itself to blame for. Everything else is the weather, and is waited for.
POISON: Mapping[int, str] = {
    TOO_LARGE: "payload_too_large",
    INVALID_TOPIC: "invalid_topic",
    TOPIC_UNAUTHORISED: "topic_unauthorised",
    32: "invalid_timestamp",
    44: "policy_violation",
    87: "invalid_record",
    UNKNOWN_TOPIC: "unknown_topic",
    -190: "unknown_partition",
    UNENCODABLE: "unencodable",
}
HELD_BEHIND = "held_behind"
# How often a suspect has to fail alone before it is given up.
STRIKES = 2


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Which rows are tried alone, and how often each has failed so. Lost with the process, and then found again."""

    suspects: frozenset[int] = frozenset()
    strikes: Mapping[int, int] = field(default_factory=dict)

    def accuse(self, rows: Iterable[int]) -> "Suspicion":
        """Return the suspicion with *rows* among the suspects."""
        return replace(self, suspects=self.suspects | frozenset(rows))

    def strike(self, row: int) -> "Suspicion":
        """Return the suspicion after *row* has failed alone."""
        return Suspicion(self.suspects | {row}, {**self.strikes, row: self.strikes.get(row, 0) + 1})

    def guilty(self, row: int) -> bool:
        """Return whether *row* has failed alone often enough."""
        return self.strikes.get(row, 0) >= STRIKES

    def clear(self, rows: Iterable[int]) -> "Suspicion":
        """Return the suspicion without *rows*, which were published or given up."""
        done = frozenset(rows)
        strikes = {row: count for row, count in self.strikes.items() if row not in done}
        return Suspicion(self.suspects - done, strikes)


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of a page that go into one transaction; *alone* when it is one suspect, on trial."""

    rows: tuple[Row, ...]
    alone: bool


def next_slice(rows: tuple[Row, ...], suspects: Collection[int]) -> Slice:
    """Return what goes into the next transaction: the rows before the first suspect, or that suspect alone."""
    if not suspects:
        return Slice(rows, alone=False)
    first = next((index for index, row in enumerate(rows) if row.id in suspects), None)
    if first is None:
        return Slice(rows, alone=False)
    return Slice(rows[:1], alone=True) if first == 0 else Slice(rows[:first], alone=False)


def split_parked(rows: tuple[Row, ...], parked: Collection[tuple[str, str]]) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows to publish, and those of parked keys, which are held back behind the head of their key."""
    if not parked:
        return rows, ()
    return tuple(row for row in rows if row.key not in parked), tuple(row for row in rows if row.key in parked)


def policy_for(topic: str, *, policies: Mapping[str, Policy], default: Policy) -> Policy:
    """Return what happens to poison for *topic*: an exact name goes before the longest prefix that ends with `*`."""
    if topic in policies:
        return policies[topic]
    prefixes = [name for name in policies if name.endswith("*") and topic.startswith(name[:-1])]
    return policies[max(prefixes, key=len)] if prefixes else default


# ---------------------------------------------------------------------------------------------------- pacing

# Seconds. Rule 14: no NOTIFY, which would serialise the commits of all hosts; ask often while something is likely.
POLL_SOON = 0.002
POLL_LATER = 0.050
POLL_IDLE = 0.250
# While events come this often the next one is near: doubling the pause would add half of it to every one's way.
BUSY_FOR = 0.1
IDLE_AFTER = 10.0


def next_pause(previous: float | None, *, idle_seconds: float) -> float:
    """Return how long to wait before looking again, after *idle_seconds* without an event."""
    if previous is None or idle_seconds < BUSY_FOR:
        return POLL_SOON
    longest = POLL_LATER if idle_seconds < IDLE_AFTER else POLL_IDLE
    return min(previous * 2, longest)


def retry_pause(failures: int) -> float:
    """Return how long to wait after the *failures*-th failure in a row: from 0.1 to 5 seconds."""
    return float(min(0.1 * 2 ** min(failures - 1, 10), 5.0))
