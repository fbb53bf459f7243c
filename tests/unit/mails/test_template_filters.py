"""Values of events are shown, linked and greeted with only as far as that is safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.template_filters import ValueRefusedError, constant, link, moment_in, person


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/verify?token=a&b=c#d",
        "http://localhost:8000/x",
        "http://127.0.0.1/x",
    ],
)
def test_a_safe_link_is_kept_as_it_is(url: str) -> None:
    assert link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "/relative",
        "//example.com",
        "https://",
        "https://example.com/a b",
        "https://example.com\n",
        "java\nscript:alert(1)",
        "https://bank.example@evil.example/",
        "https://[::1",
        "",
        None,
        7,
    ],
)
def test_an_unsafe_link_is_refused_without_being_shown(url: object) -> None:
    with pytest.raises(ValueRefusedError) as refused:
        link(url)

    assert "example" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        ("Ada", "Ada"),
        ("  Ada \n Lovelace ", "Ada Lovelace"),
        ("Dr. Ada Lovelace", "Dr. Ada Lovelace"),
        ("Anne-Marie O'Neill", "Anne-Marie O'Neill"),
        ("李小龍", "李小龍"),
        ("You won! see evil.example", ""),
        ("http://evil", ""),
        ("www.evil", ""),
        ("a@b", ""),
        ("<b>", ""),
        ("", ""),
        (None, ""),
        (["Ada"], ""),
    ],
)
def test_a_name_is_greeted_with_unless_a_client_would_make_a_link_of_it(name: object, greeted: str) -> None:
    assert person(name) == greeted


def test_a_long_name_is_cut_between_words() -> None:
    assert person("Maximiliane Theodora Freifrau von der Heidenreich-Oberkirchenbach") == (
        "Maximiliane Theodora Freifrau von der…"
    )


@given(st.text())
def test_a_name_never_breaks_a_line_and_never_gets_long(name: str) -> None:
    greeted = person(name)

    assert len(greeted) <= 61
    assert greeted.splitlines() in ([], [greeted])


def test_a_constant_is_written_as_words() -> None:
    assert constant("SENIOR_EDITOR") == "Senior editor"


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ("en", "4 March 2026, 22:59 UTC"),
        ("de", "4. März 2026, 22:59 UTC"),
        ("de-at", "4. März 2026, 22:59 UTC"),
        ("fr", "2026-03-04 22:59 UTC"),
    ],
)
def test_a_moment_is_written_in_the_language_of_the_mail(locale: str, shown: str) -> None:
    assert moment_in(locale)("2026-03-04T23:59:59+01:00") == shown


@pytest.mark.parametrize("value", ["tomorrow", "2026-03-04T10:00:00", "", None, 7])
def test_a_moment_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(ValueRefusedError, match="instant"):
        moment_in("en")(value)
