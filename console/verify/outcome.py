"""What came of it: counts, findings, and what could not be judged."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from console.verify.facts import Doubt, Finding, Kind, Note, Said
from runtime.exits import ExitCode

MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Range:
    """The windows of one shard that were compared."""

    shard: int
    first: int
    last: int


@dataclass(slots=True)
class Outcome:
    """The result; of each kind of finding the first *most* are kept, all are counted."""

    most: int = MOST
    ranges: list[Range] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    found: Counter[Kind] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    doubts: Counter[Doubt] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def hear(self, said: Iterable[Said]) -> None:
        """Keep what is *said*."""
        for one in said:
            match one:
                case Finding():
                    self.found[one.kind] += 1
                    if self.found[one.kind] <= self.most:
                        self.findings.append(one)
                case Doubt():
                    self.doubts[one] += 1
                case Note():
                    if len(self.notes) < self.most:
                        self.notes.append(one.text)

    @property
    def code(self) -> ExitCode:
        """Return 0 if all is well, 1 if a promise is broken, 4 if a part of the range could not be judged."""
        if self.found:
            return ExitCode.FAILED
        return ExitCode.UNJUDGED if any(not doubt.covered for doubt in self.doubts) else ExitCode.DONE
