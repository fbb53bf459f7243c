"""Errors cross processes whole: Celery and multiprocessing pickle them."""

import pickle

import pytest

from mailer import errors

EXAMPLES: tuple[errors.MailerError, ...] = (
    errors.MailFolderError("greeting/mail.toml", "to is missing"),
    errors.MalformedEventError("greeting", "no_recipient", "'email' is undefined"),
    errors.RenderError("greeting/body.txt", 3, "reason", "'reason' is undefined"),
    errors.HeaderRefusedError("Subject", "its value has a line break"),
    errors.AddressRefusedError("recipient", "it has no @"),
    errors.TransportDsnError("smtp://***:***@mx", "it has no host"),
    errors.RemoteControlError("ping"),
)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_from_a_pickle_with_its_facts_and_notes(error: errors.MailerError) -> None:
    error.add_note("the fix")

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__notes__ == ["the fix"]


def test_what_can_never_be_sent_is_one_kind() -> None:
    unsendable = {type(error).__name__ for error in EXAMPLES if isinstance(error, errors.UnsendableMailError)}

    assert unsendable == {"RenderError", "HeaderRefusedError", "AddressRefusedError"}
