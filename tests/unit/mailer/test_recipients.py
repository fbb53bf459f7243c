from mailer.recipients import hashing_secret, recipient_key
from mailer.settings import MailerSettings
from tests.unit.mailer.test_settings import PLAIN


def test_one_mailbox_has_one_key_however_it_is_written() -> None:
    key = recipient_key("Ada@Example.com", secret=b"s")

    assert recipient_key("ada@example.com ", secret=b"s") == key
    assert recipient_key("ada@example.org", secret=b"s") != key


def test_two_installations_have_different_keys_for_one_mailbox() -> None:
    settings = MailerSettings.load(PLAIN)

    keys = {recipient_key("ada@example.com", secret=hashing_secret(settings, install)) for install in ("a", "b")}

    assert len(keys) == 2


def test_a_secret_that_is_set_replaces_the_installations() -> None:
    settings = MailerSettings.load({**PLAIN, "OUTBOX_MAIL_RECIPIENT_SECRET": "pepper"})

    assert hashing_secret(settings, "a") == hashing_secret(settings, "b") == b"pepper"
