"""`post_office_process.py enqueue|send`: django-post-office on PostgreSQL, as its documentation sets it up.

It runs in the environment of `post_office.lock`, which has nothing of ours. A template in its database, rendered when
a mail is sent; batches of 1,000 instead of 100, two processes of four threads (as many connections as ours has), which
keep their connections for a batch. Its arguments are a line of JSON on stdin.
"""

from __future__ import annotations

import json
import sys
import time
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.core.management import call_command

asked = json.loads(sys.stdin.read())
database, mail = urlsplit(asked["database_url"]), urlsplit(asked["mail_dsn"])
settings.configure(
    SECRET_KEY="bench",  # noqa: S106  nothing is signed
    INSTALLED_APPS=["post_office"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": asked["database"],
            "HOST": database.hostname,
            "PORT": database.port,
            "USER": unquote(database.username or ""),
            "PASSWORD": unquote(database.password or ""),
        }
    },
    EMAIL_HOST=mail.hostname,
    EMAIL_PORT=mail.port,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    POST_OFFICE={"BATCH_SIZE": 1000, "THREADS_PER_PROCESS": 4, "LOG_LEVEL": 1},
)
django.setup()


def enqueue() -> None:
    """Make the tables, if need be, and the mails."""
    from post_office import mail as post_office  # type: ignore[import-not-found]  # noqa: PLC0415  its own environment, after the setup
    from post_office.models import EmailTemplate  # type: ignore[import-not-found]  # noqa: PLC0415  as above

    call_command("migrate", verbosity=0)
    subject, text, html = asked["texts"]
    template, _ = EmailTemplate.objects.update_or_create(
        name="bench", defaults={"subject": subject, "content": text, "html_content": html}
    )
    post_office.send_many(
        [
            {
                "recipients": f"user-{number}@example.com",
                "sender": "Users <no-reply@example.com>",
                "template": template,
                "context": {"payload": asked["payload"]},
                "render_on_delivery": True,
            }
            for number in range(asked["count"])
        ]
    )


if sys.argv[1] == "enqueue":
    enqueue()
else:
    # From here on: it renders a batch before it sends the first mail of it.
    print(json.dumps({"began": time.monotonic()}), flush=True)
    call_command("send_queued_mail", processes=2, log_level=1)
