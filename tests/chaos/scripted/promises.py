"""What the mailer promises, as decisions: rows of PostgreSQL and the mail server's register in, violations out; no I/O.

Each rule is judged by the server's own account and not by the mailer's: what was accepted is what the server kept.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.chaos.scripted.register import Transaction, Turned
from tests.support.promises import Violation

FINAL = frozenset(("sent", "dead", "in_doubt", "suppressed", "expired", "cancelled"))
# From mail.md 3, and not from mailer.delivery: what a delivery may do.
MOVES = frozenset(
    {
        *(("queued", to) for to in ("claimed", "suppressed", "expired", "dead", "cancelled")),
        *(("claimed", to) for to in ("sending", "queued", "dead")),
        *(("sending", to) for to in ("sent", "queued", "dead", "in_doubt")),
        ("in_doubt", "queued"),  # the policy `resend`, once a cycle
        ("queued", "in_doubt"),  # that, or an operator's redrive, and its time was over before it was sent again
        # An operator says of what is in doubt that it arrived, or that it shall not.
        ("in_doubt", "sent"),
        ("in_doubt", "cancelled"),
    }
)
_REDRIVEN = frozenset(("in_doubt", "dead", "suppressed", "expired"))
LOST_WORKER = "unknown"
# Phases in which the server knows whom the message was for.
_NAMED = frozenset(("rcpt", "data", "dot", "done"))
# What the client says when its patience was over: on a busy machine also of a server that answered.
_OUT_OF_TIME = ("no reply in time", "the time for this attempt is used up")
# A message that is sent may have been tried at two transports when the worker died.
_TRIES_AT_ONCE = 2


class Kind(StrEnum):
    """Which promise is broken."""

    OWED = "not one delivery per event and mail"
    UNSETTLED = "not in a final state, or a lease is left"
    DOUBLED = "accepted more often than in_doubt says"
    BYTES = "other bytes or another Message-ID"
    SENT = "sent, and no server has it"
    DEAD = "given up, and a server has it"
    DOUBTS = "more in doubt than a window"
    PERMITS = "more permits than the cap"
    ATTEMPTS = "attempts and the server's register disagree"
    LETTERS = "no dead letter, or one that does not say why"
    MOVED = "a move that no delivery may make"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of outbox.delivery."""

    id: int
    event_id: str
    recipient: str
    message_id: str
    state: str
    cycle: int
    attempt: int
    policy: str
    resent: bool = False
    leased: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of outbox.attempt."""

    delivery: int
    cycle: int
    attempt: int
    transport: str
    phase: str
    code: int | None
    outcome: str
    detail: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of outbox.dead_letter."""

    stage: str
    reason: str
    detail: str
    event_id: str | None
    delivery: int | None = None
    cycle: int | None = None
    resolved: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a delivery's state, as a trigger saw it."""

    delivery: int
    former: str
    state: str
    cycle: int
    former_cycle: int


