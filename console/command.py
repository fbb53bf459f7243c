"""One run of the `outbox` command: build what is called, invoke it, and turn what it raises into words and a code."""

import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from console.parts import DISTRIBUTION, attach, chosen_of
from runtime.errors import told
from runtime.exits import ExitCode
from runtime.secrets import mask

COMPLETION = "_OUTBOX_COMPLETE"  # set by the shell that asks what could come next
INTERRUPTED = 130  # as shells count an end by SIGINT


def invoke(arguments: list[str], env: Mapping[str, str]) -> int:
    """Return the exit code of *arguments*."""
    try:
        command = typer.main.get_command(build(chosen_of(arguments), complete=COMPLETION in env))
        code = command.main(arguments, prog_name="outbox", standalone_mode=False, obj=env)
    except typer.Abort:
        sys.stderr.write("aborted: nothing was changed\n")
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that can word it
        return report(error, debug=env.get("OUTBOX_LOG_LEVEL", "").lower() == "debug")
    return code if isinstance(code, int) else ExitCode.DONE


def build(chosen: str | None, *, complete: bool = False) -> typer.Typer:
    """Return the app with the *chosen* part whole, or with every part whole."""
    app = typer.Typer(
        name="outbox",
        help="Events from PostgreSQL into Kafka exactly once, and mail that is neither lost nor doubled.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    attach(app, chosen=chosen, complete=complete)
    return app


def report(error: BaseException, *, debug: bool) -> int:
    """Write what went wrong and what to do about it to stderr, and return the exit code that it means."""
    if debug:
        sys.stderr.write(mask("".join(traceback.format_exception(error))))
    if hasattr(error, "format_message") and not error.format_message():
        return ExitCode.USAGE  # a group without a command: its help was printed, and says all
    sys.stderr.write(told(_sentence(error), _fixes(error)))
    code = getattr(error, "exit_code", ExitCode.FAILED)
    return int(code) if isinstance(code, int) else ExitCode.FAILED


def _sentence(error: BaseException) -> str:
    """Return the error's own words; typer's usage errors have theirs in a method."""
    if hasattr(error, "format_message"):
        message = str(error.format_message()).rstrip(".")
        return message[:1].lower() + message[1:]
    if type(error).__module__.partition(".")[0] in {"builtins", "psycopg", "sqlalchemy", "confluent_kafka"}:
        first = str(error).strip().partition("\n")[0]
        return f"unexpected {type(error).__name__}: {first}" if first else f"unexpected {type(error).__name__}"
    return str(error)


def _fixes(error: BaseException) -> Iterator[str]:
    yield from getattr(error, "__notes__", [])
    if (context := getattr(error, "ctx", None)) is not None and hasattr(error, "format_message"):
        yield f"see `{context.command_path} --help`"
    elif type(error).__module__.partition(".")[0] == "builtins":
        yield "run again with OUTBOX_LOG_LEVEL=debug for the traceback, and report it: this is a defect"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only here

        try:
            typer.echo(f"outbox {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            typer.echo("outbox, from a source tree that is not installed")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Events from PostgreSQL into Kafka exactly once, and mail that is neither lost nor doubled."""
