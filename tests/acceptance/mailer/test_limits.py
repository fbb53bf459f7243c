"""A limit of a transport, as a mail server sees it that two worker processes write to."""

from bisect import bisect_left
from collections.abc import Callable
from datetime import timedelta

import pytest

from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline

pytestmark = pytest.mark.timeout(120)

MAILS, PROCESSES, WINDOW, RATE = 120, 2, 4, 40
# The one whose slot begins with the second, and of each process a window that was late.
MOST_IN_A_SECOND = RATE + 1 + PROCESSES * WINDOW


def test_two_processes_keep_a_limit_together(make_pipeline: Callable[..., Pipeline], smtp_sink: Sink) -> None:
    running = make_pipeline(
        mail_dsn=f"{smtp_sink.dsn}?max_per_second={RATE}",
        OUTBOX_MAILER_PROCESSES=str(PROCESSES),
        OUTBOX_MAILER_WINDOW=str(WINDOW),
    )
    running.start_all()
    for n in range(MAILS):
        running.publish(email=f"u{n}@example.com", new_role="ADMIN")

    mails = smtp_sink.wait(MAILS, timeout_seconds=60)
    running.wait_states({"sent": MAILS})

    times = sorted(mail.received_at for mail in mails)
    assert max(bisect_left(times, at + timedelta(seconds=1)) - n for n, at in enumerate(times)) <= MOST_IN_A_SECOND
    assert len({mail.recipients for mail in mails}) == MAILS
    assert {row["attempt"] for row in running.query("select attempt from outbox.delivery")} == {1}
