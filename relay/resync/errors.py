"""Why a shard is not given another position; nothing was changed."""

from dataclasses import dataclass

from relay.errors import RelayError
from runtime.exits import ExitCode


@dataclass(eq=False)
class ResyncRefusedError(RelayError):
    """What was asked for would break the guarantee, or cannot be done here."""

    shard: int
    reason: str

    exit_code = ExitCode.GUARANTEE

    def __str__(self) -> str:
        """Return which shard, and why not."""
        return f"shard {self.shard} is left as it is: {self.reason}"


@dataclass(eq=False)
class IdentityUnclearError(RelayError):
    """The database was moved or copied, and nobody has said which."""

    problem: str

    exit_code = ExitCode.USAGE

    def __post_init__(self) -> None:
        """Say what to do."""
        self.add_note("give --same-install if this database takes the place of the one that was (restored, upgraded)")
        self.add_note("give --new-install if that one goes on (a copy for staging): this one gets a name of its own")

    def __str__(self) -> str:
        """Return what was found."""
        return f"expected to be told what this database is: {self.problem}"


@dataclass(eq=False)
class AgreementMissingError(RelayError):
    """Nothing is changed without a choice, a reason and a yes."""

    missing: str

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        """Return what is missing."""
        return f"expected {self.missing}, got none: nothing was changed"


class PositionHangsError(ResyncRefusedError):
    """A transaction hangs before the position: a new record's marker would end it, and nobody would have looked how."""


@dataclass(eq=False)
class ChangedMeanwhileError(RelayError):
    """What was shown is no longer so."""

    shard: int
    what: str

    def __post_init__(self) -> None:
        """Say what to do."""
        self.add_note("run the command again and look at what it shows now")

    def __str__(self) -> str:
        """Return what changed."""
        return f"shard {self.shard} is not where it was when it was looked at: {self.what}"


@dataclass(eq=False)
class NotPermittedError(RelayError):
    """The login may not do it."""

    role: str

    def __post_init__(self) -> None:
        """Say what to do."""
        self.add_note("grant it outbox_relay, which writes positions, and outbox_operator, whose actions are audited")

    def __str__(self) -> str:
        """Return who may not."""
        return f"expected {self.role!r} to be a member of outbox_relay and of outbox_operator: nothing was changed"
