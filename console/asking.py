"""A yes before anything changes."""

import sys

import typer

from console.errors import UsageError


def agree(action: str) -> None:
    """Ask whether to do *action*, and end the command at a no; where nobody can be asked, say how to agree."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm(f"{action}?", abort=True, err=True)
        return
    error = UsageError(f"expected --yes to {action}: nobody can be asked here")
    error.add_note("look with --dry-run first, then give --yes")
    raise error
