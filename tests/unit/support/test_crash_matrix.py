"""Every row of the crash matrix has its test, and every test of the folder its row."""

import re
from pathlib import Path

from relay.telemetry import EVENTS
from tests.acceptance.matrix.crash_points import CRASH_POINTS, ELSEWHERE
from tests.acceptance.matrix.test_crash_points import CHAINS

ACCEPTANCE = Path(__file__).parents[2] / "acceptance"
MATRIX = ACCEPTANCE / "matrix"
ROWS = (
    "before W1, between W1 and W2",
    "after W2, before begin; during produce; before EndTxn",
    "EndTxn never received",
    "EndTxn received, answer lost, relay dead",
    "answer lost, relay alive",
    "after commit, before the mirror; between pages of a window",
    "zombie paused before commit, successor took over",
    "broker times the transaction out",
    "Kafka away for hours",
    "PostgreSQL crashes before / after W2 is durable",
    "host in two-phase commit, host transaction open for hours",
    "dead letter written, relay dies",
    "lossy failover",
    "restore",
    "standby DSN",
    "progress topic gone",
    "foreign record",
    "at each telemetry event of the publish path",
)


def named_by_row() -> dict[str, list[str]]:
    """Return the tests that the README names for each row."""
    lines = (MATRIX / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: re.findall(r"`([^`]+)`", row[-1]) for row in cells[2:]}


def exists(test: str) -> bool:
    """Return whether *test*, a path below `acceptance` and a function, is there."""
    file, _, name = test.partition("::")
    path = ACCEPTANCE / file
    return path.is_file() and f"\ndef {name}(" in path.read_text(encoding="utf-8")


def test_every_row_has_a_test_that_exists() -> None:
    found = named_by_row()

    assert tuple(found) == ROWS
    assert [row for row, tests in found.items() if not tests] == []
    assert [test for tests in found.values() for test in tests if not exists(test)] == []


def test_every_test_of_the_folder_has_a_row() -> None:
    named = {test for tests in named_by_row().values() for test in tests}
    there = {
        f"matrix/{path.name}::{name}"
        for path in MATRIX.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert there - named == set()


def test_everything_that_a_relay_tells_of_is_a_crash_point_or_says_why_not() -> None:
    assert set(CRASH_POINTS) | set(ELSEWHERE) == set(EVENTS)
    assert set(CRASH_POINTS) & set(ELSEWHERE) == set()


def test_make_test_kills_a_relay_at_each_but_the_one_that_takes_a_minute() -> None:
    killed = [place for chain in CHAINS for place in chain]

    assert set(CRASH_POINTS) - set(killed) == {"relay.progress.checked"}
