"""The pgbench that comes with the embedded PostgreSQL."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from devstack.postgres import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def pgbench(database_url: str, script: Path, *, clients: int, seconds: int) -> str:
    """Return what pgbench printed; raises CalledProcessError when a client ended early."""
    command = [*_command(script, clients), f"--time={seconds}", database_url]
    ended = subprocess.run(command, env=_environment(), stdout=subprocess.PIPE, text=True, check=True)
    return ended.stdout


@contextlib.contextmanager
def pgbench_running(database_url: str, statement: str, *, clients: int, rate: int) -> Iterator[None]:
    """Let *clients* run a *statement* *rate* times a second in all; every one of them is connected before it begins."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.sql"
        script.write_text(statement + ";\n", encoding="utf-8")
        command = [*_command(script, clients), "--time=3600", f"--rate={rate}", database_url]
        process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_connected(database_url, process, clients)
            yield
        finally:
            process.terminate()
            process.wait(30)


def number(printed: str, behind: str) -> float:
    """Return the number that pgbench printed behind a phrase; a ValueError with all of it when there is none."""
    found = re.search(re.escape(behind) + r"([\d.]+)", printed)
    if found is None:
        raise ValueError(f"expected pgbench to print {behind!r} and a number, got:\n{printed}")
    return float(found[1])


def _wait_connected(database_url: str, process: subprocess.Popen[bytes], clients: int) -> None:
    counted = "select count(*) from pg_stat_activity where application_name = 'pgbench'"
    with psycopg.connect(database_url, autocommit=True) as connection:
        while connection.execute(counted).fetchone() != (clients,):
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise RuntimeError(f"expected pgbench to run with {clients} clients, got exit code {process.wait(0.1)}")


def _command(script: Path, clients: int) -> Sequence[str]:
    program = str(embedded().tree / "bin" / "pgbench")
    options = ("--no-vacuum", "--protocol=prepared", f"--file={script}", f"--client={clients}")
    return (program, *options, f"--jobs={min(clients, 2)}")


def _environment() -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(embedded().libraries), "PGAPPNAME": "pgbench"}
