"""What every contestant sends: the mail `role_upgrade`, as templates of jinja2 and Django alike."""

from __future__ import annotations

from mailer.rendering import Library, Rendered

MAIL = "role_upgrade"
PAYLOAD = {
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "locale": "en",
    "new_role": "ADMIN",
    "old_role": "MEMBER",
}
EVENT = {"event_id": "6f1c2a8e-0000-4000-8000-000000000000", "type": "user.role_upgraded"}
EVENT |= {"aggregate_type": "user", "aggregate_id": "42"}


def rendered() -> Rendered:
    """Return the mail as ours renders it."""
    return Library.load().render(MAIL, payload=PAYLOAD, event=EVENT, locale="en")


def usual_texts() -> tuple[str, str, str]:
    """Return subject, text and HTML with the name as `{{ payload.name }}`; everything else is in them already."""
    mail = rendered()
    named = [text.replace(PAYLOAD["name"], "{{ payload.name }}") for text in (mail.subject, mail.text, mail.html or "")]
    return named[0], named[1], named[2]
