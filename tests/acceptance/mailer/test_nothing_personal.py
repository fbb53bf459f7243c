"""After a run with failures of every kind, whom mail was for is in no log, no permit, no metric and no reason."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from devstack.sink import Sink
from tests.acceptance.mailer.pipeline import COMMAND, Pipeline
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
# In every address, name and link of this run, and nowhere else.
MARKS = ("zq7mailbox", "zq7domain", "zq7name", "zq7secret")
LOGIN = "hook:of-the-test"
EVENTS = (
    "mailer.batch.planned",
    "mailer.record.buried",
    "mailer.window.recorded",
    "mailer.delivery.gave_up",
    "mailer.delivery.bounced",
    "mailer.hook.refused",
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What the mail server does with one recipient, and how its delivery ends."""

    state: str
    replies: Sequence[str] = ()
    phase: str = "rcpt"


def quoting(number: int, code: str) -> str:
    """Return a refusal that names the recipient in each way that servers do."""
    address = address_of(number)
    return f"{code} <{address}>: nobody called {address.partition('@')[0]} here ({address}:refused)"


def address_of(number: int) -> str:
    return f"zq7mailbox.{number}@zq7domain.example.com"


FATES = {
    0: Fate("sent"),
    1: Fate("sent", (quoting(1, "451 4.7.1"), "ok")),
    2: Fate("dead", (quoting(2, "550 5.1.1"),)),
    3: Fate("dead", (quoting(3, "554 5.7.1"),)),
    4: Fate("dead", (quoting(4, "552 5.3.4"),), "dot"),
    5: Fate("in_doubt", ("keep drop",), "dot"),
    6: Fate("sent", ("drop", "ok"), "data"),
    7: Fate("sent", (quoting(7, "421 4.3.2"), "ok"), "mail"),
    8: Fate("sent", ("hang", "ok")),
}


def payload(**more: object) -> dict[str, Any]:
    return {"name": "Zq7name Quux", "new_role": "ADMIN", "note": "zq7secret", **more}


def publish_what_is_wrong(running: Pipeline) -> int:
    """Publish an event for each reason that none is a delivery, each full of marks; return how many."""
    running.publish(**payload())
    running.publish(**payload(email="zq7mailbox"))
    running.publish(**payload(email="zq7mailbox@zq7domain.example.com\r\nBcc: eve@zq7domain.example.com"))
    running.publish(email=address_of(90), name="Zq7name")
    running.publish(**payload(email=address_of(91), new_role="\ud800 zq7secret"))
    running.publish("user.registered", email=address_of(92), name="Zq7name", verification_url="javascript:zq7secret")
    running.publish(aggregate_id="zq7secret\x00", **payload(email=address_of(93)))
    headers = {"id": b"zq7secret", "ce_type": b"user.role_upgraded", "ce_specversion": b"1.0", "odd": b"zq7secret"}
    running.publish_raw(json.dumps(payload(email=address_of(94))).encode(), headers)
    running.publish_raw(b'{"email": "zq7mailbox@zq7domain.example.com", oops', {**headers, "id": b"zq7name"})
    return 9


@pytest.fixture
def run(make_pipeline: Callable[..., Pipeline], smtp_sink: Sink) -> Pipeline:
    """A run of every process in which each fate was met and each kind of malformed event was read."""
    dsn = f"{smtp_sink.dsn}?timeout_seconds=1&dot_timeout_seconds=1"
    running = make_pipeline(
        mail_dsn=dsn,
        OUTBOX_MAIL_HOOK_POSTMARK_LOGIN=LOGIN,
        OUTBOX_MAILER_LISTEN_PORT="0",
        OUTBOX_MAIL_UNSUBSCRIBE_URL="https://mail.example.org",
        OUTBOX_MAIL_UNSUBSCRIBE_SECRET=LOGIN * 4,
    )
    running.start_all()
    keep_permits(running)
    running.start("listener", *COMMAND, "mailer", "listen").wait_for("mailer.endpoint.opened")
    for number, fate in FATES.items():
        smtp_sink.script(address_of(number), list(fate.replies), phase=fate.phase)
    events = {number: running.publish(**payload(email=address_of(number))) for number in FATES}
    wrong = publish_what_is_wrong(running)
    for number, event_id in events.items():
        running.delivery(event_id, FATES[number].state, timeout_seconds=60)
    wait_until(lambda: letters(running) >= wrong, timeout_seconds=30, what=f"{wrong} malformed events to be kept")
    # The message that was sent first comes back.
    hear_bounce(running, running.delivery(events[0], "sent")["message_uuid"])
    running.delivery(events[0], "bounced")
    return running


