import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devstack.errors import ServerFailedError
from devstack.processes import Command, GuardedProcess, run
from tests.support.waiting import wait_until

SLEEP = (sys.executable, "-c", "import threading; threading.Event().wait(300)")
# Ignores every polite request to stop, and says when it has begun to.
STUBBORN = (
    sys.executable,
    "-c",
    (
        "import signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); "
        "threading.Event().wait(300)"
    ),
)
# Starts a server, says its process id and the guard's, and waits.
OWNER = """
import sys, threading
from pathlib import Path
from devstack.processes import Command, GuardedProcess
server = GuardedProcess(Command("sleeper", sys.argv[2:], Path(sys.argv[1])))
print(server.pid, server.guard_pid, flush=True)
threading.Event().wait(300)
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, tmp_path / "log", *SLEEP], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    server, guard = map(int, owner.stdout.readline().split())

    owner.kill()

    wait_until(lambda: gone(server) and gone(guard), timeout_seconds=15, what="the end of the server and its guard")
    owner.communicate()


def test_a_server_ends_when_its_guard_is_killed(tmp_path: Path) -> None:
    server = GuardedProcess(Command("sleeper", SLEEP, tmp_path / "log"))

    os.kill(server.guard_pid, signal.SIGKILL)

    wait_until(lambda: gone(server.pid), timeout_seconds=15, what="the end of the server")
    server.close()


def test_a_server_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    server = GuardedProcess(Command("stubborn", STUBBORN, tmp_path / "log"))
    wait_until(lambda: "deaf" in (tmp_path / "log").read_text(), timeout_seconds=15, what="a server that is deaf")

    server.end(signal.SIGTERM, timeout_seconds=0.2)

    assert gone(server.pid)


def test_a_server_that_ends_at_its_start_is_an_error_with_its_log(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('port 5432 is taken')")
    server = GuardedProcess(Command("the database", command, tmp_path / "database.log"))

    with pytest.raises(ServerFailedError) as failed:
        server.wait_ready(lambda: False, timeout_seconds=15)

    assert str(failed.value) == "the database ended at start with exit code 1"
    assert "port 5432 is taken" in failed.value.__notes__[0]
    assert str(tmp_path / "database.log") in failed.value.__notes__[0]


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    server = GuardedProcess(Command("the database", SLEEP, tmp_path / "database.log"))

    with pytest.raises(ServerFailedError, match=r"the database did not answer within 0\.2 s"):
        server.wait_ready(lambda: False, timeout_seconds=0.2)

    assert gone(server.pid)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerFailedError, match=r"could not be started: .*'/nowhere/postgres'"):
        GuardedProcess(Command("the database", ["/nowhere/postgres"], tmp_path / "database.log"))


def test_a_command_that_fails_is_an_error_with_its_output(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; print('no space left'); sys.exit(3)")

    with pytest.raises(ServerFailedError, match="initdb failed with exit code 3") as failed:
        run(Command("initdb", command, tmp_path / "log"))

    assert "no space left" in failed.value.__notes__[0]
