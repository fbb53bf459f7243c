from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from mailer.compose import compose
from mailer.errors import HeaderRefusedError, MailFolderError
from mailer.mail import mail_from_toml
from mailer.rendering import Rendered
from mailer.settings import MailerSettings
from mailer.unsubscribing import Unsubscribing
from runtime.errors import SettingsError

KEY = bytes(range(32))


def signing(words: str = "new old") -> Unsubscribing:
    return Unsubscribing("https://mail.example.org/", SecretStr(words))


def test_the_headers_are_those_of_one_click_and_name_nobody() -> None:
    headers = signing().headers(KEY)

    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = headers["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://mail.example.org/unsubscribe/")
    assert signing().key_of(link.rpartition("/")[2]) == KEY


def test_a_link_outlives_the_change_of_the_secret_and_not_its_end() -> None:
    token = signing("old").token(KEY)

    assert signing("new old").key_of(token) == KEY
    assert signing("new").key_of(token) is None
    assert signing("new old").token(KEY) == signing("new").token(KEY)


@pytest.mark.parametrize("token", ["", "x", "a.b", "ImFkYSI.aaaa", "\x00", "é", "." * 5000])
def test_a_link_that_we_did_not_sign_is_nobodys(token: str) -> None:
    assert signing().key_of(token) is None


def test_one_changed_character_makes_it_nobodys() -> None:
    token = signing().token(KEY)

    for place in range(0, len(token), 7):
        other = "A" if token[place] != "A" else "B"
        assert signing().key_of(token[:place] + other + token[place + 1 :]) is None


def test_nobody_unsubscribes_from_security_mail() -> None:
    table = {"event": "user.locked", "to": "{{ payload.email }}", "lane": "security", "suppressible": True}

    with pytest.raises(MailFolderError, match="expected suppressible to be false in the lane 'security', got True"):
        mail_from_toml("account_locked", table, version="v1")


URLS = st.text(
    st.one_of(st.characters(), st.sampled_from("\r\n\t\x00\x0b\x1c\x85\u2028<>,; =?@")), min_size=1, max_size=60
)


@given(URLS, st.binary(min_size=32, max_size=32))
@example("https://mail.example.org\r\nBcc: eve@example.com", KEY)
@example("https://mail.example.org>, <mailto:eve@example.com", KEY)
@example("https://mail.example.org/=?utf-8?q?=0D=0ABcc:_eve@example.com?=", KEY)
def test_no_address_of_the_endpoint_makes_a_second_header_or_a_second_link(base: str, key: bytes) -> None:
    headers = Unsubscribing(base, SecretStr("secret")).headers(key)
    try:
        message = compose(
            Rendered("Hello", "text\n", None),
            message_id="<5c1b@example.com>",
            sender="no-reply@example.com",
            recipient="ada@example.com",
            date=datetime(2026, 11, 24, tzinfo=UTC),
            extra_headers=headers,
        )
    except HeaderRefusedError:
        return

    lines = [line for line in message.partition(b"\r\n\r\n")[0].split(b"\r\n") if not line.startswith(b" ")]
    assert [line.partition(b":")[0] for line in lines[7:9]] == [b"List-Unsubscribe", b"List-Unsubscribe-Post"]
    assert len(lines) == 11


@pytest.mark.parametrize(
    "url",
    [
        "https://mail.example.org\r\nBcc: eve@example.com",
        "https://mail.example.org>, <mailto:eve@example.com",
        "http://mail.example.org",
        "https://",
        "mailto:eve@example.com",
    ],
)
def test_an_address_of_the_endpoint_that_is_none_is_no_setting(url: str) -> None:
    environment = {
        "OUTBOX_DATABASE_URL": "postgresql://localhost/x",
        "OUTBOX_KAFKA_BOOTSTRAP": "localhost:1",
        "OUTBOX_MAIL_DSN": "null:",
        "OUTBOX_MAIL_FROM": "no-reply@example.com",
        "OUTBOX_MAIL_UNSUBSCRIBE_URL": url,
        "OUTBOX_MAIL_UNSUBSCRIBE_SECRET": "a" * 40,
    }

    with pytest.raises(SettingsError, match="OUTBOX_MAIL_UNSUBSCRIBE_URL"):
        MailerSettings.load(environment)
