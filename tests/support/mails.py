"""A library of one mail without a fault, for tests that put one in."""

import json
from pathlib import Path

from mailer.errors import MalformedEventError
from mailer.rendering import Library, Rendered

FILES = {
    "mail.toml": """\
event = "user.greeted"
to = "{{ payload.email }}"
locale = "{{ payload.locale | default('') }}"
""",
    "subject.txt": "Hello {{ payload.name | default('') | person }}\n",
    "body.txt": '{% extends "_base/layout.txt" %}\n{% block content %}\nGood day.\n{% endblock %}\n',
    "body.html": (
        '{% extends "_base/layout.html" %}\n{% block title %}Hello{% endblock %}\n'
        "{% block content %}\n<p>Good day.</p>\n{% endblock %}\n"
    ),
    "samples/typical.json": json.dumps({"email": "ada@example.com", "name": "Ada", "locale": "en"}),
    "samples/longest.json": json.dumps({"email": "ada@example.com", "name": "A" * 60, "locale": "de"}),
}


class MailFiles:
    """The folder `greeting` in a library of its own."""

    def __init__(self, root: Path) -> None:
        """Write the mail under *root*."""
        self.root = root
        self.folder = root / "greeting"
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write one of its files anew."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Change one place of one file."""
        text = (self.folder / name).read_text("utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def remove(self, name: str) -> None:
        """Remove one of its files."""
        (self.folder / name).unlink()

    def load(self) -> Library:
        """Return the library as it is now."""
        return Library.load(self.root)

    def render(self, payload: dict[str, object], *, locale: str | None = None) -> Rendered:
        """Return the mail for *payload*."""
        return self.load().render("greeting", payload=payload, event={"event_id": "e"}, locale=locale)

    def refusal(self, payload: object) -> MalformedEventError:
        """Return why no delivery is made of an event with *payload*."""
        library = self.load()
        try:
            library.recipient_and_locale(library.mails[0], {"payload": payload})
        except MalformedEventError as error:
            return error
        raise AssertionError("expected the event to be refused")
