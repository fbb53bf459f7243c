"""What may be deleted: events and barrier rows that every shard has confirmed, and that nobody may still ask for.

Before anything goes, `pruned_seq` rises to the confirmed window and is committed: a position that is older than that is
not believed any more (protocol 2.6), so no relay can go back to where rows are missing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import errors

from relay.leases import Session

# Below the shards' own numbers in the space of locks: one process prunes at a time.
_LOCK = -1


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went."""

    events: int = 0
    batches: int = 0


class Retention:
    """Prunes in small statements that never make a host wait longer than 100 ms (rule 13)."""

    def __init__(self, session: Session, *, keep_seconds: float, rows: int) -> None:
        """Keep everything for *keep_seconds*; delete at most *rows* a statement."""
        self._session = session
        self._keep = keep_seconds
        self._rows = rows

    def prune(self, stopping: Callable[[], bool]) -> Pruned | None:
        """Delete what may go, and return how much; None if another relay is at it, or a lock was not free in time."""
        self._session.row("short_locks")
        if not self._session.try_lock(_LOCK):
            return None
        try:
            self._session.rows("prune_floor")
            return Pruned(self._prune_events(stopping), self._prune_batches(stopping))
        except errors.LockNotAvailable:
            return None
        finally:
            self._session.unlock(_LOCK)

    def _prune_events(self, stopping: Callable[[], bool]) -> int:
        """Walk up the ids until what is young; behind unresolved dead letters it goes on."""
        pruned, after = 0, 0
        while not stopping():
            chunk = self._session.one("prune_events", after=after, rows=self._rows, seconds=self._keep)
            pruned += chunk["pruned"]
            if chunk["young"] or chunk["seen"] < self._rows:
                break
            after = chunk["last"]
        return pruned

    def _prune_batches(self, stopping: Callable[[], bool]) -> int:
        pruned = 0
        while not stopping():
            chunk = self._session.one("prune_batches", rows=self._rows, seconds=self._keep)["pruned"]
            pruned += chunk
            if chunk < self._rows:
                break
        return pruned
