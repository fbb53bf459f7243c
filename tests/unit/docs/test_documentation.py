"""What the documentation says is there, is there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from console.command import build

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=str)
PROMISES = """\
1. **Insert.** An event lives or dies with the host's transaction. Inserting never commits, flushes or opens one.
2. **Publish.** Every event of a durably committed transaction is seen exactly once by `read_committed` consumers, in
   emit order per key, provided that Kafka keeps what it acknowledged and PostgreSQL keeps what it fsynced. After
   a change of PostgreSQL's history (a lossy failover, a restore) the relay *stops and says so*; it never guesses.
3. **Consume.** One delivery per (event, mail, recipient), however often a record is read.
4. **Deliver.** A delivery ends as `sent`, or as a row that an operator can see and act upon. Mail cannot be exactly
   once: the reply to the final dot can be lost. Such a delivery is `in_doubt`, and a policy per mail says what then.
5. **Nothing vanishes.** Poison, malformed, exhausted: each is a row in `outbox.dead_letter` with its reason. Nothing
   unresolved is ever pruned.
"""
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
SHELLS = {"", "sh", "bash", "console"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"(?:^|[\s`(])(?:\.venv/bin/)?outbox ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")


def test_the_readme_prints_the_promises_word_for_word() -> None:
    assert PROMISES in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_code_block_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [line for language, block in FENCE.findall(text) if language in SHELLS for line in block.splitlines()]
    calls = {call for line in lines if not line.lstrip().startswith("#") for call in CALL.findall(line.split("#")[0])}

    unknown = [call for call in sorted(calls) if not _known(shlex.split(call))]

    assert unknown == []


def _known(words: list[str]) -> bool:
    """Return whether *words* lead to a command; the words after it are its arguments."""
    command: object = typer.main.get_command(build(None, complete=True))
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None:
            return True
        found = commands.get(word)
        if found is None:
            return False
        command = found
    return True
