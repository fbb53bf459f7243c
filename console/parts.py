"""The commands of `outbox` and where each lives; a part is imported when it is called, or when it must be complete.

`outbox --help` names every part without importing any: the drivers of all of them would cost a second.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

from console.errors import ConsoleError, ExtraMissingError

GROUP: Final = "outbox.commands"
DISTRIBUTION: Final = "pg-outbox-relay"


@dataclass(frozen=True, slots=True)
class Part:
    """One command or group of commands: what it is called, where it is, what it needs."""

    name: str
    target: str  # module:attribute
    help: str
    extra: str
    leads_to_commands: bool = True  # a group, else one command

    def load(self) -> object:
        """Return the typer app or function."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as missing:
            if (missing.name or module).partition(".")[0] in _OURS:
                raise  # no extra brings it: the installation is broken
            error = ExtraMissingError(self.name, missing.name or module)
            error.add_note(f"pip install '{DISTRIBUTION}[{self.extra}]'")
            raise error from missing


OWN: Final = (
    Part("status", "console.status_command:status", "What waits, what is stuck, and who holds it.", "console", False),
    Part(
        "doctor",
        "console.doctor_command:doctor",
        "Prove what the guarantee rests on; exit code 1 when a check fails.",
        "console",
        False,
    ),
    Part("trace", "console.trace_command:trace", "What became of one event, from commit to inbox.", "console", False),
    Part(
        "verify",
        "console.verify_command:verify",
        "Compare what Kafka holds with what PostgreSQL says it published.",
        "console",
        False,
    ),
    Part("dead", "console.dead_commands:app", "Dead letters: list, show, redrive, discard.", "console"),
    Part(
        "deliveries",
        "console.deliveries_commands:app",
        "Mail deliveries: list, and settle what is in doubt.",
        "console",
    ),
    Part("relay", "relay.commands:app", "Publish events: run as a service, or drain once.", "relay"),
    Part("topics", "relay.commands:topics_app", "Create and check Kafka topics.", "relay"),
    Part("mailer", "mailer.commands:app", "Turn records into mail: consume, work, sweep.", "mailer"),
    Part(
        "mail",
        "console.recipient_commands:app",
        "Mail folders: new, list, lint, preview, send a test. Recipients: suppress, erase.",
        "mailer",
    ),
    Part("migrate", "console.migrate:app", "Create and change the schema. Nothing migrates by itself.", "console"),
    Part("console", "console.web_commands:app", "A small web page: status and dead letters.", "console"),
)
_OURS: Final = ("outbox", "runtime", "relay", "mailer", "console")
# Plug-ins bring no help text before they are imported; these are ours.
_PLUGIN_HELP: Final = {"dev": "PostgreSQL, Kafka and a mail sink on this machine."}


def plugins() -> Iterator[EntryPoint]:
    """Return the commands that other distributions (and ours, for development) add; none replaces one of ours."""
    own = {part.name for part in OWN}
    return (entry for entry in entry_points(group=GROUP) if entry.name not in own)


def attach(app: typer.Typer, *, chosen: str | None, complete: bool) -> None:
    """Add every part to *app*: the *chosen* one whole, the others by name and help, or all whole when *complete*."""
    for part in OWN:
        whole = part.load() if part.name == chosen else _tried(part.load) if complete else None
        _add(app, name=part.name, whole=whole, help_text=part.help)
    for entry in plugins():
        dist = entry.dist.name if entry.dist else "another distribution"
        load = partial(_plugin, entry)
        whole = load() if entry.name == chosen else _tried(load) if complete else None
        _add(app, name=entry.name, whole=whole, help_text=_PLUGIN_HELP.get(entry.name, f"Added by {dist}."))


def chosen_of(arguments: Iterable[str]) -> str | None:
    """Return the part that *arguments* call: the first that is no option of `outbox` itself."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _add(app: typer.Typer, *, name: str, whole: object, help_text: str) -> None:
    match whole:
        case typer.Typer():
            app.add_typer(whole, name=name, help=help_text)
        case None:
            app.command(name, help=help_text)(_never_called)
        case _ if callable(whole):
            app.command(name)(whole)
        case _:
            raise TypeError(
                f"expected the command {name!r} to be a typer app or a function, got {type(whole).__name__}"
            )


def _never_called() -> None:
    """Stand in the list of commands for a part that was not called."""


def _tried(load: Callable[[], object]) -> object:
    try:
        return load()
    except (ConsoleError, ImportError):
        return None  # completion offers the name; calling it says what is wrong


def _plugin(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except ModuleNotFoundError as missing:
        error = ExtraMissingError(entry.name, missing.name or entry.value)
        error.add_note(f"install what {entry.dist.name if entry.dist else entry.value} needs for it")
        raise error from missing
