"""PostgreSQL, as far as the protocol rests on it: snapshots, what a crash keeps, the lease, the barrier.

Everything that a crash can undo is one immutable `Image`; a flush remembers the image of now, a crash goes back to the
one remembered. So what is not flushed is undone whole: transaction ids and row ids of transactions that rolled back
(or never wrote a log record) are given again, and commits that did not wait for the disk may vanish. What is assumed
here of a server is shown on a real one by test_assumptions.py.
"""

from collections.abc import Collection

from relay.lease import Batch, Term
from tests.model.postgres_image import EventRow, Image, parse


class ConnectionLostError(Exception):
    """The session that a statement was sent on is gone."""


class Postgres:
    """One server with the tables of one shard."""

    __slots__ = ("durable", "holder", "image", "running", "sessions")

    def __init__(self) -> None:
        self.image = Image()
        self.durable = self.image
        self.running: tuple[tuple[int, tuple[EventRow, ...]], ...] = ()  # transactions that are open
        self.sessions: frozenset[int] = frozenset()
        self.holder: int | None = None  # the session that has the advisory lock

    def copy(self) -> "Postgres":
        """Return a copy that shares what is immutable, which is everything."""
        made = Postgres.__new__(Postgres)
        made.image, made.durable, made.running = self.image, self.durable, self.running
        made.sessions, made.holder = self.sessions, self.holder
        return made

    def key(self) -> tuple[object, ...]:
        """Return what tells two states apart."""
        return self.image, self.durable, self.running, self.sessions, self.holder

    # ------------------------------------------------------------------------------------------ transactions

    def assign(self) -> int:
        """Return a new transaction id, of a transaction that is now open; no log record names it yet."""
        xid = self.image.next_xid
        self.image = self.image._replace(next_xid=xid + 1)
        self.running = (*self.running, (xid, ()))
        return xid

    def insert(self, xid: int, key: str, name: str) -> int:
        """Return the id of a new event of the open transaction *xid*: assigned now, visible after the commit."""
        row_id = self.image.next_id
        self.image = self.image._replace(next_id=row_id + 1, logged=max(self.image.logged, xid + 1))
        row = EventRow(row_id, xid, key, name)
        self.running = tuple((tx, (*rows, row)) if tx == xid else (tx, rows) for tx, rows in self.running)
        return row_id

    def commit(self, xid: int, *, durable: bool) -> None:
        """Make the events of *xid* visible; *durable*: `synchronous_commit`, it waits for the disk if it wrote any."""
        rows = self._end(xid)
        self.image = self.image._replace(rows=self.image.rows + rows, logged=max(self.image.logged, xid + 1))
        if durable and rows:
            self.flush()

    def rollback(self, xid: int) -> None:
        """End *xid* without a trace but its number; nothing is flushed."""
        self._end(xid)

    def prepare(self, xid: int) -> None:
        """Have *xid* survive crashes; it stays in progress for every snapshot."""
        rows = self._end(xid, completed=False)
        logged = max(self.image.logged, xid + 1)
        self.image = self.image._replace(prepared=(*self.image.prepared, (xid, rows)), logged=logged)
        self.flush()

    def commit_prepared(self, xid: int) -> None:
        """Make the events of the prepared *xid* visible."""
        image = self.image
        rows = dict(image.prepared)[xid]
        left = tuple(pair for pair in image.prepared if pair[0] != xid)
        self.image = image._replace(prepared=left, rows=image.rows + rows, completed=max(image.completed, xid))
        self.flush()

    def _end(self, xid: int, *, completed: bool = True) -> tuple[EventRow, ...]:
        rows = next(rows for tx, rows in self.running if tx == xid)
        self.running = tuple(pair for pair in self.running if pair[0] != xid)
        if completed:
            self.image = self.image._replace(completed=max(self.image.completed, xid))
        return rows

    def snapshot(self) -> str:
        """Return `pg_current_snapshot()`: xmax is one above the last transaction that *ended*, not that began."""
        xmax = self.image.completed + 1
        open_now = sorted(tx for tx, _ in (*self.running, *self.image.prepared) if tx < xmax)
        return f"{open_now[0] if open_now else xmax}:{xmax}:{','.join(map(str, open_now))}"

    def open_key(self, key: str) -> bool:
        """Return whether an open transaction has an event of *key*: hosts lock the aggregate before they emit."""
        return any(row.key == key for _, rows in (*self.running, *self.image.prepared) for row in rows)

    # ------------------------------------------------------------------------------------- crashes, sessions

    def flush(self) -> None:
        """Put everything up to now on the disk; any durable commit does, and the server does it now and then."""
        self.durable = self.image

    def crash(self) -> None:
        """End everything that is open, and go back to what is on the disk."""
        kept = self.durable
        self.image = self.durable = kept._replace(next_xid=kept.logged, completed=kept.logged - 1)
        self.running, self.sessions, self.holder = (), frozenset(), None

    def connect(self, session: int) -> None:
        """Open *session*."""
        self.sessions |= {session}

    def disconnect(self, session: int) -> None:
        """End *session*, however; its advisory lock is free."""
        self.sessions -= {session}
        if self.holder == session:
            self.holder = None

    def alive(self, session: int) -> None:
        """Raise if *session* is gone."""
        if session not in self.sessions:
            raise ConnectionLostError

    # --------------------------------------------------------- the relay's statements, by the names of their files

    def try_lock(self, session: int) -> bool:
        """try_lock.sql."""
        self.alive(session)
        if self.holder is None:
            self.holder = session
        return self.holder == session

    def raise_epoch(self, session: int) -> Term:
        """raise_epoch.sql: every writer of a smaller epoch is fenced from here on."""
        self.alive(session)
        image = self.image
        self._write(epoch=image.epoch + 1)
        return Term(0, image.epoch + 1, image.bootstrapped, image.pruned_seq, image.confirmed_seq)

    def check_lease(self, session: int) -> tuple[int, bool]:
        """check_lease.sql: the epoch, and whether the lock is still ours."""
        self.alive(session)
        return self.image.epoch, self.holder == session

    def batch(self, session: int, seq: int) -> Batch | None:
        """batch.sql."""
        self.alive(session)
        return dict(self.image.batches).get(seq)

    def write_barrier(self, session: int, *, epoch: int, seq: int, batch: Batch, durable: bool = True) -> bool:
        """write_barrier.sql: return whether we are not fenced; durable when it returns."""
        self.alive(session)
        found = dict(self.image.batches)
        if self.image.epoch != epoch or (seq in found and found[seq].epoch > epoch):
            return False
        found[seq] = batch
        self._write(durable=durable, batches=tuple(sorted(found.items())))
        return True

    def mark_bootstrapped(self, session: int, *, epoch: int) -> bool:
        """mark_bootstrapped.sql."""
        return self._fenced(session, epoch, bootstrapped=True)

    def mirror_position(self, session: int, *, epoch: int, seq: int) -> bool:
        """mirror_position.sql."""
        return self._fenced(session, epoch, confirmed_seq=seq)

    def _fenced(self, session: int, epoch: int, **changes: object) -> bool:
        self.alive(session)
        if self.image.epoch != epoch:
            return False
        self._write(**changes)  # type: ignore[arg-type]  # columns of the image
        return True

    def _write(self, *, durable: bool = True, **changes: object) -> None:
        """Change the image in a transaction of its own, which takes a transaction id."""
        xid = self.image.next_xid
        facts = {"next_xid": xid + 1, "logged": xid + 1, "completed": max(self.image.completed, xid), **changes}
        self.image = self.image._replace(**facts)  # type: ignore[arg-type]  # names and types are the callers'
        if durable:
            self.flush()

    # ----------------------------------------------------------------------------------------------- reading

    def find_range(self, session: int, a: str, b: str) -> tuple[int, int]:
        """find_range.sql: the bound below the ids of transactions that began between A and B, and their number."""
        self.alive(session)
        low, high = parse(a).xmax, parse(b).xmax
        ids = [row.id for row in self._present() if low <= row.tx < high]
        return (min(ids) - 1 if ids else 0), len(ids)

    def old_transactions(self, session: int, a: str, b: str) -> tuple[int, ...]:
        """old_transactions.sql: what A saw in progress and B has seen end."""
        self.alive(session)
        seen = parse(b)
        return tuple(tx for tx in sorted(parse(a).running) if seen.sees(tx))

    def read_page(
        self, session: int, *, a: str, b: str, lo: int, olds: Collection[int], after: int
    ) -> tuple[EventRow, ...]:
        """read_page.sql, without its limit: the rows of the window behind *after*, by id."""
        self.alive(session)
        low, seen = parse(a).xmax, parse(b)
        floor = max(after, lo)
        new = (row for row in self._present() if row.id > floor and low <= row.tx < seen.xmax and seen.sees(row.tx))
        old = (row for row in self._present() if row.tx in olds and row.id > after)
        return tuple(sorted((*new, *old)))

    def _present(self) -> tuple[EventRow, ...]:
        image = self.image
        return tuple(row for row in image.rows if row.name not in image.deleted) if image.deleted else image.rows

    # --------------------------------------------------------------------------------------------- retention

    def prune(self) -> None:
        """prune_floor.sql, prune_events.sql and prune_batches.sql, of a retention that keeps nothing."""
        image = self.image
        if image.bootstrapped and image.pruned_seq < image.confirmed_seq:
            self._write(pruned_seq=image.confirmed_seq)
        floor = self.image.pruned_seq
        batch = dict(self.image.batches).get(floor)
        if batch is not None:
            seen = parse(batch.a)
            gone = {row.name for row in self.image.rows if seen.sees(row.tx)}
            self._write(deleted=self.image.deleted | gone)
        self._write(batches=tuple(pair for pair in self.image.batches if pair[0] >= floor))
