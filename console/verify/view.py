"""The outcome as people read it: counts first, then each finding, then what could not be judged."""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from console.output import counted
from console.verify.facts import Finding, Kind
from console.verify.outcome import Outcome
from runtime.exits import ExitCode

_WORDS: Mapping[Kind, str] = {
    Kind.LOST: "lost",
    Kind.DOUBLED: "doubled",
    Kind.MADE_UP: "made up",
    Kind.DEAD_AND_PUBLISHED: "dead letter and published",
    Kind.MISPLACED: "wrong topic or key",
    Kind.DISORDERED: "out of order",
    Kind.CHAIN: "broken chain of positions",
    Kind.BARRIER: "missing or other barrier",
    Kind.PAGE: "count or digest of a page",
}
_VERDICTS: Mapping[ExitCode, tuple[str, str]] = {
    ExitCode.DONE: ("all of it is as it should be", "bold green"),
    ExitCode.FAILED: ("a promise is broken", "bold red"),
    ExitCode.UNJUDGED: ("nothing wrong was found, and a part could not be judged", "bold yellow"),
}


def render(outcome: Outcome) -> Group:
    """Return what `outbox verify` prints."""
    return Group(*_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[RenderableType]:
    for one in outcome.ranges:
        yield Text(f"shard {one.shard}: windows {one.first:,} to {one.last:,}")
    if not outcome.ranges:
        yield Text("there is no confirmed window in this range", style="yellow")
    counts = outcome.counts
    yield Text(
        f"{counted(counts['events'], 'event')} in {counted(counts['windows'], 'window')}, "
        f"{counted(counts['dead_letters'], 'dead letter')} among them; "
        f"{counted(counts['records'], 'record')} in {counted(len(outcome.topics), 'topic')}"
    )
    yield Text(", ".join(f"{outcome.found[kind]:,} {word}" for kind, word in _WORDS.items()))
    for kind, word in _WORDS.items():
        of_kind = [finding for finding in outcome.findings if finding.kind is kind]
        for finding in of_kind:
            yield Text.assemble((f"{word}: ", "red"), f"{finding.problem}{_place(finding)}")
        if (more := outcome.found[kind] - len(of_kind)) > 0:
            yield Text(f"{word}: and {more:,} more; --most names more of them", style="red")
    for doubt, count in outcome.doubts.items():
        style = "dim" if doubt.covered else "yellow"
        yield Text.assemble(("not judged: ", style), f"{doubt.reason} ({count:,})")
    for note in outcome.notes:
        yield Text(f"note: {note}", style="dim")
    yield Text(*_VERDICTS[outcome.code])


def _place(finding: Finding) -> str:
    if finding.topic is None or finding.offset is None:
        return ""
    return f" ({finding.topic}/{finding.partition}@{finding.offset})"


def document(outcome: Outcome) -> dict[str, object]:
    """Return what `outbox verify --json` prints."""
    verdicts = {ExitCode.DONE: "well", ExitCode.FAILED: "broken", ExitCode.UNJUDGED: "unjudged"}
    return {
        "ok": outcome.code is ExitCode.DONE,
        "verdict": verdicts[outcome.code],
        "range": outcome.ranges,
        "topics": outcome.topics,
        "counts": {**outcome.counts, **{str(kind): outcome.found[kind] for kind in Kind}},
        "findings": outcome.findings,
        "unjudged": [
            {"reason": doubt.reason, "count": count, "covered": doubt.covered}
            for doubt, count in outcome.doubts.items()
        ],
        "notes": outcome.notes,
    }
