import pytest

from tests.support.operators import Operator, Rows


def states(rows: Rows) -> dict[int, str]:
    return dict(rows.connection.execute("select id, state from outbox.delivery").fetchall())


def test_deliveries_are_found_by_state_mail_and_event(outbox: Operator, rows: Rows) -> None:
    event = rows.event()
    doubtful = rows.delivery("in_doubt", event_id=event)
    sent = rows.delivery("sent", mail="role_upgrade")

    def found(*filters: str) -> list[object]:
        return [row["id"] for row in outbox.json("deliveries", "ls", *filters)["deliveries"]]

    assert found() == [sent, doubtful]
    assert found("--state", "in_doubt") == found("--event", event) == [doubtful]
    assert found("--mail", "role_upgrade", "--since", "1h") == [sent]
    assert found("--until", "1h") == []


def test_recipients_are_shown_only_when_asked_for(outbox: Operator, rows: Rows) -> None:
    delivery = str(rows.delivery())

    for arguments in (["ls"], ["show", delivery], ["ls", "--json"], ["show", delivery, "--json"]):
        outcome = outbox("deliveries", *arguments)
        assert outcome.code == 0
        assert "ada@example.com" not in outcome.out
    assert "ada@example.com" in outbox("deliveries", "show", delivery, "--payload").out


def test_one_in_doubt_is_resent_with_a_reason_that_is_kept(outbox: Operator, rows: Rows) -> None:
    delivery = rows.delivery()

    outcome = outbox("deliveries", "resend", str(delivery), "--reason", "the provider lost it")

    assert (outcome.code, outcome.out) == (0, f"delivery {delivery} is queued, cycle 2\n")
    assert (
        rows.one("select reason from outbox.audit where target = %s", f"delivery {delivery}") == "the provider lost it"
    )


@pytest.mark.parametrize("state", ["sent", "cancelled"])
def test_one_in_doubt_is_closed_as_what_became_of_it(outbox: Operator, rows: Rows, state: str) -> None:
    delivery = rows.delivery()

    outcome = outbox("deliveries", "close", str(delivery), "--as", state, "--reason", "seen in the provider's log")

    assert (outcome.code, outcome.out) == (0, f"delivery {delivery} is {state}\n")
    assert states(rows) == {delivery: state}


def test_all_in_doubt_are_settled_at_once_after_a_yes(outbox: Operator, rows: Rows) -> None:
    first, second, other = rows.delivery(), rows.delivery(mail="role_upgrade"), rows.delivery("queued")
    order = ("deliveries", "close", "--all-in-doubt", "--mail", "account_locked", "--reason", "x")

    assert outbox.json(*order, "--dry-run") == {"matched": 1, "dry_run": True}
    assert outbox(*order).code == 2
    assert outbox(*order, "--yes").code == 0

    assert states(rows) == {first: "sent", second: "in_doubt", other: "queued"}


@pytest.mark.parametrize("state", ["sent", "sending", "queued"])
def test_one_that_is_not_in_doubt_is_refused(outbox: Operator, rows: Rows, state: str) -> None:
    delivery = rows.delivery(state)

    outcome = outbox("deliveries", "resend", str(delivery), "4711", "--reason", "x")

    assert outcome.code == 1
    assert f"error: expected delivery {delivery} to be " in outcome.err
    assert f"got {state}" in outcome.err
    assert "error: expected a delivery, got none with id 4711" in outcome.err
    assert states(rows) == {delivery: state}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["ls", "--state", "lost"], "expected --state to be one of queued"),
        (["ls", "--event", "x"], "expected an event id to be a UUID, got 'x'"),
        (["resend", "--reason", "x"], "expected either ids or --all-in-doubt"),
        (["close", "1", "--as", "dead", "--reason", "x"], "invalid value for '--as'"),
    ],
)
def test_a_wrong_order_says_what_is_wrong(outbox: Operator, arguments: list[str], problem: str) -> None:
    outcome = outbox("deliveries", *arguments)

    assert outcome.code == 2
    assert f"error: {problem}" in outcome.err
