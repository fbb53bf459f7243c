"""`python -m relay run|drain`: the same as `outbox relay`, for where only the relay is installed."""

import os
import sys

import typer

from relay.commands import app
from runtime.exits import ExitCode, leave
from runtime.secrets import mask


def main() -> int:
    """Run the command, and return its exit code."""
    try:
        code = typer.main.get_command(app).main(prog_name="relay", standalone_mode=False, obj=os.environ)
    except Exception as error:  # noqa: BLE001  # the last place that can word it
        notes = getattr(error, "__notes__", ())
        sys.stderr.write(mask("\n".join([f"error: {error}", *(f"fix: {note}" for note in notes)])) + "\n")
        return int(getattr(error, "exit_code", ExitCode.FAILED))
    return code if isinstance(code, int) else ExitCode.DONE


if __name__ == "__main__":
    leave(main())
