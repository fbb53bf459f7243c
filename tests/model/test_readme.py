"""What the README says of the assumptions is there."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_each_assumption_names_tests_that_exist_and_each_test_is_named() -> None:
    named = set(re.findall(r"`(test_\w+)`", (HERE / "README.md").read_text()))
    sources = [path.read_text() for path in HERE.glob("test_assumptions*.py")]

    made = {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}

    assert len(made) > 20
    assert made == named
