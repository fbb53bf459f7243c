"""What can go wrong while a schema is changed."""

from dataclasses import dataclass

from console.errors import ConsoleError
from runtime.exits import ExitCode


class MigrationError(ConsoleError):
    """Base: the schema of a database could not be changed."""


@dataclass(eq=False)
class ServerUnfitError(MigrationError):
    """The server is too old, or cannot be written to."""

    expected: str
    got: str

    def __str__(self) -> str:
        """Return what the server should be, and is."""
        return f"expected {self.expected}, got {self.got}"


@dataclass(eq=False)
class LockedOutError(MigrationError):
    """Somebody held a lock for longer than we tried."""

    tries: int
    timeout: str
    problem: str

    def __str__(self) -> str:
        """Return how long we tried, and at what."""
        return f"gave up waiting for a lock after {self.tries} tries of {self.timeout}: {self.problem}"


@dataclass(eq=False)
class MayNotMigrateError(MigrationError):
    """The role that we connect as may not change the schema."""

    problem: str

    def __str__(self) -> str:
        """Return what was refused."""
        return f"this user may not migrate: {self.problem}"


@dataclass(eq=False)
class UnknownRevisionError(MigrationError):
    """A revision was named that this release does not have."""

    revision: str
    newest: str

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        """Return what was named, and what there is."""
        return f"expected a revision up to {self.newest}, got {self.revision!r}"


@dataclass(eq=False)
class UnsettledError(MigrationError):
    """Something in the schema is still owed to somebody."""

    what: str

    def __str__(self) -> str:
        """Return what would be lost."""
        return f"not dropped, for something is unsettled: {self.what}"


@dataclass(eq=False)
class NotConfirmedError(MigrationError):
    """Data would be dropped, and nobody has said yes."""

    what: str

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        """Return what would be dropped."""
        return f"this would drop {self.what}"


@dataclass(eq=False)
class CapturedError(MigrationError):
    """Triggers on tables of hosts need functions that would be dropped."""

    tables: tuple[str, ...]

    def __str__(self) -> str:
        """Return which tables are captured."""
        return f"not dropped, for these tables emit events: {', '.join(self.tables)}"
