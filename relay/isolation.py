"""What becomes of events that cannot be published: they are found alone, kept with their reason, and let go again.

A row is given up only after it has failed alone, twice, for a reason of its own (rule 8), and only while the epoch
is ours (rule 9). With the policy `park-key` later events of its key wait behind it, so that order survives a redrive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from relay.errors import BlockedError, RecordRefusedError
from relay.lease import DeadHead, Term
from relay.leases import DeadLetter, Session
from relay.machine import HELD_BEHIND, POISON, Policy, Slice, Suspicion, next_slice, policy_for, split_parked
from relay.publisher import Publisher
from relay.telemetry import Emit
from relay.window import Page, Row

# How often a release tries to find no host in the middle of an insert, before it trusts the lock of the key alone.
_LOCK_TRIES = 12
# A row is tried with others, and then twice alone.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Policies:
    """What happens to poison, by topic."""

    default: Policy
    by_topic: Mapping[str, Policy]

    def of(self, topic: str) -> Policy:
        """Return the policy of *topic*."""
        return policy_for(topic, policies=self.by_topic, default=self.default)


class Isolation:
    """Suspects and parked keys of one term."""

    def __init__(
        self, session: Session, term: Term, *, parked: dict[tuple[str, str], int], policies: Policies, emit: Emit
    ) -> None:
        """Begin with the *parked* keys that the database knows."""
        self.term = term  # under a new epoch after each dead letter
        self._session = session
        self._policies = policies
        self._emit = emit
        self._parked = parked
        self._suspicion = Suspicion()
        self._reasons: dict[int, RecordRefusedError] = {}
        self._postponed: dict[int, int] = {}

    @property
    def parking(self) -> bool:
        """Return whether any key is parked."""
        return bool(self._parked)

    def next_slice(self, page: Page) -> Slice:
        """Return which rows of *page* go into the next transaction."""
        return next_slice(page.rows, self._suspicion.suspects)

    def guilty(self, piece: Slice) -> bool:
        """Return whether *piece* is one row that has failed alone often enough."""
        return piece.alone and self._suspicion.guilty(piece.rows[0].id)

    def code(self, row: Row) -> int:
        """Return the code that *row* failed with."""
        return self._reasons[row.id].code

    def suspect(self, piece: Slice, errors: Mapping[int, RecordRefusedError]) -> None:
        """Note which rows are to be tried alone; of one that was, that it failed so."""
        self._reasons.update(errors)
        first = next(iter(errors.values()))
        facts = {"reason": POISON.get(first.code, str(first.code)), "detail": first.detail}
        if piece.alone:
            row = piece.rows[0]
            self._suspicion = self._suspicion.strike(row.id)
            self._emit("relay.event.struck", event_id=row.event.event_id, **facts)
        else:
            self._suspicion = self._suspicion.accuse(errors)
            self._emit("relay.event.suspected", count=len(errors), **facts)

    def clear(self, rows: tuple[Row, ...]) -> None:
        """Note that *rows* were published."""
        if self._suspicion.suspects:
            self._suspicion = self._suspicion.clear(row.id for row in rows)
            for row in rows:
                self._reasons.pop(row.id, None)

    def retry(self, row: Row) -> None:
        """Have *row* tried alone again, from the first strike."""
        self._suspicion = self._suspicion.clear([row.id]).accuse([row.id])

    def give_up(self, row: Row, topic: str) -> None:
        """Keep *row* as a dead letter, as the policy of *topic* says; raise BlockedError if that is `block`."""
        error = self._reasons.pop(row.id)
        reason, policy = POISON[error.code], self._policies.of(topic)
        if policy == "block":
            self._reasons[row.id] = error
            raise BlockedError(self.term.shard, row.event.event_id, topic, f"{reason}: {error.detail}")
        parks = policy == "park-key"
        written = self._keep([DeadLetter(row, topic)], reason=reason, detail=error.detail, parks=parks, attempts=_TRIES)
        if parks and row.id in written:
            self._parked[row.key] = written[row.id]
        self._suspicion = self._suspicion.clear([row.id])
        self._emit("relay.dead_letter.written", event_id=row.event.event_id, reason=reason, policy=policy, topic=topic)

    def hold_parked(self, page: Page, publisher: Publisher) -> Page:
        """Return *page* without the rows of parked keys; each of them is kept behind the head of its key."""
        rows, held = split_parked(page.rows, self._parked)
        if not held:
            return page
        letters = [DeadLetter(row, publisher.topic(row), behind=self._parked[row.key]) for row in held]
        detail = "an earlier event of the same key could not be published"
        self._keep(letters, reason=HELD_BEHIND, detail=detail, parks=False, attempts=0)
        self._suspicion = self._suspicion.clear(row.id for row in held)
        self._emit("relay.event.held", count=len(held))
        return replace(page, rows=rows)

    def _keep(
        self, letters: Sequence[DeadLetter], *, reason: str, detail: str, parks: bool, attempts: int
    ) -> Mapping[int, int]:
        """Write *letters*, and return the dead letter of each row id; the epoch that passes them by has still to begin.

        The barrier of their window may have been written before them. After a failover to a server that has the one and
        lacks the others, the position would pass them by: the new epoch has a barrier of its own, behind them.
        """
        written = self._session.write_dead_letters(
            self.term, letters, reason=reason, detail=detail, parks=parks, attempts=attempts
        )
        self.term = self._session.renew_epoch(self.term)
        self._emit("relay.epoch.renewed", epoch=self.term.epoch)
        return written

    def release(self, heads: list[DeadHead], *, a: str) -> bool:
        """Insert the events of resolved *heads* again, in order; return whether any was. Between two windows only."""
        released_any = False
        for head in heads:
            tries = self._postponed.get(head.id, 0)
            released = self._session.release_key(self.term, head, a=a, lock_table=tries < _LOCK_TRIES)
            if released is None:
                self._postponed[head.id] = tries + 1
                self._emit("relay.key.release_postponed", dead_letter=head.id, tries=tries + 1)
                continue
            self._postponed.pop(head.id, None)
            self._parked.pop((head.aggregate_type, head.aggregate_id), None)
            self._emit("relay.key.released", dead_letter=head.id, count=released)
            released_any = True
        return released_any
