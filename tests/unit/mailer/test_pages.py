"""The pages of unsubscription are in the reader's language, whole, and name nobody."""

import pytest

from mailer import pages


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("DE", "de"),
        ("fr-FR, de;q=0.8, en;q=0.7", "de"),
        ("en-GB,de;q=0.1", "en"),
        ("fr", "en"),
        (",;=q,;;,", "en"),
    ],
)
def test_a_page_is_in_the_first_language_of_the_browser_that_there_is(accepted: str, expected: str) -> None:
    assert pages.language(accepted) == expected


@pytest.mark.parametrize("tongue", ["en", "de"])
def test_only_the_question_has_a_form_and_none_runs_or_loads_anything(tongue: str) -> None:
    for page, forms in ((pages.ask, 1), (pages.done, 0), (pages.unknown, 0)):
        shown = page(tongue)

        assert f'<html lang="{tongue}">' in shown
        assert shown.count('<form method="post">') == shown.count("<button>") == forms
        for loads in ("<script", "http:", "https:", "src=", "url("):
            assert loads not in shown
