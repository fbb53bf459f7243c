"""Which process has a connection, and who belongs to a process: read from /proc."""

import contextlib
from collections.abc import Iterable
from pathlib import Path


def members(group: int) -> list[int]:
    """Return the processes of a process *group*."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The name, in brackets, may have blanks in it.
                fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[2]) == group:
                    found.append(int(folder.name))
    return found


def owner(port: int, groups: Iterable[int]) -> tuple[int, int] | None:
    """Return group and process, out of the process *groups*, of the socket whose local TCP port is *port*."""
    sockets = _sockets(port)
    for group in groups:
        for process in members(group):
            with contextlib.suppress(OSError):
                for descriptor in Path(f"/proc/{process}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        if str(descriptor.readlink()) in sockets:
                            return group, process
    return None


def _sockets(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port and fields[9] != "0":
                    found.add(f"socket:[{fields[9]}]")
    return found
