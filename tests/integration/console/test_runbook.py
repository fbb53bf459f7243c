"""The commands that the documentation gives whoever is on call, run as they are printed there."""

import re
import shlex
from pathlib import Path

import pytest

from mailer.reply_table import TABLE
from mailer.transports import open_transport
from tests.support.operators import Operator, Rows

DOCS = Path(__file__).parents[3] / "docs" / "how-to"
REPLIES = (DOCS / "replies.md").read_text("utf-8")
TRANSPORTS = (DOCS / "transports.md").read_text("utf-8")


def commands(page: str, name: str) -> list[list[str]]:
    lines = re.findall(rf"^ *outbox ({name} .*)$", page, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def doubtful(rows: Rows) -> Rows:
    """Deliveries 7, 8 and 9 in doubt, and two more of the mails that are decided at once."""
    rows.connection.execute("alter table outbox.delivery alter column id restart with 7")
    assert [rows.delivery("in_doubt") for _ in range(3)] == [7, 8, 9]
    rows.delivery("in_doubt", mail="role_upgrade")
    rows.delivery("in_doubt", mail="invoice_ready")
    return rows


def test_each_command_of_the_page_on_replies_works_in_its_order(outbox: Operator, doubtful: Rows) -> None:
    outcomes = [(command, outbox(*command)) for command in commands(REPLIES, "deliveries")]

    assert len(outcomes) == 9
    assert [(command, outcome.err) for command, outcome in outcomes if outcome.code] == []
    found = dict(doubtful.connection.execute("select id, state from outbox.delivery where id in (7, 8, 9)").fetchall())
    assert found == {7: "sent", 8: "queued", 9: "cancelled"}
    assert doubtful.one("select state from outbox.delivery where mail = 'invoice_ready'") == "sent"


def test_every_reason_that_a_reply_can_have_is_explained() -> None:
    reasons = {row.meaning.reason for row in TABLE} | {"in_doubt", "unanswered", "unreachable", "age_spent"}

    assert [reason for reason in sorted(reasons) if f"`{reason}` |" not in REPLIES] == []


def test_the_transports_that_the_page_sets_can_be_opened() -> None:
    [dsn] = re.findall(r"OUTBOX_MAIL_DSN='([^']+)'", TRANSPORTS)
    transport = open_transport(dsn)

    names = [child.name for child in transport.children]
    transport.close()

    assert names == ["own", "spare"]
