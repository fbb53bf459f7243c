"""The `outbox` command as an operator runs it, in this process; and rows for it to find."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from console.__main__ import run
from tests.support.servers import unreachable


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one command."""

    code: int
    out: str
    err: str


class Operator:
    """Runs commands against one database."""

    def __init__(self, dsn: str, capsys: pytest.CaptureFixture[str], env: Mapping[str, str] | None = None) -> None:
        """Act on *dsn*; what a command prints is caught by *capsys*."""
        self._env = {"OUTBOX_DATABASE_URL": dsn, **(env or {})}
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Outcome:
        """Return exit code and output of `outbox` with *arguments*."""
        self._capsys.readouterr()
        code = run(arguments, self._env)
        out, err = self._capsys.readouterr()
        return Outcome(code, out, err)

    def json(self, *arguments: str) -> Any:
        """Return what `outbox` prints with *arguments* and `--json`."""
        outcome = self(*arguments, "--json")
        try:
            return json.loads(outcome.out)
        except ValueError:
            raise AssertionError(f"expected JSON, got {outcome}") from None


class Rows:
    """Puts rows into one database as hosts, relay and mailer would."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        """Write through *connection*, which commits by itself."""
        self.connection = connection

    def one(self, query: str, *parameters: object) -> Any:
        """Return the first value of the first row."""
        row = self.connection.execute(query, parameters).fetchone()
        assert row is not None
        return row[0]

    def event(self, aggregate_type: str = "user", aggregate_id: str = "1", type_: str = "user.locked") -> str:
        """Insert an event, and return its id."""
        return str(
            self.one(
                "insert into outbox.event (aggregate_type, aggregate_id, type, payload)"
                """ values (%s, %s, %s, '{"email": "ada@example.com"}') returning event_id""",
                aggregate_type, aggregate_id, type_,
            )
        )  # fmt: skip

    def dead(self, stage: str = "consume", reason: str = "malformed", **columns: object) -> int:
        """Insert a dead letter, and return its id."""
        number = self.one("select count(*) from outbox.dead_letter")
        usual: dict[str, object] = {
            "detail": "no JSON",
            "type": "user.locked",
            "aggregate_type": "user",
            "aggregate_id": "1",
        }
        if stage == "publish":
            usual |= {"shard": 0, "event_row_id": 1_000_000 + number, "payload": '{"email": "ada@example.com"}'}
        if stage == "consume":
            usual |= {"topic": "t", "record_partition": 0, "record_offset": number, "record_value": b"{ada@example.com"}
        given = usual | columns
        names, marks = ", ".join(given), ", ".join(["%s"] * len(given))
        query = f"insert into outbox.dead_letter (stage, reason, {names}) values (%s, %s, {marks}) returning id"  # noqa: S608
        return int(self.one(query, stage, reason, *given.values()))

    def delivery(self, state: str = "in_doubt", *, mail: str = "account_locked", event_id: str | None = None) -> int:
        """Insert a delivery with one attempt, and return its id."""
        held = state in {"claimed", "sending"}
        delivery = self.one(
            "insert into outbox.delivery (event_id, event_type, aggregate_type, aggregate_id, mail, recipient,"
            " recipient_key, state, expires_at, payload, claim_token, claimed_until)"
            " values (coalesce(%s::uuid, gen_random_uuid()), 'user.locked', 'user', '1', %s, 'ada@example.com',"
            """ 'key', %s, now() + interval '1 day', '{"email": "ada@example.com"}', %s,"""
            " case when %s then now() end) returning id",
            event_id, mail, state, uuid4() if held else None, held,
        )  # fmt: skip
        self.connection.execute(
            "insert into outbox.attempt"
            " (delivery_id, cycle, attempt, at, transport, phase, code, enhanced_code, outcome, detail)"
            " values (%s, 1, 1, now(), 'smtp', 'rcpt', 550, '5.1.1', 'permanent', 'no such user')",
            [delivery],
        )
        return int(delivery)


class Logins:
    """Logins that have one of the outbox's roles each, and nothing else."""

    def __init__(self, connection: "psycopg.Connection[Any]", dsn: str) -> None:
        """Make logins for the database *dsn* through *connection*, a superuser's."""
        self._connection = connection
        self._dsn = dsn
        self._made: list[str] = []

    def of(self, role: str) -> str:
        """Return the address of the database for a login that has *role*."""
        name = f"login_{uuid4().hex[:12]}"
        self._connection.execute(
            sql.SQL("create role {} login password 'let-me-in' in role {}").format(
                sql.Identifier(name), sql.Identifier(role)
            )
        )
        self._made.append(name)
        scheme, _, rest = self._dsn.partition("://")
        return f"{scheme}://{name}:let-me-in@{rest.rpartition('@')[2]}"

    def drop(self) -> None:
        """Drop every login."""
        for name in self._made:
            self._connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@contextmanager
def started(*arguments: str, dsn: str) -> Iterator["subprocess.Popen[str]"]:
    """Yield `outbox` with *arguments* as a process of its own; it is killed if it still runs in the end."""
    environment = {**unreachable(os.environ), "OUTBOX_DATABASE_URL": dsn}
    command = [sys.executable, "-m", "console", *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
