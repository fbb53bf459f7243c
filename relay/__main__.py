"""`python -m relay run|drain`: the same as `outbox relay`, for where only the relay is installed."""

import os
import sys

import typer

from relay.commands import app
from runtime.errors import told
from runtime.exits import ExitCode, leave


def main() -> int:
    """Run the command, and return its exit code."""
    try:
        code = typer.main.get_command(app).main(prog_name="relay", standalone_mode=False, obj=os.environ)
    except Exception as error:  # noqa: BLE001  # the last place that can word it
        sys.stderr.write(told(error, getattr(error, "__notes__", ())))
        return int(getattr(error, "exit_code", ExitCode.FAILED))
    return code if isinstance(code, int) else ExitCode.DONE


if __name__ == "__main__":
    leave(main())
