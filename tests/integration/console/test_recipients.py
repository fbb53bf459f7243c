"""Whom no mail goes to, and what is taken away of a person."""

import io

import pytest

from mailer.recipients import hashing_secret, recipient_key
from tests.support.operators import Operator, Rows

ADDRESS = "ada@example.com"


@pytest.fixture(autouse=True)
def key(rows: Rows) -> bytes:
    """The key of the address in this installation, which every delivery that is inserted gets."""
    secret = hashing_secret(None, rows.one("select install_id from outbox.meta"))
    return recipient_key(ADDRESS, secret=secret)


def owed(rows: Rows, key: bytes, state: str, **columns: str) -> int:
    delivery = rows.delivery(state, **columns)
    rows.connection.execute("update outbox.delivery set recipient_key = %s where id = %s", [key, delivery])
    return delivery


def left(rows: Rows) -> list[tuple[object, ...]]:
    return rows.connection.execute(
        "select id, state, recipient, payload::text, content from outbox.delivery order by id"
    ).fetchall()


def test_mail_to_a_recipient_is_held_and_let_through_again(outbox: Operator, rows: Rows, key: bytes) -> None:
    assert outbox("mail", "suppress", ADDRESS, "--reason", "asked by phone").out == "all mail to it is held\n"
    assert rows.one("select recipient_key from outbox.suppression") == key
    assert "asked by phone" in outbox("mail", "suppressed").out
    assert "all mail is held" in outbox("mail", "suppressed", "Ada@example.com").out

    assert outbox("mail", "unsuppress", ADDRESS, "--reason", "asked again").code == 0
    assert outbox("mail", "suppressed").out == "no mail is held\n"
    audited = rows.connection.execute("select action, reason from outbox.audit order by id").fetchall()
    assert audited == [("suppress", "asked by phone"), ("unsuppress", "asked again")]


def test_letting_through_what_is_not_held_is_refused(outbox: Operator) -> None:
    outcome = outbox("mail", "unsuppress", ADDRESS, "--reason", "x")

    assert outcome.code == 1
    assert "expected a suppressed recipient" in outcome.err


@pytest.mark.parametrize("command", ["suppress", "unsuppress", "erase"])
def test_an_address_that_is_none_and_a_reason_that_is_empty_are_refused(outbox: Operator, command: str) -> None:
    assert outbox("mail", command, "ada", "--reason", "x").code == 2
    assert outbox("mail", command, ADDRESS, "--reason", " ", *(["--yes"] if command == "erase" else [])).code != 0


def test_an_erased_recipient_is_nowhere_in_the_mailers_tables(outbox: Operator, rows: Rows, key: bytes) -> None:
    for state in ("queued", "sent", "dead", "in_doubt", "suppressed"):
        owed(rows, key, state)
    other = rows.delivery("sent", mail="role_upgrade")
    record = rows.dead(record_value=b'{"to": "ADA@example.com", "email": "ada@example.com"}')
    strange = rows.dead(record_value=b"\xff of nobody")

    outcome = outbox("mail", "erase", ADDRESS, "--reason", "article 17", "--yes")

    assert outcome.code == 0, outcome
    assert "erased from 5 deliveries (2 of them cancelled)" in outcome.out
    text = " ".join(str(row) for row in left(rows) if row[0] != other)
    assert ADDRESS not in text
    assert [row[1] for row in left(rows)] == ["cancelled", "sent", "dead", "cancelled", "suppressed", "sent"]
    assert rows.one("select recipient from outbox.delivery where id = %s", other) == ADDRESS
    kept = "select record_value, resolution from outbox.dead_letter where id = %s"
    assert rows.connection.execute(kept, [record]).fetchone() == (None, "discarded")
    assert rows.connection.execute(kept, [strange]).fetchone() == (b"\xff of nobody", None)
    assert ADDRESS not in str(rows.connection.execute("select * from outbox.audit").fetchall())


def test_what_a_worker_is_sending_is_left_and_said(outbox: Operator, rows: Rows, key: bytes) -> None:
    owed(rows, key, "sending")

    outcome = outbox("mail", "erase", ADDRESS, "--reason", "article 17", "--yes")

    assert outcome.code == 1
    assert "1 being sent at this moment" in outcome.out
    assert left(rows)[0][2] == ADDRESS


def test_a_dry_run_shows_and_changes_nothing(outbox: Operator, rows: Rows, key: bytes) -> None:
    owed(rows, key, "sent")

    shown = outbox.json("mail", "erase", ADDRESS, "--reason", "x", "--dry-run")

    assert shown == {"deliveries": [{"state": "sent", "count": 1, "named": 1}], "suppression": None}
    assert left(rows)[0][2] == ADDRESS


def test_an_address_is_read_from_standard_input_and_never_printed(
    outbox: Operator, rows: Rows, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owed(rows, key, "sent")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ADDRESS}\n"))

    outcome = outbox("mail", "erase", "-", "--reason", "x", "--yes")

    assert outcome.code == 0
    assert ADDRESS not in outcome.out + outcome.err
    assert left(rows)[0][2] is None


def test_a_bounced_delivery_can_be_sent_again(outbox: Operator, rows: Rows, key: bytes) -> None:
    delivery = owed(rows, key, "bounced")

    outcome = outbox("deliveries", "resend", str(delivery), "--reason", "the mailbox is back")

    assert (outcome.code, outcome.out) == (0, f"delivery {delivery} is queued, cycle 2\n")
