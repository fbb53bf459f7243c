"""What can go wrong when servers are started for the demo, the tests and the benches."""

from dataclasses import dataclass
from pathlib import Path


class DevstackError(Exception):
    """The base of all errors of this package."""


@dataclass(eq=False)
class ServerFailedError(DevstackError):
    """A server ended, or did not answer in time; its log says why."""

    server: str
    problem: str
    log: Path

    def __post_init__(self) -> None:
        """Show the end of the log beside the error, since the folder may be gone when somebody reads it."""
        tail = last_lines(self.log)
        self.add_note(f"see its log {self.log}, which ends with:\n{tail}" if tail else f"its log: {self.log}")

    def __str__(self) -> str:
        return f"{self.server} {self.problem}"


@dataclass(eq=False)
class NoFreePortError(DevstackError):
    """Every port that was tried is in use."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"found no free port of 127.0.0.1 from {self.first} to {self.last}"


@dataclass(eq=False)
class HashMismatchError(DevstackError):
    """A downloaded or cached file is not the one that the lock file names: it is never used."""

    file: str
    expected: str
    got: str
    lock: str

    def __str__(self) -> str:
        return f"expected {self.file} to have SHA-256 {self.expected} as {self.lock} says, got {self.got}"


@dataclass(eq=False)
class DownloadFailedError(DevstackError):
    """A jar could not be fetched."""

    file: str
    problem: str

    def __post_init__(self) -> None:
        """Say what helps."""
        self.add_note(
            "the servers' jars come from Maven Central once and are cached: check the network, or give addresses "
            "(OUTBOX_DATABASE_URL, OUTBOX_KAFKA_BOOTSTRAP)"
        )

    def __str__(self) -> str:
        return f"could not download {self.file}: {self.problem}"


@dataclass(eq=False)
class UnknownVersionError(DevstackError):
    """No binaries of this PostgreSQL are in the lock file."""

    version: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"expected a PostgreSQL version among {', '.join(self.known)}, got {self.version!r}"


@dataclass(eq=False)
class AddressError(DevstackError):
    """A given address is missing, malformed, or nothing answers there."""

    setting: str
    problem: str

    def __str__(self) -> str:
        return f"{self.setting} {self.problem}"


@dataclass(eq=False)
class UnknownProviderError(DevstackError):
    """OUTBOX_PROVIDER names no provider."""

    got: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"expected OUTBOX_PROVIDER to be one of {', '.join(self.known)}, got {self.got!r}"


@dataclass(eq=False)
class ProviderUnavailableError(DevstackError):
    """The provider cannot work on this machine."""

    provider: str
    problem: str

    def __str__(self) -> str:
        return f"provider {self.provider} is not available: {self.problem}"


@dataclass(eq=False)
class NotOurServerError(DevstackError):
    """A server whose address was given is not ours to stop or to crash."""

    server: str
    operation: str

    def __str__(self) -> str:
        return f"cannot {self.operation} {self.server}: its address was given, so it is not ours"


@dataclass(eq=False)
class StackStateError(DevstackError):
    """`outbox dev` found the stack in another state than the command needs."""

    problem: str
    fix: str

    def __post_init__(self) -> None:
        """Say what helps."""
        self.add_note(self.fix)

    def __str__(self) -> str:
        return self.problem


def last_lines(log: Path, *, count: int = 15) -> str:
    """Return the last *count* lines of *log*, or nothing when it does not exist."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
