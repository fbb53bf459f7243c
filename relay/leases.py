"""PostgreSQL as the relay's judge: the session that holds a lease, and every write that names its epoch.

The advisory lock and the barrier share one connection: when it breaks, both are gone, and so is the right to publish.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import Connection, Cursor, errors
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from outbox import statements
from relay.errors import (
    BarrierNotDurableError,
    LeaseLostError,
    NotMigratedError,
    ServerUnfitError,
    SourceUnavailableError,
)
from relay.lease import FIRST_VERSION, LOCK_SPACE, Batch, DeadHead, Holder, Installation, ServerFacts, Term
from relay.window import Position, Row, Window
from runtime import connecting
from runtime.errors import DatabaseUnavailableError
from runtime.settings import SecretDsn

# What ends a term: the connection broke, or the server closed it, or it takes no more writes, as when it steps down.
# Whatever was in memory is dropped then.
DISCONNECTS = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
)
# How long PostgreSQL waits for a silent relay before it gives the lease to another. A relay at work asks every second.
SILENCE = "10s"
# What waiting may help against; everything else is a setting that somebody has to correct.
_PASSING = (
    "nothing listens there",
    "no answer",
    "the server is starting or stopping",
    "the server has no connection left",
)


def _sql(name: str) -> str:
    return statements.load("relay", name)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that is not published, and why; *behind* is the dead letter that its key waits for."""

    row: Row
    topic: str
    behind: int | None = None


