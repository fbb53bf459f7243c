import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from mailer.database import Database
from mailer.owing import Ledger
from mailer.planning import ReadRecord
from mailer.rendering import Library
from tests.integration.mailer.conftest import Query

GOOD = {"email": "ada@example.com", "new_role": "ADMIN"}


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.load()


@pytest.fixture
def ledger(connect: Callable[[], Database], library: Library) -> Ledger:
    return Ledger(connect(), mails=library, secret=lambda: b"secret")


def record(offset: int, payload: object = None, *, key: bytes = b"42", event_id: str | None = None) -> ReadRecord:
    headers = (
        ("id", (event_id or str(uuid4())).encode()),
        ("ce_specversion", b"1.0"),
        ("ce_type", b"user.role_upgraded"),
        ("ce_source", b"/outbox/x/user"),
    )
    value = json.dumps(GOOD if payload is None else payload).encode()
    return ReadRecord("outbox.event.user", 0, offset, key, value, headers)


def test_records_that_are_read_twice_owe_once(ledger: Ledger, query: Query) -> None:
    records = [record(n) for n in range(20)]

    ledger.plan(records)
    ledger.plan(records)

    assert query("select count(*) as n from outbox.delivery where state = 'queued'") == [{"n": 20}]


def test_a_malformed_record_is_kept_once_beside_the_good_ones(ledger: Ledger, query: Query) -> None:
    records = [record(1), record(2, {"new_role": "ADMIN"}), record(3)]

    ledger.plan(records)
    ledger.plan(records)

    assert query("select count(*) as n from outbox.delivery") == [{"n": 2}]
    assert query("select reason, record_offset from outbox.dead_letter") == [
        {"reason": "no_recipient", "record_offset": 2}
    ]


def test_what_postgresql_cannot_hold_is_kept_aside_and_the_rest_of_the_batch_is_owed(
    ledger: Ledger, query: Query
) -> None:
    ledger.plan([record(1), record(2, key=b"a\x00b"), record(3)])

    assert query("select count(*) as n from outbox.delivery") == [{"n": 2}]
    [letter] = query("select * from outbox.dead_letter")
    assert (letter["reason"], letter["record_offset"], letter["record_value"]) == (
        "unstorable",
        2,
        json.dumps(GOOD).encode(),
    )


def test_a_kept_record_is_planned_again_when_an_operator_says_so(ledger: Ledger, query: Query) -> None:
    ledger.plan([record(1, {"email": "ada@example.com"})])
    [letter] = query("select * from outbox.dead_letter")
    assert ledger.plan_pending() == []
    # As if the template had been put right: what was kept is planned from the record, whatever it holds now.
    query("update outbox.dead_letter set record_value = convert_to(%s, 'utf8')", json.dumps(GOOD))
    query("select outbox.redrive(%s, 'the template was wrong')", letter["id"])

    [planned] = ledger.plan_pending()

    assert [one.mail.name for one in planned.owed] == ["role_upgrade"]
    assert ledger.plan_pending() == []
    assert query("select aggregate_id, state from outbox.delivery") == [{"aggregate_id": "42", "state": "queued"}]


def test_a_kept_record_that_fails_again_is_kept_again(ledger: Ledger, query: Query) -> None:
    ledger.plan([record(1, {"email": "ada@example.com"})])
    for _ in range(2):
        query("select outbox.redrive(id, 'again') from outbox.dead_letter where resolved_at is null")
        ledger.plan_pending()

    assert query("select attempts, resolution, redrive_pending from outbox.dead_letter order by id") == [
        {"attempts": 1, "resolution": "redriven", "redrive_pending": False},
        {"attempts": 2, "resolution": "redriven", "redrive_pending": False},
        {"attempts": 3, "resolution": None, "redrive_pending": False},
    ]


def test_two_consumers_never_plan_the_same_kept_record_at_once(
    connect: Callable[[], Database], library: Library, query: Query
) -> None:
    first, second = (Ledger(connect(), mails=library, secret=lambda: b"secret") for _ in range(2))
    first.plan([record(n, {"email": "ada@example.com"}) for n in range(5)])
    query("select outbox.redrive(id, 'again') from outbox.dead_letter")

    planned = len(first.plan_pending()) + len(second.plan_pending())

    assert planned == 5
