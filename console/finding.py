"""What a check of `outbox doctor` says: expected, actual, and the fix. Plug-ins (`outbox.doctor_checks`) say it too."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from console.errors import ConsoleError
from runtime.errors import ProcessError, SettingsError

if TYPE_CHECKING:
    from confluent_kafka.admin._metadata import ClusterMetadata

    from console.database import Database
    from console.settings import ConsoleSettings
    from mailer.settings import MailerSettings
    from relay.lease import Installation
    from relay.settings import RelaySettings


class Mark(StrEnum):
    """How a check ended; only FAILED makes the exit code 1."""

    GOOD = "✓"
    FAILED = "✗"
    WARNED = "!"
    SKIPPED = "–"  # noqa: RUF001 - the dash of a list


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    check: str
    mark: Mark
    expected: str
    actual: str
    fix: str | None = None


@dataclass(slots=True)
class Surroundings:
    """What checks look at: settings and servers, each None where it is not configured or not there."""

    env: Mapping[str, str]
    settings: "ConsoleSettings"
    relay: "RelaySettings | None" = None
    mailer: "MailerSettings | None" = None
    database: "Database | None" = None
    migrated: bool = False
    installation: "Installation | None" = None
    bootstrapped: bool = False
    cluster: "ClusterMetadata | None" = None
    kafka_options: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[Surroundings], Iterable[Finding]]


def good(check: str, actual: str, *, expected: str = "") -> Finding:
    """Return that all is well; what was expected is then what there is."""
    return Finding(check, Mark.GOOD, expected or actual, actual)


def failed(check: str, *, expected: str, actual: str, fix: str) -> Finding:
    """Return that the check failed, and what to do."""
    return Finding(check, Mark.FAILED, expected, actual, fix)


def warned(check: str, *, expected: str, actual: str, fix: str) -> Finding:
    """Return that this should be looked at, and that the guarantee does not rest on it."""
    return Finding(check, Mark.WARNED, expected, actual, fix)


def skipped(check: str, reason: str, *, expected: str = "") -> Finding:
    """Return that this could not be checked here, or need not be."""
    return Finding(check, Mark.SKIPPED, expected, reason)


def judged(check: str, *, fits: bool, expected: str, actual: str, fix: str) -> Finding:
    """Return good if it *fits*, else failed."""
    return good(check, actual, expected=expected) if fits else failed(check, expected=expected, actual=actual, fix=fix)


def from_error(check: str, error: ProcessError | ConsoleError, *, expected: str) -> Finding:
    """Return an error of ours as a failed check: its notes are the fix."""
    fixes = "; ".join(getattr(error, "__notes__", ())) or "correct the setting"
    problems = error.problems if isinstance(error, SettingsError) else (str(error),)
    return failed(check, expected=expected, actual="; ".join(problems), fix=fixes)
