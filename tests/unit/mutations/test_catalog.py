"""The mutations are as many as the rules, still apply, and have been seen red."""

import re
from pathlib import Path

import pytest

from tests.mutations.mutation import Change, Mutation, StaleMutationError, load, mutated
from tests.mutations.results import read

ROOT = Path(__file__).parents[3]
MUTATIONS = load()
# Those that protocol section 5 names.
NAMED = {
    "barrier-off",
    "bound-from-the-sequence",
    "xmax-of-a-left-out",
    "no-renewal-after-unclean",
    "shared-progress-partition",
    "end-of-partition",
    "init-before-the-lease-check",
    "order-by-tx",
}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_still_applies_and_its_tests_exist(mutation: Mutation) -> None:
    changed = mutated(ROOT, mutation)

    assert all(path.read_text(encoding="utf-8") != text for path, text in changed.items())
    assert [test for test in mutation.tests if not _exists(test)] == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_has_been_seen_red(mutation: Mutation) -> None:
    noticed = read()[mutation.name]

    assert noticed["breaks"] == mutation.breaks
    assert _exists(noticed["caught_by"])


def test_every_rule_is_broken_by_one() -> None:
    rules = {int(rule) for mutation in MUTATIONS for rule in re.findall(r"rule (\d+)", mutation.rule)}

    assert rules == set(range(1, 15))
    assert {mutation.name for mutation in MUTATIONS} >= NAMED


@pytest.mark.parametrize("old", ["", "b", "a b a"])
def test_a_text_that_is_not_there_once_is_refused(old: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a a", encoding="utf-8")
    mutation = Mutation("m", "rule 1", "it breaks", (Change("file", old or "a", "c"),), ())

    with pytest.raises(
        StaleMutationError, match=r"expected the old text of mutation 'm' once in file, got it [02] times"
    ):
        mutated(tmp_path, mutation)


def _exists(test: str) -> bool:
    """Return whether the file of a node id has that function."""
    file, _, name = test.partition("::")
    path = ROOT / file
    return path.is_file() and f"def {name.partition('[')[0]}(" in path.read_text(encoding="utf-8")
