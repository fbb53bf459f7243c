"""The mails that are shipped: what they answer, and that nothing is wrong with them."""

import pytest

from mailer.lint import lint
from mailer.mail_folders import read_sample
from mailer.rendering import Library

EVENT = {"event_id": "e", "type": "t", "aggregate_type": "user", "aggregate_id": "42"}
ADDRESS = {"email": "ada@example.com"}
# What design.md promises that each event's payload has, beside `email`.
REQUIRED: dict[str, tuple[str, dict[str, object]]] = {
    "user.registered": ("account_verification", {"verification_url": "https://example.com/v/1"}),
    "user.locked": ("account_locked", {"reason": "too many attempts"}),
    "user.unlocked": ("account_unlocked", {}),
    "user.role_upgraded": ("role_upgrade", {"new_role": "ADMIN"}),
    "user.professional_status_upgraded": ("professional_status_upgrade", {}),
    "user.password_reset_requested": (
        "password_reset",
        {"reset_url": "https://example.com/r/1", "expires_at": "2026-11-24T10:30:00Z"},
    ),
}


def test_they_are_without_a_finding() -> None:
    assert [str(finding) for finding in lint()] == []


def test_there_is_one_for_each_promised_event(shipped: Library) -> None:
    assert {mail.event: mail.name for mail in shipped.mails} == {event: name for event, (name, _) in REQUIRED.items()}


def test_they_are_in_english_and_german(shipped: Library) -> None:
    assert {shipped.locales_of(mail.name) for mail in shipped.mails} == {("en", "de")}


@pytest.mark.parametrize("event", REQUIRED)
def test_what_is_promised_of_the_payload_is_enough(shipped: Library, event: str) -> None:
    (mail,) = shipped.mails_for(event)

    assert shipped.recipient_and_locale(mail, {**EVENT, "payload": ADDRESS | REQUIRED[event][1]}) == (
        "ada@example.com",
        "en",
    )


@pytest.mark.parametrize("event", [event for event, (_, payload) in REQUIRED.items() if payload])
def test_each_shows_what_it_is_about(shipped: Library, event: str) -> None:
    name, payload = REQUIRED[event]
    shown = {"expires_at": "24 November 2026, 10:30 UTC", "new_role": "Admin"}

    rendered = shipped.render(name, payload=ADDRESS | payload, event=EVENT, locale="en")

    for key, value in payload.items():
        assert str(shown.get(key, value)) in rendered.text
        assert str(shown.get(key, value)) in str(rendered.html)


def test_the_old_role_is_shown_where_it_is_known(shipped: Library) -> None:
    payload: dict[str, object] = {"email": "ada@example.com", "new_role": "ADMIN", "old_role": "MEMBER"}

    assert "Until now: Member" in shipped.render("role_upgrade", payload=payload, event=EVENT, locale="en").text


def test_security_notices_go_first_and_may_be_sent_again_when_in_doubt(shipped: Library) -> None:
    security = {mail.name: (mail.in_doubt, mail.suppressible) for mail in shipped.mails if mail.lane == "security"}

    assert security == dict.fromkeys(
        ("account_locked", "account_unlocked", "account_verification", "password_reset"), ("resend", False)
    )
    assert shipped.lanes == ("default", "security")


def test_a_german_mail_has_no_english_sentence(shipped: Library) -> None:
    for mail in shipped.mails:
        payload = read_sample(shipped.folder(mail.name).path / "samples" / "longest.json")
        rendered = shipped.render(mail.name, payload=payload, event=EVENT, locale="de")

        assert not {"your", "the", "you", "hello"} & set(f"{rendered.subject} {rendered.text}".lower().split())
