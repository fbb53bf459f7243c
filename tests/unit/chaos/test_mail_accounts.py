"""The checker of the kill suite notices each thing that may be wrong, and says nothing of a run that is well."""

from dataclasses import replace

import pytest

from tests.chaos.mail.accounts import Attempt, Books, Delivery, wrong

SENT = Delivery("e1", "m1", "sent", "hold", leased=False)
HELD = Delivery("e2", "m2", "in_doubt", "hold", leased=False)
RESENT = Delivery("e3", "m3", "sent", "resend", leased=False)
WELL = Books(
    acknowledged={"e1", "e2", "e3"},
    rolled_back={"e9"},
    deliveries=[SENT, HELD, RESENT],
    attempts=[
        Attempt("m1", "accepted", "w1"),
        Attempt("m2", "in_doubt", "w1"),
        Attempt("m3", "in_doubt", "w1"),
        Attempt("m3", "accepted", "w2"),
    ],
    # The server took what is held, and what was sent again twice: both said that they were in doubt.
    mails={"m1": 1, "m2": 1, "m3": 2},
)


def with_deliveries(*deliveries: Delivery) -> Books:
    return replace(WELL, deliveries=deliveries)


def test_a_run_in_which_every_mail_is_accounted_for_is_well() -> None:
    assert wrong(WELL) == []


def test_a_mail_in_doubt_that_the_server_never_took_is_well_too() -> None:
    assert wrong(replace(WELL, mails={"m1": 1, "m3": 1})) == []


@pytest.mark.parametrize(
    ("books", "said"),
    [
        (with_deliveries(SENT, HELD), ["1 events lost"]),
        (with_deliveries(SENT, SENT, HELD, RESENT), ["1 events planned twice"]),
        (
            with_deliveries(SENT, HELD, RESENT, replace(SENT, event_id="e9")),
            ["1 mails of events that were rolled back"],
        ),
        (
            with_deliveries(SENT, replace(HELD, state="sending", leased=True), RESENT),
            ["1 deliveries not in a final state", "1 leases left"],
        ),
        (with_deliveries(SENT, replace(HELD, state="dead"), RESENT), ["1 deliveries that gave up"]),
        (
            with_deliveries(SENT, replace(HELD, policy="resend"), RESENT),
            ["1 in doubt although their policy is to send again"],
        ),
        (
            replace(WELL, mails={"m2": 1, "m3": 2}),
            ["1 deliveries sent that the server never took", "1 attempts accepted that the server does not know"],
        ),
        (
            replace(WELL, mails={"m1": 2, "m2": 1, "m3": 2}),
            ["1 mails doubled outside in_doubt", "1 mails taken more often than attempts account for"],
        ),
        (replace(WELL, mails={"m1": 1, "m2": 1, "m3": 3}), ["1 mails taken more often than attempts account for"]),
        (
            replace(WELL, attempts=[*WELL.attempts, *[Attempt("m3", "in_doubt", "w1")] * 7]),
            ["1 workers that left more than 8 in doubt"],
        ),
    ],
)
def test_what_breaks_a_promise_is_named(books: Books, said: list[str]) -> None:
    assert wrong(books) == said