class Session:
    """A direct connection to the primary; holds leases, and is closed with the process however that ends."""

    def __init__(self, connection: Connection[Any], connected_pid: int) -> None:
        """Take over *connection*; `Session.open` makes one."""
        self.connection = connection
        self._connected_pid = connected_pid
        self._warnings: list[str] = []
        connection.add_notice_handler(self._notice)

    @classmethod
    def open(cls, dsn: SecretDsn, *, name: str) -> "Session":
        """Return a session on the primary; raise SourceUnavailableError with what the server said."""
        try:
            connection = connecting.connect(
                dsn,
                application_name=f"outbox relay {name} on {socket.gethostname()} pid {os.getpid()}"[:63],
                autocommit=True,
                target_session_attrs="read-write",
                keepalives=1,
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=10_000,
            )
        except DatabaseUnavailableError as error:
            raise _unavailable(error, hosts=len(dsn.address().hosts)) from None
        session = cls(connection, connection.info.backend_pid)
        try:
            session.row("session", silence=SILENCE)
            with contextlib.suppress(errors.InvalidParameterValue, errors.FeatureNotSupported):
                session.row("watch_client")
        except BaseException:
            session.close()
            raise
        return session

    def close(self) -> None:
        """Close the connection, which gives its leases back."""
        with contextlib.suppress(psycopg.Error):
            self.connection.close()

    # ------------------------------------------------------------------------------------------ statements

    def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """Return the rows of statement *name*."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_sql(name), parameters).fetchall()

    def row(self, name: str, **parameters: object) -> dict[str, Any] | None:
        """Return the first row of statement *name*."""
        rows = self.rows(name, **parameters)
        return rows[0] if rows else None

    def one(self, name: str, **parameters: object) -> dict[str, Any]:
        """Return the row of a statement that always has one."""
        return self.rows(name, **parameters)[0]

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            self._warnings.append(diagnostic.message_primary or "")

    # ------------------------------------------------------------------------------------------- the server

    def facts(self) -> ServerFacts:
        """Return what the server says of itself; raise if it is too old, has no outbox, or hides behind a pooler."""
        version = self.connection.info.server_version
        if version < FIRST_VERSION:
            raise ServerUnfitError("the PostgreSQL server", "version 14 or later", str(version // 10000))
        with _migrated():
            facts = ServerFacts(**self.one("server_facts"), connected_pid=self._connected_pid)
        if facts.backend_pid != facts.connected_pid:
            error = ServerUnfitError("the database connection", "direct", "one through a transaction pooler")
            error.add_note("give OUTBOX_DATABASE_URL the address of PostgreSQL itself: a lease lives in a session")
            raise error
        return facts

    def installation(self) -> Installation:
        """Return who this database says it is."""
        with _migrated():
            facts = self.row("installation")
        if facts is None:
            raise NotMigratedError("its row in outbox.meta")
        return Installation(**facts)

    def any_bootstrapped(self) -> bool:
        """Return whether any shard has ever published."""
        return bool(self.one("any_bootstrapped")["bootstrapped"])

    def current_snapshot(self) -> str:
        """Return which transactions have finished."""
        return str(self.one("current_snapshot")["b"])

    # -------------------------------------------------------------------------------------------- the lease

    def try_lock(self, shard: int) -> bool:
        """Return whether the lease of *shard* is now ours."""
        return bool(self.one("try_lock", space=LOCK_SPACE, shard=shard)["granted"])

    def unlock(self, shard: int) -> None:
        """Give the lease back, so that another relay need not wait for the connection to close."""
        if self.connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
            return  # a barrier may wait for a standby for ever; behind it, we would not end either
        with contextlib.suppress(psycopg.Error):
            self.one("unlock", space=LOCK_SPACE, shard=shard)

    def holder(self, shard: int) -> Holder | None:
        """Return who holds the lease of *shard*."""
        row = self.row("holder", space=LOCK_SPACE, shard=shard)
        return Holder(**row) if row else None

    def raise_epoch(self, shard: int, *, shards: int) -> Term:
        """Begin a term: writes of predecessors are fenced from here on."""
        self.rows("ensure_shard", shards=shards)
        row = self.row("raise_epoch", shard=shard)
        if row is None:
            raise ServerUnfitError(f"shard {shard}", f"one of 0 to {shards - 1}", "no such shard")
        return Term(shard=shard, **row)

    def renew_epoch(self, term: Term) -> Term:
        """Return *term* under the next epoch, whose barriers prove what was written under the one before."""
        row = self.row("renew_epoch", shard=term.shard, epoch=term.epoch)
        if row is None:
            raise _fenced(term)
        return replace(term, epoch=row["epoch"])

    def check(self, term: Term) -> None:
        """Raise LeaseLostError unless lock and epoch are still those of *term*."""
        row = self.row("check_lease", space=LOCK_SPACE, shard=term.shard)
        if row is None or row["epoch"] != term.epoch:
            raise _fenced(term)
        if not row["held"]:
            raise LeaseLostError(term.shard, term.epoch, "the advisory lock is gone")

    # ---------------------------------------------------------------------------------------- fenced writes

    def batch(self, shard: int, seq: int) -> Batch | None:
        """Return what PostgreSQL remembers of window *seq*."""
        row = self.row("batch", shard=shard, seq=seq)
        return Batch(**row) if row else None

    def write_barrier(self, term: Term, window: Window) -> None:
        """Write the barrier of *window*; it is durable when this returns (rules 1 and 2)."""
        self._warnings.clear()
        row = self.row(
            "write_barrier",
            shard=term.shard,
            epoch=term.epoch,
            seq=window.seq,
            a=window.a,
            b=window.b,
            n=window.n,
        )
        self._refuse_warnings(term, window.seq)
        if row is None:
            raise _fenced(term)

    def mark_bootstrapped(self, term: Term) -> None:
        """Note that the shard has a progress record."""
        self._fenced_write("mark_bootstrapped", term)

    def mirror(self, term: Term, position: Position) -> None:
        """Note how far Kafka has confirmed."""
        self._fenced_write("mirror_position", term, seq=position.seq, b=position.b, last=position.last_id)

    def clear_halt(self, term: Term) -> None:
        """Forget why a predecessor stopped."""
        self.rows("clear_halt", shard=term.shard, epoch=term.epoch)

    def note_halt(self, shard: int, *, epoch: int | None, reason: str) -> None:
        """Note why the shard stopped; nothing, if the server does not take it (a standby)."""
        with contextlib.suppress(psycopg.Error):
            self.rows("note_halt", shard=shard, epoch=epoch, reason=reason)

    @contextlib.contextmanager
    def fenced(self, term: Term) -> Iterator[Cursor[dict[str, Any]]]:
        """Run statements in one transaction that a takeover waits for; raise LeaseLostError if one was first."""
        self._warnings.clear()
        with self.connection.transaction(), self.connection.cursor(row_factory=dict_row) as cursor:
            if cursor.execute(_sql("fence"), {"shard": term.shard, "epoch": term.epoch}).fetchone() is None:
                raise _fenced(term)
            yield cursor
        self._refuse_warnings(term, -1)

    def write_dead_letters(
        self, term: Term, letters: Sequence[DeadLetter], *, reason: str, detail: str, parks: bool, attempts: int
    ) -> Mapping[int, int]:
        """Keep *letters*, and return the dead letter of each row id that had none (rule 9)."""
        with self.fenced(term) as cursor:
            cursor.execute(
                _sql("insert_dead_letters"),
                {
                    "reason": reason,
                    "detail": detail,
                    "parks": parks,
                    "attempts": attempts,
                    "shard": term.shard,
                    "ids": [letter.row.id for letter in letters],
                    "behinds": [letter.behind for letter in letters],
                    "topics": [letter.topic for letter in letters],
                },
            )
            return {row["event_row_id"]: row["id"] for row in cursor}

    def release_key(self, term: Term, head: DeadHead, *, a: str, lock_table: bool) -> int | None:
        """Insert the events of a resolved head's key again, and return how many; None if a host is at work on it.

        With *lock_table* no transaction in progress can have inserted an event that would have to come after ours and
        has a smaller id. Hosts that lock the key as `outbox.emit` does are safe without.
        """
        try:
            with self.fenced(term) as cursor:
                if lock_table:
                    cursor.execute(_sql("lock_events"))
                key = {"aggregate_type": head.aggregate_type, "aggregate_id": head.aggregate_id}
                locked = cursor.execute(_sql("try_key_lock"), key).fetchone()
                if locked is None or not locked["granted"]:
                    return None
                row = cursor.execute(_sql("release_key"), {"head": head.id, "a": a}).fetchone()
                return row["inserted"] if row else 0
        except errors.LockNotAvailable:
            return None

    def _fenced_write(self, name: str, term: Term, **parameters: object) -> None:
        if self.row(name, shard=term.shard, epoch=term.epoch, **parameters) is None:
            raise _fenced(term)

    def _refuse_warnings(self, term: Term, seq: int) -> None:
        """Raise if PostgreSQL did not wait for its synchronous standby: the row may not survive a failover (rule 2)."""
        if self._warnings:
            raise BarrierNotDurableError(term.shard, seq, self._warnings[0])


def _fenced(term: Term) -> LeaseLostError:
    return LeaseLostError(term.shard, term.epoch, "a successor has raised the epoch")


@contextlib.contextmanager
def _migrated() -> Iterator[None]:
    """Turn a missing table into what the operator has to do."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName, errors.UndefinedFunction) as error:
        missing = NotMigratedError("the tables of the outbox")
        missing.add_note(f"run `outbox migrate up` ({error.diag.message_primary})")
        raise missing from None
    except errors.InsufficientPrivilege as error:
        refused = SourceUnavailableError(str(error.diag.message_primary), lasting=True)
        refused.add_note("grant the role outbox_relay to this user: `outbox migrate grants` prints how")
        raise refused from None


def _unavailable(error: DatabaseUnavailableError, *, hosts: int) -> SourceUnavailableError:
    """Return the error with what it means for us: whether to wait, and whether only a standby was there."""
    standby = "read-only" in error.problem or "hot standby" in error.problem
    failover = standby and hosts > 1
    unavailable = SourceUnavailableError(
        str(error),
        lasting=error.problem not in _PASSING and not failover,
        standby=standby and not failover,
        failover=failover,
    )
    for note in getattr(error, "__notes__", ()):
        unavailable.add_note(note)
    return unavailable
