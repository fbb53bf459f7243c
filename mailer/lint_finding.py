"""One thing that is wrong with a mail, and how to put it right."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Where, which rule, what, and the fix."""

    path: Path
    line: int
    rule: str
    problem: str
    fix: str

    def __str__(self) -> str:
        """Return the finding as editors and people read it."""
        return f"{self.path}:{self.line}: {self.rule}: {self.problem}\n    fix: {self.fix}"
