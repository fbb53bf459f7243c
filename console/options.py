"""Options that many commands share, so that they are called and described alike."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON document on stdout.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the row and in the audit.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count and show what would be done.")]
