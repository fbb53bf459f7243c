"""What a worker hands to a transport."""

from mailer.rendering import Library
from mailer.worker import LibraryComposer
from tests.unit.mailer.test_tasks import a_claim

PAYLOAD = {"email": "u1@example.com", "name": "Ada", "unlocked_at": "2026-05-17T12:00:00Z"}


def outgoing(redirect_to: str | None) -> tuple[str, bytes]:
    composer = LibraryComposer(Library.load(), "no-reply@example.org", redirect_to)
    claim = a_claim(1, mail="account_unlocked", payload=PAYLOAD)
    message = composer.outgoing(claim, composer.content(claim)[0])
    return message.recipient, message.content


def test_a_redirected_mail_is_the_mail_itself_in_another_envelope() -> None:
    recipient, content = outgoing(None)
    redirected, same = outgoing("staging@example.org")

    assert (recipient, redirected) == ("u1@example.com", "staging@example.org")
    assert content == same
    assert b"To: u1@example.com" in content
