"""What making a mail costs, step by step, in one process: rendering, its CSS, and the message.

The mail is `role_upgrade`, text and HTML. `EmailMessage` and `MIMEMultipart` (compat32) are Python's own.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from typing import TYPE_CHECKING

from bench import plots
from bench.bench import Bench
from bench.contest import contest, spread
from bench.mail.texts import EVENT, MAIL, PAYLOAD, rendered
from bench.table import Table
from mailer.compose import compose
from mailer.rendering import Library

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from bench.contest import Figures, Rounds
    from mailer.rendering import Rendered

ROUNDS = 5
TIMES = 300
COMPILE_TIMES = 3
_DATE = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
_ID, _SENDER, _RECIPIENT = "<6f1c2a8e@example.com>", "Users <no-reply@example.com>", PAYLOAD["email"]


def _measure() -> Rounds:
    library, mail = Library.load(), rendered()
    event = {**EVENT, "payload": PAYLOAD}
    steps: dict[str, tuple[Callable[[], object], int]] = {
        "compile all mails": (Library.load, COMPILE_TIMES),
        "check at the consumer": (
            lambda: library.recipient_and_locale(library.folder(MAIL).mail, event),
            TIMES,
        ),
        "render, CSS inlined": (lambda: library.render(MAIL, payload=PAYLOAD, event=EVENT, locale="en"), TIMES),
        "compose, as we do": (lambda: _ours(mail), TIMES),
        "compat32": (lambda: _compat32(mail), TIMES),
        "EmailMessage": (lambda: _email_message(mail), TIMES),
    }
    return contest({name: lambda made=made: _timed(*made) for name, made in steps.items()}, rounds=ROUNDS)  # type: ignore[misc]  # mypy cannot infer a default's type


def _timed(step: Callable[[], object], times: int) -> Figures:
    began = time.process_time()
    for _ in range(times):
        step()
    return {"us": 1e6 * (time.process_time() - began) / times}


def _ours(mail: Rendered) -> bytes:
    return compose(mail, message_id=_ID, sender=_SENDER, recipient=_RECIPIENT, date=_DATE)


def _compat32(mail: Rendered) -> bytes:
    message = MIMEMultipart("alternative")
    message["From"], message["To"], message["Subject"] = _SENDER, _RECIPIENT, mail.subject
    message["Message-ID"] = _ID
    message.attach(MIMEText(mail.text))
    message.attach(MIMEText(mail.html or "", "html", "utf-8"))
    return message.as_bytes()


def _email_message(mail: Rendered) -> bytes:
    message = EmailMessage(SMTP)
    message["From"], message["To"], message["Subject"] = _SENDER, _RECIPIENT, mail.subject
    message["Message-ID"] = _ID
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message.as_bytes()


def _tabulate(rounds: Rounds) -> Table:
    return Table(("step", "µs of CPU a mail"), [(name, f"{spread(rounds, name, 'us'):,.0f}") for name in rounds])


def _plot(axes: Axes, rounds: Rounds) -> None:
    names = [name for name in rounds if not name.startswith("compile")]
    plots.bars(axes, [name.replace(" ", "\n", 1) for name in names], {"": [spread(rounds, n, "us") for n in names]})
    axes.set_ylabel("µs of CPU a mail")
    axes.tick_params(axis="x", labelsize="small")


BENCH = Bench(
    name="mail_parts",
    question="what does it cost to render a mail, and to make its message?",
    measure=_measure,
    tabulate=_tabulate,
    plot=_plot,
)
