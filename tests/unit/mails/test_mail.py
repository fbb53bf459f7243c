"""A mail.toml says what it says, and nothing that it does not know is a default."""

from datetime import timedelta

import pytest

from mailer.errors import MailFolderError
from mailer.mail import Mail, mail_from_toml

LEAST: dict[str, object] = {"event": "user.greeted", "to": "{{ payload.email }}"}


def test_the_least_that_a_mail_says_leaves_the_rest_to_defaults() -> None:
    assert mail_from_toml("greeting", LEAST, version="1") == Mail(
        name="greeting",
        event="user.greeted",
        to="{{ payload.email }}",
        lane="default",
        priority=100,
        expires_after=timedelta(hours=72),
        in_doubt="hold",
        locale=None,
        suppressible=False,
        version="1",
    )


def test_a_security_notice_is_worth_sending_for_a_day() -> None:
    assert mail_from_toml("greeting", LEAST | {"lane": "security"}, version="1").expires_after == timedelta(hours=24)


@pytest.mark.parametrize(
    ("text", "duration"),
    [("30m", timedelta(minutes=30)), ("24h", timedelta(hours=24)), ("3d", timedelta(days=3))],
)
def test_a_duration_has_a_unit(text: str, duration: timedelta) -> None:
    assert mail_from_toml("greeting", LEAST | {"expires_after": text}, version="1").expires_after == duration


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("event", "", "a string that is not empty"),
        ("event", 7, "a string that is not empty"),
        ("to", None, "to is missing"),
        ("lane", "Fast Lane", "a word of lower-case letters"),
        ("priority", -1, "a whole number from 0 to 32767"),
        ("priority", True, "a whole number from 0 to 32767"),
        ("expires_after", "24", 'a duration such as "30m"'),
        ("expires_after", 24, 'a duration such as "30m"'),
        ("expires_after", "0h", 'a duration such as "30m"'),
        ("in_doubt", "retry", '"resend" or "hold"'),
        ("suppressible", "yes", "true or false"),
        ("in_dobut", "hold", "unknown key 'in_dobut'"),
    ],
)
def test_a_wrong_key_is_refused_with_what_it_should_be(key: str, value: object, expected: str) -> None:
    table = {name: text for name, text in (LEAST | {key: value}).items() if text is not None}

    with pytest.raises(MailFolderError, match=expected) as refused:
        mail_from_toml("greeting", table, version="1")

    assert refused.value.where == "greeting/mail.toml"


@pytest.mark.parametrize("name", ["", "Greeting", "1st", "a-b", "../etc", "a" * 64])
def test_a_name_that_is_no_folder_of_ours_is_refused(name: str) -> None:
    with pytest.raises(MailFolderError, match="lower-case letters"):
        mail_from_toml(name, LEAST, version="1")
