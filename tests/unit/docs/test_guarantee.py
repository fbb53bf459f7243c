"""docs/guarantee.md names tests, rules and mutations that there are, and figures that the runs have left."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.mutations.mutation import load
from tests.support import guarantee

TEXT = guarantee.PAGE.read_text(encoding="utf-8")
RULE = re.compile(r"^\| (\d+) \|.*\| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
NAME = re.compile(r"`([^`]+)`")


@cache
def existing_tests() -> frozenset[str]:
    files = Path("tests").rglob("test_*.py")
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))

    assert len(named) > 30
    assert named - existing_tests() == set()


def test_every_rule_has_tests_and_mutations() -> None:
    rules = {int(number): (NAME.findall(tests), NAME.findall(broken)) for number, tests, broken in RULE.findall(TEXT)}

    assert sorted(rules) == list(range(1, 15))
    assert [number for number, (tests, broken) in rules.items() if not tests or not broken] == []


def test_every_mutation_that_is_named_breaks_the_rule_beside_it() -> None:
    known = {mutation.name: mutation.rule for mutation in load()}

    named = [(number, name) for number, _, broken in RULE.findall(TEXT) for name in NAME.findall(broken)]

    assert [(name, known.get(name)) for number, name in named if known.get(name) != f"rule {number}"] == []


def test_every_mutation_of_the_mailer_is_named() -> None:
    mail = TEXT.partition("\n## Mail\n")[2].partition("\n## ")[0]

    assert {name for name in NAME.findall(mail) if name.startswith("mail-") and not name.endswith("…")} == {
        mutation.name for mutation in load() if mutation.name.startswith("mail-")
    }


def test_what_was_run_is_what_the_files_say() -> None:
    """If not: `python -m tests.support.guarantee` writes it anew."""
    assert guarantee.with_section(TEXT) == TEXT