@dataclass(frozen=True, slots=True)
class Incidents:
    """What was done to workers, by the worker's name: each may leave one window in doubt."""

    by_worker: Mapping[str, int] = field(default_factory=dict)
    window: int = 8


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that is known in the end."""

    owed: Mapping[str, str]  # event id -> recipient, of committed events of which a mail can be made
    malformed: frozenset[str]  # ids of committed events of which none can be made
    deliveries: Sequence[Delivery]
    attempts: Sequence[Attempt]
    letters: Sequence[Letter]
    transactions: Sequence[Transaction]
    turned: Sequence[Turned] = ()
    moves: Sequence[Move] = ()
    settled_by_operator: frozenset[int] = frozenset()
    incidents: Incidents = field(default_factory=Incidents)
    permits: Mapping[str, int] = field(default_factory=dict)  # the most that were outstanding, by lane
    permits_cap: int = 8


def judge(account: Account) -> list[Violation]:
    """Return everything that is wrong."""
    by_recipient: dict[str, list[Transaction]] = defaultdict(list)
    for transaction in account.transactions:
        by_recipient[transaction.recipient].append(transaction)
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in account.attempts:
        attempts[attempt.delivery].append(attempt)
    found = [*_owed(account), *_strangers(account, by_recipient), *_doubts(account), *_permits(account)]
    found += [*_turned_away(account), *_letters(account), *_moves(account)]
    for delivery in account.deliveries:
        served = by_recipient[delivery.recipient]
        found += _of_one(
            delivery, attempts[delivery.id], served, by_operator=delivery.id in account.settled_by_operator
        )
    return found


def _of_one(
    delivery: Delivery, attempts: Sequence[Attempt], served: Sequence[Transaction], *, by_operator: bool
) -> Iterator[Violation]:
    yield from _settled(delivery)
    yield from _accepted(delivery, attempts, served, by_operator=by_operator)
    yield from _same_message(delivery, served)
    yield from _numbered(delivery, attempts)
    yield from _agreeing(delivery, attempts, served)


def _owed(account: Account) -> Iterator[Violation]:
    """Yield what is wrong with the consumer's work: one delivery per event and mail, whatever was read how often."""
    made = Counter(delivery.event_id for delivery in account.deliveries)
    kept = {letter.event_id for letter in account.letters if letter.stage == "consume"}
    for event_id, recipient in account.owed.items():
        if made[event_id] != 1:
            yield Violation(Kind.OWED, f"event {event_id} for {recipient} has {made[event_id]} deliveries")
    for stranger in made.keys() - account.owed.keys():
        yield Violation(Kind.OWED, f"a delivery of event {stranger}, which was not committed")
    for silent in account.malformed - kept:
        yield Violation(Kind.LETTERS, f"event {silent} is malformed, and no dead letter of stage consume says so")
    for other in kept - account.malformed:
        yield Violation(Kind.LETTERS, f"event {other} is a dead letter of stage consume, and is not malformed")


def _strangers(account: Account, served: Mapping[str, Sequence[Transaction]]) -> Iterator[Violation]:
    known = {delivery.recipient for delivery in account.deliveries}
    for recipient in served.keys() - known:
        yield Violation(Kind.SENT, f"{recipient} was mailed, and no delivery is for it")


def _settled(delivery: Delivery) -> Iterator[Violation]:
    if delivery.state not in FINAL:
        yield Violation(Kind.UNSETTLED, f"delivery {delivery.id} is {delivery.state}")
    if delivery.leased:
        yield Violation(Kind.UNSETTLED, f"delivery {delivery.id} ({delivery.state}) still has a lease")
    if delivery.state == "in_doubt" and delivery.policy == "resend" and not delivery.resent:
        yield Violation(Kind.UNSETTLED, f"delivery {delivery.id} is in doubt, its policy is resend, and it was not")


def _accepted(
    delivery: Delivery, attempts: Sequence[Attempt], served: Sequence[Transaction], *, by_operator: bool
) -> Iterator[Violation]:
    """Yield what is wrong between what servers have of *delivery* and what it says itself."""
    kept = sum(one.kept for one in served)
    doubtful = {one.cycle for one in attempts if one.outcome == "in_doubt"}
    again = len(doubtful) if delivery.policy == "resend" else 0
    # In a cycle that ended in doubt one message may be with a server, and the next cycle was an operator's decision.
    ended_well = {one.cycle for one in attempts if one.outcome == "accepted"}
    allowed = len(doubtful | ended_well) + again
    if kept > allowed:
        text = f"delivery {delivery.id} ({delivery.policy}) was accepted {kept} times, in doubt in cycles {doubtful}"
        yield Violation(Kind.DOUBLED, text)
    twice = [cycle for cycle, n in Counter(o.cycle for o in attempts if o.outcome == "accepted").items() if n > 1]
    if twice:
        yield Violation(Kind.DOUBLED, f"delivery {delivery.id} has two accepted attempts in cycles {twice}")
    for cycle, doubts in Counter(one.cycle for one in attempts if one.outcome == "in_doubt").items():
        if doubts > (2 if delivery.policy == "resend" else 1):
            text = f"delivery {delivery.id} ({delivery.policy}) was in doubt {doubts} times in cycle {cycle}"
            yield Violation(Kind.DOUBLED, text)
    if delivery.state == "sent" and not kept and not by_operator:
        yield Violation(Kind.SENT, f"delivery {delivery.id} for {delivery.recipient} is sent, and no server took it")
    if delivery.state in ("dead", "expired", "suppressed", "cancelled") and kept and not doubtful:
        yield Violation(Kind.DEAD, f"delivery {delivery.id} is {delivery.state}, and was accepted {kept} times")


