"""What `outbox doctor` runs: every check in its order, ours and those of plug-ins; none ends the others by failing."""

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Final

from console.checks import database, kafka, mail, state, transactions
from console.checks import settings as settings_check
from console.database import Database
from console.finding import Check, Finding, Surroundings, failed
from console.settings import ConsoleSettings
from outbox.errors import OutboxError
from runtime.errors import DatabaseUnavailableError

GROUP: Final = "outbox.doctor_checks"
OWN: Final[Mapping[str, Check]] = {
    "settings": settings_check.check,
    "postgres": database.check,
    "kafka": kafka.check,
    "transactions": transactions.check,
    "mail": mail.check,
    "state": state.check,
}


def examine(env: Mapping[str, str]) -> Iterator[Finding]:
    """Yield every finding about what *env* configures."""
    around = Surroundings(env, ConsoleSettings.load(env))
    try:
        with Database.open(around.settings.database_url) as opened:
            yield database.connected(around, opened, None)
            yield from _all(around)
    except DatabaseUnavailableError as error:
        yield database.connected(around, None, error)
        yield from _all(around)


def _all(around: Surroundings) -> Iterator[Finding]:
    for name, check in {**OWN, **_plugins()}.items():
        yield from _guarded(name, check, around)


def _plugins() -> dict[str, Check]:
    return {entry.name: _late(entry.load) for entry in entry_points(group=GROUP) if entry.name not in OWN}


def _late(load: "object") -> Check:
    """Return a check that is loaded when it runs, so that one that cannot be loaded fails alone."""

    def check(around: Surroundings) -> Iterator[Finding]:
        loaded: Check = load()  # type: ignore[operator]  # an entry point's `load`
        yield from loaded(around)

    return check


def _guarded(name: str, check: Check, around: Surroundings) -> Iterator[Finding]:
    try:
        yield from check(around)
    except OutboxError as error:
        fix = "; ".join(getattr(error, "__notes__", ())) or "see the lines above"
        yield failed(name, expected="to be checked", actual=str(error), fix=fix)
    except Exception as error:  # noqa: BLE001 - one check that is broken must not hide what the others find
        first = str(error).partition("\n")[0]
        yield failed(
            name,
            expected="to be checked",
            actual=f"{type(error).__name__}: {first}",
            fix="run again with OUTBOX_LOG_LEVEL=debug; report it",
        )
