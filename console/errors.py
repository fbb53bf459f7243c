"""What can go wrong in a command; every error pickles, and none carries a payload, an address or a secret."""

from dataclasses import dataclass

from outbox.errors import OutboxError
from runtime.exits import ExitCode


class ConsoleError(OutboxError):
    """Base of everything that `console` raises by itself."""

    exit_code = ExitCode.FAILED


@dataclass(eq=False)
class UsageError(ConsoleError):
    """What was asked for makes no sense, or is more than was meant."""

    problem: str

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        """Return what is wrong with it."""
        return self.problem


@dataclass(eq=False)
class ExtraMissingError(ConsoleError):
    """A command needs a part of the distribution that is not installed."""

    command: str
    module: str

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        """Return which command, and what it looked for."""
        return f"`outbox {self.command}` needs the module {self.module!r}, which is not installed"


@dataclass(eq=False)
class NotFoundError(ConsoleError):
    """Nothing has that id."""

    thing: str
    id: str

    def __str__(self) -> str:
        """Return what was looked for."""
        return f"there is no {self.thing} {self.id}"


@dataclass(eq=False)
class RefusedError(ConsoleError):
    """The database's guard refused an action; the sentence is the database's."""

    problem: str

    def __str__(self) -> str:
        """Return what the guard said."""
        return self.problem


@dataclass(eq=False)
class NotMigratedError(ConsoleError):
    """The database has no outbox, or an older one than this release."""

    database: str
    missing: str

    def __str__(self) -> str:
        """Return what is missing, and where."""
        return f"expected {self.database} to have {self.missing}, and it does not"


@dataclass(eq=False)
class ForbiddenError(ConsoleError):
    """The role that we connect as may not do what was asked for."""

    user: str
    problem: str

    def __str__(self) -> str:
        """Return who was refused what."""
        return f"user {self.user!r} may not do this: {self.problem}"


@dataclass(eq=False)
class NotJudgedError(ConsoleError):
    """A comparison could not be made: one of its sides was not reached."""

    problem: str

    exit_code = ExitCode.UNJUDGED

    def __str__(self) -> str:
        """Return why not."""
        return f"nothing was judged: {self.problem}"
