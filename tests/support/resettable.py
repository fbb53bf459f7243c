"""A PostgreSQL of a test's own: settings that no other test may see, and a counter of transaction ids set at will."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.migrate import upgrade
from devstack import folders
from devstack.postgres import EmbeddedPostgres
from devstack.processes import Command, run
from tests.support.replication import embeddable, order
from tests.support.servers import Databases

# A segment of pg_xact: 32 pages of 8 kB, two bits a transaction.
_SEGMENT_BYTES = 262_144
_SEGMENT_IDS = 1_048_576
# Nothing but a commit that waits has the log written: no snapshot of running transactions, no vacuum, no writer.
LAZY = ("wal_level = 'minimal'", "max_wal_senders = 0", "wal_writer_delay = '10s'", "autovacuum = off")


class ResettablePostgres(EmbeddedPostgres):
    """A server whose next transaction id can be anything."""

    def configure(self, *settings: str) -> None:
        """Set *settings* for the next start."""
        with (self._data / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("\n".join(["", *settings, ""]))

    def restart(self) -> None:
        """Stop in order, and start."""
        self.stop()
        self.start()

    def crash_and_restart(self) -> None:
        """Lose what is not written, and start."""
        self.crash()
        self.start()

    def go_on_at(self, xid: int, *, databases: list[str], epoch: int | None = None) -> None:
        """Have *xid* as the next transaction id, in *epoch* or the present one; *databases* are all but template0."""
        for dsn in databases:
            order(dsn, "vacuum freeze")
        self.stop()
        which = ["-x", str(xid), *(["-e", str(epoch)] if epoch is not None else [])]
        arguments = [self._program("pg_resetwal"), *which, str(self._data / "data")]
        run(Command("pg_resetwal", arguments, self.log, self._user))
        self._zero(self._data / "data" / "pg_xact" / f"{xid // _SEGMENT_IDS:04X}")
        self.start()

    def _zero(self, segment: Path) -> None:
        """Make the *segment* of pg_xact that the next transaction's verdict goes into: nothing is decided in it."""
        segment.write_bytes(bytes(_SEGMENT_BYTES))
        segment.chmod(0o600)
        folders.give_to(segment, self._user)


@contextmanager
def resettable() -> Iterator[ResettablePostgres]:
    """Give such a server. No fsync: it outlives its own crash, and loses in it what it has not written."""
    if not embeddable():
        pytest.skip("the test stops, crashes or resets a PostgreSQL, and so needs an embedded one")
    folder = folders.new_run_folder()
    server = ResettablePostgres.started(folder, durable=False)
    try:
        yield server
    finally:
        server.close()
        folders.remove(folder)


def databases_on(server: ResettablePostgres) -> Databases:
    """Return what makes databases with our schema on *server*; they end with it."""

    def migrate(dsn: str) -> None:
        upgrade(dsn)

    return Databases(server, migrate=migrate)
