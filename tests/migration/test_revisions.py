"""Revisions are numbers that follow one another, and each says why, what it locks and when it runs."""

import re

import pytest
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from console.migration_files import folder

_CONFIG = Config()
_CONFIG.set_main_option("script_location", str(folder()))
REVISIONS = list(reversed(list(ScriptDirectory.from_config(_CONFIG).walk_revisions())))


def test_revisions_are_numbers_of_four_digits_that_follow_one_another() -> None:
    assert [revision.revision for revision in REVISIONS] == [f"{number + 1:04}" for number in range(len(REVISIONS))]


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: str(revision.revision))
def test_a_revision_says_why_which_locks_and_which_phase(revision: Script) -> None:
    said = revision.module.__doc__ or ""

    assert re.search(r"Why: .+", said)
    assert re.search(r"Locks: .+", said)
    assert re.search(r"Phase: (expand|contract)\.", said)
    assert revision.path.endswith(".py")
    assert f"/{revision.revision}_" in revision.path
