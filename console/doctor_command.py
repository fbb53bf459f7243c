"""`outbox doctor`."""

from collections import Counter
from typing import Annotated

import typer
from rich.text import Text

from console import output
from console.doctor import examine
from console.finding import Finding, Mark
from console.options import AsJson
from runtime.exits import ExitCode

_STYLES = {Mark.GOOD: "green", Mark.FAILED: "bold red", Mark.WARNED: "yellow", Mark.SKIPPED: "dim"}


def doctor(
    context: typer.Context,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what fails or should be looked at.")] = False,
) -> None:
    """Prove what the guarantee rests on, one line a check: ✓ good, ✗ failed, ! look at it, - not checked here.

    Changes nothing and sends no mail. Exit code 1 when any check fails, so that it can gate a deploy.
    """
    out = output.stdout()
    findings: list[Finding] = []
    for finding in examine(context.obj):
        findings.append(finding)
        if not as_json and not (quiet and finding.mark in {Mark.GOOD, Mark.SKIPPED}):
            out.print(_line(finding), soft_wrap=True)
    marks = Counter(finding.mark for finding in findings)
    if as_json:
        names = {mark: mark.name.lower() for mark in Mark}
        checks = [{**output.fields(finding), "mark": names[finding.mark]} for finding in findings]
        output.print_json(
            {"ok": not marks[Mark.FAILED], "checks": checks, "counts": {names[m]: marks[m] for m in Mark}}
        )
    else:
        words = {Mark.GOOD: "good", Mark.FAILED: "failed", Mark.WARNED: "to look at", Mark.SKIPPED: "not checked"}
        out.print(", ".join(f"{marks[mark]} {word}" for mark, word in words.items()), style="bold")
    if marks[Mark.FAILED]:
        raise typer.Exit(ExitCode.FAILED)


def _line(finding: Finding) -> Text:
    line = Text.assemble((f"{finding.mark} ", _STYLES[finding.mark]), f"{finding.check}: ")
    if finding.mark in {Mark.GOOD, Mark.SKIPPED}:
        return line.append(finding.actual, style=None if finding.mark is Mark.GOOD else "dim")
    line.append(f"expected {finding.expected}, got {finding.actual}")
    return line.append(f"\n    fix: {finding.fix}", style="cyan") if finding.fix else line
