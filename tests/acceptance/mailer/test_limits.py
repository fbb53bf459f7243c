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


def test_a_campaign_that_a_limit_holds_up_does_not_hold_up_an_urgent_lane(
    make_pipeline: Callable[..., Pipeline], smtp_sink: Sink
) -> None:
    running = make_pipeline(mail_dsn=f"{smtp_sink.dsn}?max_per_second=10", OUTBOX_MAILER_PERMITS="2")
    running.start_all()
    for n in range(300):
        running.publish(email=f"u{n}@example.com", new_role="ADMIN")
    before = len(smtp_sink.wait(20, timeout_seconds=60))

    running.publish("user.registered", email="urgent@example.com", name="Ada", verification_url="https://example.com/1")

    smtp_sink.wait(1, recipient="urgent@example.com", timeout_seconds=60)
    # The rest of the campaign takes 28 seconds. In front of the urgent mail are two permits at most, a window of 8 each
    # instead of all that they claim, which is 50; and what goes out while the event is on its way.
    assert len(smtp_sink.messages()) - before < 60