def letters(running: Pipeline) -> int:
    count: int = running.query("select count(*) as n from outbox.dead_letter where stage = 'consume'")[0]["n"]
    return count


def keep_permits(running: Pipeline) -> None:
    """Keep every message that is given to the broker: a worker removes it."""
    running.query("create table kept as select to_jsonb(q)::text as message from pgmq.q_outbox_mail q limit 0")
    running.query(
        "create rule keep as on insert to pgmq.q_outbox_mail do also insert into kept values (to_jsonb(new)::text)"
    )


def hear_bounce(running: Pipeline, message_uuid: object) -> None:
    """Tell the listener what Postmark would, and then something that it refuses."""
    url = json.loads(next(line for line in lines_of(running, "listener") if "endpoint.opened" in line))["url"]
    bounce = {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "Email": address_of(0),
        "Details": quoting(0, "550 5.1.1"),
        "Metadata": {"delivery": str(message_uuid)},
    }
    user, _, password = LOGIN.partition(":")
    heard = httpx.post(f"{url}hooks/postmark", json=bounce, auth=(user, password))
    assert heard.is_success
    assert httpx.post(f"{url}hooks/postmark", json=bounce, auth=("zq7name", "zq7secret")).status_code == 401
    assert httpx.get(f"{url}unsubscribe/zq7secret").status_code == 404


def lines_of(running: Pipeline, name: str) -> list[str]:
    [process] = [process for process in running.processes if process.name == name]
    return process.said.splitlines()


def queue_tables(running: Pipeline) -> list[str]:
    rows = running.query(
        "select format('%%I.%%I', schemaname, tablename) as name from pg_tables where schemaname = 'pgmq'"
    )
    return [row["name"] for row in rows]


def contents(running: Pipeline, table: str) -> str:
    return str(running.query(f"select to_jsonb(q)::text as row from {table} q"))  # noqa: S608 - named by the catalog


def metrics(running: Pipeline) -> str:
    return "".join(httpx.get(f"{running.endpoint(name)}/metrics").text for name in ("consumer", "sweeper"))


def marked(text: str) -> list[str]:
    """Return the lines of *text* that have a mark in them, as it is or escaped."""
    return [line for line in text.splitlines() if any(mark in line.lower() for mark in MARKS)]


def test_nothing_personal_is_in_logs_the_broker_metrics_or_reasons(run: Pipeline) -> None:
    queues = {name: contents(run, name) for name in queue_tables(run)}
    permits = "\n".join(row["message"] for row in run.query("select message from kept"))
    attempts = run.query("select * from outbox.attempt")
    details = run.query("select reason, detail from outbox.dead_letter")

    owed = str(run.query("select recipient, payload::text from outbox.delivery")).lower()
    shown = metrics(run)
    said = run.said()

    assert [mark for mark in MARKS if mark not in owed] == []
    assert [event for event in EVENTS if event not in said] == []
    assert marked(said) == []
    assert "pgmq.q_outbox_mail" in queues
    assert permits.count("drain") > 0
    assert marked(permits) == []
    assert [name for name, rows in queues.items() if marked(rows)] == []
    assert "outbox_mailer_attempts_total" in shown
    assert marked(shown) == []
    assert {row["outcome"] for row in attempts} >= {"accepted", "transient", "permanent", "in_doubt"}
    assert [row for row in attempts if marked(str(row))] == []
    assert [row for row in details if marked(str(row))] == []
