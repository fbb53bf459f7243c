"""A new mail's folder, complete and without a finding: what `outbox mail new` writes for its author to change."""

import json
from pathlib import Path

from mailer.errors import MailFolderError
from mailer.mail import is_mail_name

_TOML = """\
# When this mail is sent, and why.
event = "{event}"
to = "{{{{ payload.email }}}}"
locale = "{{{{ payload.locale | default('') }}}}"
# A lane has its own workers; in it, a lower priority goes first. Security notices belong in the lane "security".
lane = "default"
priority = 100
expires_after = "72h"
# When nobody knows whether the server took it: "resend" once, or "hold" until an operator decides.
in_doubt = "hold"
"""
_SUBJECT = "{title}\n"
_TEXT = """\
{{% extends "_base/layout.txt" %}}
{{% block content %}}
This is what the mail says, in plain text.
{{% endblock %}}
"""
_HTML = """\
{{% extends "_base/layout.html" %}}
{{% block title %}}{title}{{% endblock %}}
{{% block preheader %}}What inboxes show beside the subject.{{% endblock %}}
{{% block content %}}
<p>This is what the mail says.</p>
{{% endblock %}}
"""


def new_mail(root: Path, name: str, *, event: str) -> tuple[Path, ...]:
    """Write the folder *name* into the library *root* and return its files; an existing one is left alone."""
    if not is_mail_name(name):
        raise MailFolderError(name, "expected a name of lower-case letters, digits and _, 63 characters at most")
    folder = root / name
    if folder.exists():
        raise MailFolderError(str(folder), "exists already")
    title = name.replace("_", " ").capitalize()
    payload = {"email": "ada@example.com", "name": "Ada Lovelace", "locale": "en"}
    longest = {**payload, "name": "Maximiliane Theodora Freifrau von der Heidenreich-Oberkirchenbach zu Lindenau"}
    texts = {
        "mail.toml": _TOML.format(event=event),
        "subject.txt": _SUBJECT.format(title=title),
        "body.txt": _TEXT.format(),
        "body.html": _HTML.format(title=title),
        "samples/typical.json": f"{json.dumps(payload, indent=2)}\n",
        "samples/longest.json": f"{json.dumps(longest, indent=2)}\n",
    }
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tuple(folder / file for file in texts)
