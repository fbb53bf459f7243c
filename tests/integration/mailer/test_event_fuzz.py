"""Whatever is on a topic: each record ends as a delivery that can be sent, or as a dead letter that says why."""

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from mailer.compose import compose
from mailer.database import Database
from mailer.errors import UnsendableMailError
from mailer.owing import Ledger
from mailer.planning import Owed, Plan
from mailer.rendering import Library
from tests.integration.mailer.conftest import Query
from tests.support.event_fuzz import Samples, fuzzed

BATCH = 500
WHEN = datetime(2026, 11, 24, tzinfo=UTC)


def kept(plans: Sequence[Plan]) -> set[int]:
    """Return the offsets of the records that owe something, or of which something is wrong."""
    return {one.record.offset for one in plans if one.owed or one.malformed}


def composed(library: Library, owed: Owed) -> str:
    """Return what becomes of the message that a worker makes of *owed*: one for one recipient, or why there is none."""
    event = owed.event
    facts = {"event_id": str(event.event_id), "type": event.type, "aggregate_id": event.aggregate_id}
    facts["aggregate_type"] = event.aggregate_type
    assert isinstance(event.payload, dict)
    try:
        rendered = library.render(owed.mail.name, payload=event.payload, event=facts, locale=owed.locale)
        content = compose(
            rendered,
            message_id="<5c1b@example.com>",
            sender="no-reply@example.com",
            recipient=owed.recipient,
            date=WHEN,
        )
    except UnsendableMailError as error:
        return type(error).__name__
    names = [line.split(b":")[0] for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n") if line[:1] != b" "]
    assert names[:7] == [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Auto-Submitted"]
    assert names[7:] in ([b"Content-Type"], [b"Content-Type", b"Content-Transfer-Encoding"])
    return "composed"


def agreed(connect: Callable[[], Database], query: Query, *, seed: str, records: int) -> Counter[str]:
    library = Library.load()
    samples = Samples.of(library)
    ledger = Ledger(connect(), mails=library, secret=lambda: b"secret")
    tally: Counter[str] = Counter()
    expected: set[int] = set()
    for start in range(0, records, BATCH):
        plans = ledger.plan([fuzzed(samples, seed=seed, offset=n) for n in range(start, min(start + BATCH, records))])
        expected |= kept(plans)
        for plan in plans:
            tally.update(composed(library, owed) for owed in plan.owed)
            tally.update(bad.reason for bad in plan.malformed)
            tally["no mail asked for"] += not (plan.owed or plan.malformed)
    print(f"seed {seed}: {records} records: {dict(tally.most_common())}")  # noqa: T201 - the figures
    owed = query("select count(*) as n from outbox.delivery where state = 'queued'")[0]["n"]
    letters = query("select record_offset as n from outbox.dead_letter where stage = 'consume' and reason <> ''")
    assert owed == tally["composed"]
    assert len(letters) == tally.total() - tally["composed"] - tally["no mail asked for"]
    assert len(expected) == records - tally["no mail asked for"]
    assert {row["n"] for row in letters} <= expected
    return tally


def test_every_damaged_record_ends_as_a_delivery_or_as_a_dead_letter_with_its_reason(
    connect: Callable[[], Database], query: Query
) -> None:
    tally = agreed(connect, query, seed="always the same", records=2_000)

    reasons = {"malformed", "bad_address", "no_recipient", "missing_variable", "payload_not_an_object", "unstorable"}
    assert reasons | {"composed"} <= set(tally)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_damaged_records_end_as_deliveries_or_as_dead_letters(
    connect: Callable[[], Database], query: Query
) -> None:
    tally = agreed(connect, query, seed=secrets.token_hex(4), records=100_000)

    assert tally["composed"] > 0
