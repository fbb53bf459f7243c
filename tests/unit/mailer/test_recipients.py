from mailer.recipients import hashing_secret, recipient_key
from mailer.settings import MailerSettings
from tests.unit.mailer.test_settings import PLAIN


def test_one_mailbox_has_one_key_however_it_is_written() -> None:
    key = recipient_key("Ada@Example.com", secret=b"s")

    assert recipient_key("ada@example.com ", secret=b"s") == key
    assert recipient_key("ada@example.org", secret=b"s") != key


def test_two_installations_have_different_keys_for_one_mailbox() -> None:
    keys = {recipient_key("ada@example.com", secret=hashing_secret(None, install)) for install in ("a", "b")}

    assert len(keys) == 2


def test_a_secret_that_is_set_replaces_the_installations() -> None:
    pepper = MailerSettings.load({**PLAIN, "OUTBOX_MAIL_RECIPIENT_SECRET": "pepper"}).mail_recipient_secret

    assert hashing_secret(pepper, "a") == hashing_secret(pepper, "b") == b"pepper"
