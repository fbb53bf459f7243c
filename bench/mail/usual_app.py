"""The usual way to send mail with Celery: a task a mail, acknowledged late, rendered by jinja2, sent by smtplib.

Its message is the one of the mail `role_upgrade`: the same subject, text and HTML, whose CSS was inlined beforehand.
Several mails a connection would be less usual: a task has no place where it could keep one.
"""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import jinja2

from bench.mail.texts import usual_texts
from mailer.broker import make_app
from mailer.settings import MailerSettings

settings = MailerSettings.load(os.environ)  # noqa: TID251  Celery imports this
# The same broker with the same options: acknowledged late, rejected when a worker is lost, no results.
app = make_app(settings)
# Ours takes few tasks that last; of many short ones a worker has to hold some in hand, or it waits for the next look.
app.conf.worker_prefetch_multiplier = 32
app.conf.broker_transport_options = {**app.conf.broker_transport_options, "polling_interval": 0.005}
_environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
_subject, _text, _html = (_environment.from_string(text) for text in usual_texts())
_host, _, _port = settings.mail_dsn.get_secret_value().removeprefix("smtp://").partition(":")


@app.task(name="bench.send", ignore_result=True)  # type: ignore[untyped-decorator]  # Celery publishes no types
def send(payload: dict[str, str]) -> None:
    """Send one mail."""
    message = EmailMessage()
    message["From"] = settings.mail_from
    message["To"] = payload["email"]
    message["Subject"] = _subject.render(payload=payload)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="example.com")
    message.set_content(_text.render(payload=payload))
    message.add_alternative(_html.render(payload=payload), subtype="html")
    with smtplib.SMTP(_host, int(_port), local_hostname="bench") as server:
        server.send_message(message)
