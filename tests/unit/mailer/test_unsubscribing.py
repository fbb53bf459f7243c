import pytest
from pydantic import SecretStr

from mailer.errors import MailFolderError
from mailer.mail import mail_from_toml
from mailer.unsubscribing import Unsubscribing

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
