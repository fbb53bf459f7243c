"""The mailer as it is deployed: relay, consumer, sweeper and workers, each a process, on a stack and a sink."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from bench.programs import REPOSITORY, inherited
from console.migrate import upgrade
from devstack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# A command, and what it logs once it works.
RELAY = ("relay", "run")
CONSUMER, SWEEPER, WORKER = (("mailer", verb) for verb in ("consume", "sweep", "work"))
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.05

# As the host writes them: one event a mail, each to an address of its own.
_INSERT = """
insert into outbox.event (aggregate_type, aggregate_id, type, payload)
select 'user', n::text, %(type)s, json_build_object('email', %(prefix)s || n || '@example.com', 'name', 'Ada Lovelace',
       'locale', 'en', 'new_role', 'ADMIN', 'old_role', 'MEMBER',
       'reset_url', 'https://accounts.example.com/reset/' || n, 'expires_at', '2099-11-24T10:30:00Z')
from generate_series(1, %(count)s) as n
"""
UPGRADED, RESET = "user.role_upgraded", "user.password_reset_requested"


@dataclass(frozen=True, slots=True)
class Flow:
    """A stack whose schema is there, and how to start processes on it."""

    servers: Stack
    settings: Mapping[str, str] = field(default_factory=dict)

    def emit(self, count: int, *, type_: str = UPGRADED, prefix: str = "user-") -> float:
        """Commit *count* events in one transaction, and return when that was over."""
        with psycopg.connect(self.servers.database_url) as connection:
            connection.execute(_INSERT, {"count": count, "type": type_, "prefix": prefix})
        return time.monotonic()

    def number(self, query: str) -> float:
        """Return the one number that *query* gives."""
        with psycopg.connect(self.servers.database_url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
            return float(row[0]) if row else 0.0

    def wait(self, query: str, count: float, *, seconds: float = 120.0) -> None:
        """Wait until the number that *query* gives is *count* at least."""
        pause, deadline = threading.Event(), time.monotonic() + seconds
        while (found := self.number(query)) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"expected {query!r} to give {count}, got {found}")
            pause.wait(_LOOK_SECONDS)

    @contextmanager
    def running(self, *commands: Sequence[str], **settings: str) -> Iterator[dict[tuple[str, ...], int]]:
        """Run `outbox COMMAND …` for each, all of them ready; give their process ids."""
        environment = inherited({**self.settings, **settings})
        with ExitStack() as ends:
            logs = {tuple(command): self._start(command, environment, ends) for command in commands}
            for command, (process, log) in logs.items():
                _wait_started(command, process, log)
            yield {command: process.pid for command, (process, _) in logs.items()}

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], ends: ExitStack
    ) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.servers.folder / f"{'-'.join(command)}-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "console", *command[:2]],
                env=environment,
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
            )
        ends.callback(_end, process)
        return process, log


@contextmanager
def flow(mail_dsn: str, **settings: str) -> Iterator[Flow]:
    """Give a flow on servers of its own."""
    with Stack.start(kafka=True, postgres=True, smtp=False) as servers:
        upgrade(servers.database_url)
        yield Flow(
            servers,
            {
                **servers.environment(),
                "OUTBOX_MAIL_DSN": mail_dsn,
                "OUTBOX_MAIL_FROM": "Users <no-reply@example.com>",
                **settings,
            },
        )


def _wait_started(command: Sequence[str], process: subprocess.Popen[bytes], log: Path) -> None:
    pause, deadline = threading.Event(), time.monotonic() + _START_SECONDS
    wanted = "relay.shard.recovered" if command[0] == "relay" else "mailer.process.started"
    while wanted not in (said := log.read_text(encoding="utf-8", errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"expected outbox {' '.join(command)} to start, got:\n{said[-4000:]}")
        pause.wait(_LOOK_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
