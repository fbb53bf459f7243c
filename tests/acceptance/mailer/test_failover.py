"""A mail server that goes away under load, and comes back: who is asked, how often, and what it costs."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import Pipeline
from tests.acceptance.mailer.test_outages import bring_up
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

MAILS, PROCESSES, WINDOW = 5000, 2, 8
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=2)
# One mail each 2 ms, 500 a second, whatever became of those before; payloads as the relay's events have them.
LOAD = """
insert into outbox.delivery (
  event_id, event_type, aggregate_type, aggregate_id, mail, recipient, recipient_key,
  payload, expires_at, next_attempt_at
)
select gen_random_uuid(), 'user.role_upgraded', 'user', n::text, 'role_upgrade', 'u' || n || '@example.com',
       n::text::bytea, '{"email": "u@example.com", "new_role": "ADMIN"}',
       now() + interval '1 day', now() + n * interval '2 ms'
from generate_series(1, %s) as n
"""


@pytest.fixture
def second() -> Iterator[Sink]:
    """The mail server that is used when the first is down."""
    with Sink() as made:
        yield made


@pytest.fixture
def failing_over(make_pipeline: Callable[..., Pipeline], smtp_sink: Sink, second: Sink) -> Pipeline:
    """Workers with two mail servers, and mail that falls due at 500 a second."""
    running = make_pipeline(
        mail_dsn=f"failover({smtp_sink.dsn}?name=first {second.dsn}?name=second)",
        OUTBOX_MAILER_PROCESSES=str(PROCESSES),
        OUTBOX_MAILER_WINDOW=str(WINDOW),
        OUTBOX_MAIL_BACKOFF_BASE_SECONDS=str(SHORTEST_PAUSE.total_seconds()),
        OUTBOX_MAIL_BACKOFF_CAP_SECONDS=str(LONGEST_PAUSE.total_seconds()),
        OUTBOX_LOG_LEVEL="info",
    )
    running.worker()
    running.sweeper()
    running.query(LOAD, MAILS)
    return running


def now(running: Pipeline) -> datetime:
    """Return the database's time, by which attempts are dated."""
    [row] = running.query("select clock_timestamp() as at")
    at: datetime = row["at"]
    return at


def refusals(running: Pipeline, *, since: datetime, until: datetime) -> int:
    """Return how many messages the first server was asked to take in vain."""
    [row] = running.query(
        "select count(*) as n from outbox.attempt"
        " where transport = 'first' and outcome <> 'accepted' and at >= %s and at < %s",
        since,
        until,
    )
    count: int = row["n"]
    return count


def take_down(running: Pipeline, sink: Sink) -> None:
    """Let *sink* refuse, and be gone once that was noticed: what it was taking is answered by then."""
    sink.script("*", ["421 4.3.2 closing"], phase="mail")
    wait_until(
        lambda: running.query("select 1 from outbox.transport where name = 'first' and breaker = 'open'"),
        timeout_seconds=30,
        what="an open breaker",
    )
    sink.pause()


def in_state(running: Pipeline, state: str) -> list[dict[str, Any]]:
    return running.query("select recipient, attempt from outbox.delivery where state = %s", state)


def settled(running: Pipeline) -> bool:
    states = running.states()
    assert states.get("sent", 0) + states.get("in_doubt", 0) == MAILS, states
    return True


def test_a_server_that_is_down_costs_no_attempt_and_is_used_again_within_one_probe_of_coming_back(
    failing_over: Pipeline, smtp_sink: Sink, second: Sink
) -> None:
    started_at = now(failing_over)
    smtp_sink.wait(500, timeout_seconds=60)

    down_at = now(failing_over)
    take_down(failing_over, smtp_sink)
    before = len(smtp_sink.messages())
    second.wait(1500, timeout_seconds=90)
    bring_up(smtp_sink)
    back_at = now(failing_over)
    smtp_sink.wait(before + 1, timeout_seconds=60)
    used_at = now(failing_over)
    wait_until(lambda: settled(failing_over), timeout_seconds=120, what="every mail to be sent, or in doubt")

    received = Counter(mail.recipients[0] for sink in (smtp_sink, second) for mail in sink.messages())
    assert max(received.values()) == 1
    assert {row["recipient"] for row in in_state(failing_over, "sent")} <= set(received)
    # It may have gone between a final dot and its answer.
    assert len(in_state(failing_over, "in_doubt")) <= PROCESSES * WINDOW
    assert {row["attempt"] for state in ("sent", "in_doubt") for row in in_state(failing_over, state)} == {1}
    # What was under way when it went, and then one message a pause.
    probes = math.ceil((back_at - down_at) / SHORTEST_PAUSE)
    assert 1 <= refusals(failing_over, since=started_at, until=back_at) <= PROCESSES * WINDOW + probes
    # A probe that had begun before it was back may end after it; the next one is the mail that it took.
    assert refusals(failing_over, since=back_at, until=used_at) <= 1
    assert len(smtp_sink.messages()) > before + 100, "the first is not preferred again"
    assert failing_over.query("select breaker from outbox.transport where name = 'first'") == [{"breaker": "closed"}]
