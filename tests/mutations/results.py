"""The results that are kept: by mutation, the test that noticed it."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.mutations.mutation import Mutation
from tests.mutations.running import Outcome, Red

FILE = Path(__file__).parent / "results.json"


def read(path: Path = FILE) -> dict[str, dict[str, Any]]:
    """Return what is kept, by mutation."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def keep(tried: Iterable[tuple[Mutation, Outcome]], *, known: Iterable[str], commit: str, path: Path = FILE) -> None:
    """Note what came of the mutations that were *tried*; of the others that are *known*, what was noted stays."""
    kept: dict[str, Mapping[str, Any]] = {**read(path)}
    for mutation, outcome in tried:
        kept[mutation.name] = {
            "rule": mutation.rule,
            "breaks": mutation.breaks,
            "caught_by": outcome.test if isinstance(outcome, Red) else None,
            "seconds": round(outcome.seconds, 1) if isinstance(outcome, Red) else None,
            "commit": commit,
        }
    stays = {name: kept[name] for name in sorted(known) if name in kept}
    path.write_text(json.dumps(stays, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def commit_of(root: Path) -> str:
    """Return the commit of the tree at *root*, marked if it has changes of its own."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=root, check=True, capture_output=True, text=True
    )
    return described.stdout.strip()
