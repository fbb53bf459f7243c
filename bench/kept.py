"""What a run measured, kept round by round: `results/NAME.json`. Every table and plot is made from it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.contest import Rounds

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Result:
    """The rounds of a bench, and the machine on which they were run."""

    machine: Mapping[str, str]
    rounds: Rounds


def save(name: str, result: Result) -> Path:
    """Write the result of bench *name*; return where."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    rounds = {
        contestant: [{figure: float(f"{value:.6g}") for figure, value in figures.items()} for figures in found]
        for contestant, found in result.rounds.items()
    }
    lines = [
        f"  {json.dumps(who)}: [\n    " + ",\n    ".join(map(json.dumps, found)) + "\n  ]"
        for who, found in rounds.items()
    ]
    machine = json.dumps(dict(result.machine), indent=2)
    path.write_text(f'{{\n"machine": {machine},\n"rounds": {{\n' + ",\n".join(lines) + "\n}\n}\n", encoding="utf-8")
    return path


def load(name: str) -> Result | None:
    """Return the last result of bench *name* that was kept, or None."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Result(found["machine"], found["rounds"])
