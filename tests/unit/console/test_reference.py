import pytest

from console import reference


def test_the_pages_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    code = reference.main(["--check"])

    assert (code, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("page", reference.PAGES)
def test_every_setting_command_and_metric_says_what_it_is(page: str) -> None:
    rows = [line for line in reference.PAGES[page]().splitlines() if line.startswith("| `")]

    assert [row for row in rows if row.rstrip().endswith("|  |")] == []
