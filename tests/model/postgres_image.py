"""What PostgreSQL keeps, as values: rows, snapshots, and everything that a crash may undo."""

from functools import lru_cache
from typing import NamedTuple

from relay.lease import Batch

# The first transaction id of the model; those below are the bootstrap's, as in a real cluster.
FIRST_XID = 4


class EventRow(NamedTuple):
    """A row of `outbox.event`; *name* tells two events apart that were given the same id, one of them undone."""

    id: int
    tx: int
    key: str
    name: str


class Snapshot(NamedTuple):
    """A `pg_snapshot`."""

    xmin: int
    xmax: int
    running: frozenset[int]

    def sees(self, tx: int) -> bool:
        """Return `pg_visible_in_snapshot(tx, self)`: whether *tx* had ended, committed or not."""
        return tx < self.xmax and tx not in self.running


@lru_cache(maxsize=4096)
def parse(text: str) -> Snapshot:
    """Return the snapshot that PostgreSQL writes as *text*."""
    xmin, xmax, running = text.split(":")
    return Snapshot(int(xmin), int(xmax), frozenset(int(tx) for tx in running.split(",") if tx))


class Image(NamedTuple):
    """What a crash may undo. *logged* is above every transaction id that a log record names."""

    next_xid: int = FIRST_XID
    logged: int = FIRST_XID
    completed: int = FIRST_XID - 1
    next_id: int = 1
    rows: tuple[EventRow, ...] = ()
    prepared: tuple[tuple[int, tuple[EventRow, ...]], ...] = ()
    epoch: int = 0
    bootstrapped: bool = False
    confirmed_seq: int = 0
    pruned_seq: int = 0
    batches: tuple[tuple[int, Batch], ...] = ()
    deleted: frozenset[str] = (
        frozenset()
    )  # names of rows that retention has taken; `rows` still has them, for the check
