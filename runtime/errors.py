"""What can go wrong before a process does its work; every error pickles, and none carries a secret."""

from collections.abc import Iterable
from dataclasses import dataclass

from outbox.errors import OutboxError
from runtime.exits import ExitCode
from runtime.secrets import mask


def told(sentence: object, fixes: Iterable[str]) -> str:
    """Return what a person reads on stderr: what went wrong, and below it what to do; secrets are masked."""
    return mask("\n".join([f"error: {sentence}", *(f"fix: {fix}" for fix in fixes)])) + "\n"


class ProcessError(OutboxError):
    """Base of everything that `runtime` raises by itself."""

    exit_code = ExitCode.FAILED


@dataclass(eq=False)
class SettingsError(ProcessError, ValueError):
    """One or more settings are wrong: *problems* has a sentence each, so that one run shows them all."""

    problems: tuple[str, ...]

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        """Return every problem, one a line."""
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join((f"{len(self.problems)} settings are wrong", *(f"  {problem}" for problem in self.problems)))


@dataclass(eq=False)
class DatabaseUnavailableError(ProcessError):
    """PostgreSQL was not reached, or refused us; *server* names host, port, database and user, never the password."""

    server: str
    problem: str

    def __str__(self) -> str:
        """Return which server, and what came of asking it."""
        return f"cannot connect to {self.server}: {self.problem}"


@dataclass(eq=False)
class KafkaUnavailableError(ProcessError):
    """No broker answered, or none let us in."""

    bootstrap: str
    problem: str

    def __str__(self) -> str:
        """Return where we knocked, and what came of it."""
        return f"cannot reach Kafka at {self.bootstrap}: {self.problem}"


@dataclass(eq=False)
class EndpointError(ProcessError):
    """The address for /metrics, /livez and /readyz cannot be listened on."""

    host: str
    port: int
    problem: str

    def __str__(self) -> str:
        """Return the address, and why it is not ours."""
        return f"cannot listen on {self.host}:{self.port}: {self.problem}"
