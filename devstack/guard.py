"""A server's guard: it runs one server, and ends it when its owner dies.

Run as a program of its own (standard library only, so that it starts in 20 ms): `guard.py [--user NAME] LOG COMMAND…`.
Its standard input is a pipe that the owner holds open. Lines on it name a signal for the server (`2`); its end means
that the owner is gone, however it went (`kill -9` included), and then the server goes too. Should the guard itself be
killed, the kernel ends the server (Linux: PR_SET_PDEATHSIG; this process has one thread, so the signal cannot come
early). The server's process id is the first line on standard output; the guard's exit code is the server's.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

# Seconds from the owner's death, or from our SIGTERM, until a server that does not stop is killed.
GRACE = 10
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends; elsewhere than on Linux, do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start the server of *arguments*: `[--user NAME] LOG COMMAND…`."""
    user: str | None = None
    if arguments[0] == "--user":
        user, arguments = arguments[1], arguments[2:]
    log, *command = arguments
    with open(log, "ab", buffering=0) as output:  # noqa: PTH123  pathlib would double the guard's start
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user,
            group=user and primary_group(user),
            extra_groups=[] if user else None,
            preexec_fn=die_with_parent,  # noqa: PLW1509  one thread: nothing can hold a lock across the fork
            start_new_session=True,
        )


def primary_group(user: str) -> int:
    """Return the group that *user* belongs to by itself."""
    import pwd  # noqa: PLC0415  only where a user is dropped to: it does not exist everywhere

    return pwd.getpwnam(user).pw_gid


def signals_from(pipe: int, pending: bytes) -> tuple[list[int], bytes, bool]:
    """Return the signals read from *pipe*, the unfinished rest, and whether the owner still lives."""
    chunk = os.read(pipe, 4096)
    *lines, rest = (pending + chunk).split(b"\n")
    return [int(line) for line in lines], rest, bool(chunk)


def watch(server: subprocess.Popen[bytes], woken: int) -> int:
    """Pass signals on until *server* ends; return its exit code."""
    owner, pending, alive = sys.stdin.fileno(), b"", True
    while (code := server.poll()) is None:
        sources = [owner, woken] if alive else [woken]
        ready, _, _ = select.select(sources, [], [], None if alive else GRACE)
        if not ready:
            server.kill()
        if woken in ready and signal.SIGTERM in os.read(woken, 64):
            alive = False
            server.terminate()
        if owner in ready:
            wanted, pending, alive = signals_from(owner, pending)
            for number in wanted or ([] if alive else [signal.SIGTERM]):
                with contextlib.suppress(ProcessLookupError):
                    server.send_signal(number)
    return code


def main() -> int:
    """Run the server named on the command line, and return its exit code."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server = spawn(sys.argv[1:])
    print(server.pid, flush=True)  # noqa: T201  this is how the owner learns it
    return watch(server, woken)


if __name__ == "__main__":
    sys.exit(main())