def _same_message(delivery: Delivery, served: Sequence[Transaction]) -> Iterator[Violation]:
    ids = {one.message_id for one in served if one.message_id is not None} - {delivery.message_id}
    if ids:
        yield Violation(Kind.BYTES, f"delivery {delivery.id} is {delivery.message_id}, and was sent as {sorted(ids)}")
    digests = {one.digest for one in served if one.digest is not None}
    # A redrive renders anew.
    if len(digests) > delivery.cycle:
        yield Violation(
            Kind.BYTES, f"delivery {delivery.id} was sent as {len(digests)} messages in {delivery.cycle} cycles"
        )


def _numbered(delivery: Delivery, attempts: Sequence[Attempt]) -> Iterator[Violation]:
    """Yield where attempts are not numbered from 1 without a gap, or the delivery counts others."""
    by_cycle: dict[int, set[int]] = defaultdict(set)
    for one in attempts:
        by_cycle[one.cycle].add(one.attempt)
    for cycle, numbers in by_cycle.items():
        if numbers != set(range(1, len(numbers) + 1)):
            yield Violation(Kind.ATTEMPTS, f"delivery {delivery.id} has attempts {sorted(numbers)} in cycle {cycle}")
    if delivery.attempt != len(by_cycle[delivery.cycle]):
        made = len(by_cycle[delivery.cycle])
        yield Violation(Kind.ATTEMPTS, f"delivery {delivery.id} counts {delivery.attempt} attempts, and has {made}")


def _agreeing(delivery: Delivery, attempts: Sequence[Attempt], served: Sequence[Transaction]) -> Iterator[Violation]:
    """Yield each attempt that the server knows nothing of, and what it did of which there is no attempt."""
    left = list(served)
    loose: list[Attempt] = []
    for one in attempts:
        if one.phase == LOST_WORKER:
            continue
        exact = next((t for t in left if _says(one, t)), None) if one.phase in _NAMED else None
        if exact is not None:
            left.remove(exact)
        elif one.phase in _NAMED or _gave_up(one):
            loose.append(one)
    for one in loose:
        near = next((t for t in left if _gave_up(one) and t.transport == one.transport), None)
        if near is not None:
            left.remove(near)
        elif one.phase in _NAMED:
            text = f"delivery {delivery.id} has an attempt at {one.transport} ({one.phase}, {one.code}, {one.detail!r})"
            yield Violation(Kind.ATTEMPTS, f"{text}, of which the server knows nothing")
    left = [one for one in left if not _left_early(one)]
    lost = sum(one.phase == LOST_WORKER for one in attempts)
    if len(left) > lost * _TRIES_AT_ONCE:
        seen = [(t.transport, sorted(t.phases), t.code, t.met) for t in left]
        yield Violation(Kind.ATTEMPTS, f"delivery {delivery.id} has no attempt for {seen}, and {lost} of a lost worker")


def _says(attempt: Attempt, transaction: Transaction) -> bool:
    return (
        attempt.transport == transaction.transport
        and attempt.phase in transaction.phases
        and attempt.code == transaction.code
        and (attempt.phase != "done" or transaction.kept)
    )


def _left_early(transaction: Transaction) -> bool:
    """Return whether the client went away by itself before the body.

    With pipelining, RCPT comes with MAIL: a session that was used before and does not answer MAIL in time is replaced
    by a new one, which costs no attempt.
    """
    return not transaction.phases and transaction.digest is None and not transaction.kept


def _gave_up(attempt: Attempt) -> bool:
    return attempt.code is None and attempt.outcome != "accepted" and attempt.detail in _OUT_OF_TIME


