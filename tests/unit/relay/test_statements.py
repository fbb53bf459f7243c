"""Rule 14: a NOTIFY takes a lock for the whole server at commit, and hosts would wait for one another."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# PGMQ's own functions can notify, and the mailer does not ask them to.
FILES = sorted(
    path
    for folder in ("outbox/sql", "relay/sql", "migrations/sql")
    for path in (ROOT / folder).glob("*.sql")
    if "pgmq" not in path.name
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_no_statement_notifies(path: Path) -> None:
    code = "\n".join(line.partition("--")[0] for line in path.read_text(encoding="utf-8").splitlines())

    assert not re.search(r"\bpg_notify\b|\bnotify\s+\w", code, re.IGNORECASE)
