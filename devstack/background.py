"""A stack in the background: started, found again and ended by commands that come and go."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from devstack import folders
from devstack.errors import StackStateError

SERVERS = ("postgres", "kafka", "smtp")
# Seconds: Kafka and PostgreSQL each get 30 to stop in order.
STOP_SECONDS = 70
# Daemons of this process: Popen warns when one is forgotten while it runs, and outliving us is what it is for.
_daemons: "list[subprocess.Popen[bytes]]" = []


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What is noted of a stack that was started: enough to reach it and to end it."""

    pid: int
    started_at: float
    folder: str
    environment: dict[str, str]
    inbox: str | None

    @property
    def alive(self) -> bool:
        """Say whether its process lives; the number alone may meanwhile be another's."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(self.pid).create_time() == self.started_at)
        return False


def state_file() -> Path:
    """Return where the running stack is noted; it holds a password, so nobody else may read it."""
    return folders.state_folder() / "dev.json"


def current() -> RunningStack | None:
    """Return the running stack, if there is one; a note of a dead one is deleted."""
    try:
        noted = RunningStack(**json.loads(state_file().read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as problem:
        raise StackStateError(f"{state_file()} cannot be read: {problem}", "delete it") from problem
    if noted.alive:
        return noted
    state_file().unlink(missing_ok=True)
    return None


def up(servers: Sequence[str] = SERVERS) -> RunningStack:
    """Return a stack of *servers* that runs in the background; one that runs already is left as it is."""
    if running := current():
        return running
    log = folders.state_folder() / "dev.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "devstack.daemon", *servers],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    _daemons.append(process)
    said = _first_line(process, log)
    if "error" in said:
        process.wait()
        error = StackStateError(f"the stack did not start: {said['error']}", f"see {log}")
        for note in said["notes"]:
            error.add_note(note)
        raise error
    running = RunningStack(**said, started_at=psutil.Process(process.pid).create_time())
    with open(state_file(), "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as note:
        json.dump(asdict(running), note)
    return running


def down() -> bool:
    """End the running stack and wait until nothing of it is left; False: there was none."""
    running = current()
    if running is None:
        return False
    process = psutil.Process(running.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
        for daemon in _daemons:
            daemon.poll()
    except psutil.TimeoutExpired:
        problem = f"the stack (process {running.pid}) did not stop within {STOP_SECONDS} s"
        raise StackStateError(problem, f"see the logs in {running.folder}") from None
    state_file().unlink(missing_ok=True)
    return True


def _first_line(process: "subprocess.Popen[bytes]", log: Path) -> dict[str, Any]:
    """Return what the daemon says once it is up; Ctrl-C while we wait ends it."""
    assert process.stdout is not None  # noqa: S101  asked for above
    try:
        line = process.stdout.readline()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        process.stdout.close()
    if not line:
        raise StackStateError(f"the stack ended at its start with exit code {process.wait()}", f"see {log}")
    said: dict[str, Any] = json.loads(line)
    return said