def _turned_away(account: Account) -> Iterator[Violation]:
    """Yield refusals before RCPT that attempts have and the server has not given."""
    given = Counter((one.transport, phase, one.code) for one in account.turned for phase in one.phases)
    noted = Counter(
        (one.transport, one.phase, one.code)
        for one in account.attempts
        if one.phase not in _NAMED and one.phase != LOST_WORKER and one.code is not None
    )
    for key, count in noted.items():
        if count > given[key]:
            yield Violation(Kind.ATTEMPTS, f"{count} attempts say {key}, and the server said so {given[key]} times")


def _doubts(account: Account) -> Iterator[Violation]:
    """Yield workers that left more in doubt than a window for each time that something was done to them."""
    lost = Counter(one.worker for one in account.attempts if one.phase == LOST_WORKER)
    for worker, count in lost.items():
        incidents = account.incidents.by_worker.get(worker, 0)
        if count > incidents * account.incidents.window:
            yield Violation(Kind.DOUBTS, f"worker {worker} left {count} in doubt, and was lost {incidents} times")


def _permits(account: Account) -> Iterator[Violation]:
    for lane, most in account.permits.items():
        if most > account.permits_cap:
            yield Violation(Kind.PERMITS, f"lane {lane} had {most} permits outstanding, of {account.permits_cap}")


def _letters(account: Account) -> Iterator[Violation]:
    """Yield deliveries whose end has no dead letter of its own, letters without a reason, and letters too many."""
    for letter in account.letters:
        if not letter.reason.strip() or not letter.detail.strip():
            yield Violation(Kind.LETTERS, f"a dead letter of event {letter.event_id} does not say why")
    open_ = {
        (letter.delivery, letter.cycle): letter.reason
        for letter in account.letters
        if letter.stage == "deliver" and not letter.resolved
    }
    for delivery in account.deliveries:
        reason = open_.pop((delivery.id, delivery.cycle), None)
        needs = delivery.state in ("dead", "expired", "in_doubt")
        if needs and reason is None:
            yield Violation(Kind.LETTERS, f"delivery {delivery.id} is {delivery.state}, and no dead letter says why")
        elif not needs and reason is not None:
            yield Violation(
                Kind.LETTERS, f"delivery {delivery.id} is {delivery.state}, and a dead letter is open: {reason}"
            )
        elif (delivery.state == "in_doubt") != (reason == "in_doubt"):
            yield Violation(
                Kind.LETTERS, f"delivery {delivery.id} is {delivery.state}, and its dead letter says {reason}"
            )
    for delivery_id, cycle in open_:
        yield Violation(Kind.LETTERS, f"a dead letter of delivery {delivery_id}, cycle {cycle}, was left open")


def _moves(account: Account) -> Iterator[Violation]:
    """Yield moves that no delivery may make."""
    policies = {delivery.id: delivery.policy for delivery in account.deliveries}
    resent: set[tuple[int, int]] = set()
    doubted: set[int] = set()
    for move in account.moves:
        legal = _legal(move, account)
        if (move.former, move.state) == ("queued", "in_doubt"):
            legal = move.delivery in doubted
        if move.state == "in_doubt":
            doubted.add(move.delivery)
        if move.cycle == move.former_cycle and (move.former, move.state) == ("in_doubt", "queued"):
            legal = policies.get(move.delivery) == "resend" and (move.delivery, move.cycle) not in resent
            resent.add((move.delivery, move.cycle))
        if not legal:
            cycles = f"cycle {move.former_cycle} to {move.cycle}"
            yield Violation(Kind.MOVED, f"delivery {move.delivery} went from {move.former} to {move.state} ({cycles})")


def _legal(move: Move, account: Account) -> bool:
    if move.cycle != move.former_cycle:  # an operator's, and it begins in the queue
        return move.state == "queued" and move.former in _REDRIVEN and move.cycle == move.former_cycle + 1
    if (move.former, move.state) in (("in_doubt", "sent"), ("in_doubt", "cancelled")):
        return move.delivery in account.settled_by_operator
    return (move.former, move.state) in MOVES


def counted(violations: Iterable[Violation]) -> dict[str, int]:
    """Return how often each promise was broken: a line for each, also for those that held."""
    counts = Counter(violation.kind for violation in violations)
    return {str(kind): counts[kind] for kind in Kind}
