"""Each promise of the mailer's chaos holds for a run that is well, and is broken by what breaks it and nothing else."""

import dataclasses
from enum import StrEnum
from typing import Any

import pytest

from tests.chaos.scripted.promises import (
    MOVES,
    Account,
    Attempt,
    Delivery,
    Incidents,
    Kind,
    Letter,
    Move,
    counted,
    judge,
)
from tests.chaos.scripted.register import Transaction, Turned

SERVER = "smtp://127.0.0.1:25"
EVENT, RECIPIENT, MESSAGE = "e1", "r1@chaos.example.com", "<m1@example.com>"


def delivery(**more: Any) -> Delivery:
    known: dict[str, Any] = {
        "id": 1,
        "event_id": EVENT,
        "recipient": RECIPIENT,
        "message_id": MESSAGE,
        "state": "sent",
        "cycle": 1,
        "attempt": 1,
        "policy": "hold",
    }
    return Delivery(**known | more)


def attempt(outcome: str = "accepted", phase: str = "done", code: int | None = 250, **more: Any) -> Attempt:
    known: dict[str, Any] = {"delivery": 1, "cycle": 1, "attempt": 1, "transport": SERVER, "worker": "host:7"}
    return Attempt(phase=phase, code=code, outcome=outcome, **known | more)


def served(phase: str = "done", code: int | None = 250, *, kept: bool = True, **more: Any) -> Transaction:
    known: dict[str, Any] = {
        "transport": SERVER,
        "connection": 1,
        "recipient": RECIPIENT,
        "phases": frozenset((phase,)),
        "code": code,
        "kept": kept,
        "met": None,
        "began_at": 0.0,
        "ended_at": 1.0,
        "message_id": MESSAGE,
        "digest": "d",
    }
    return Transaction(**known | more)


def letter(reason: str, **more: Any) -> Letter:
    known: dict[str, Any] = {"stage": "deliver", "detail": "why", "event_id": EVENT, "delivery": 1, "cycle": 1}
    return Letter(reason=reason, **known | more)


SENT = Account(
    owed={EVENT: RECIPIENT},
    malformed=frozenset(("bad",)),
    deliveries=[delivery()],
    attempts=[attempt()],
    letters=[Letter("consume", "malformed", "bad JSON", "bad")],
    transactions=[served()],
    turned=[Turned(SERVER, frozenset(("mail",)), 421)],
    moves=[Move(1, "queued", "claimed", 1, 1), Move(1, "claimed", "sending", 1, 1), Move(1, "sending", "sent", 1, 1)],
    permits={"default": 8},
)
LOST = attempt("in_doubt", "unknown", None)
# The worker was killed after the dot: the server has it, nobody knows, and an operator has to decide.
HELD = dataclasses.replace(
    SENT,
    deliveries=[delivery(state="in_doubt")],
    attempts=[LOST],
    letters=[*SENT.letters, letter("in_doubt")],
    incidents=Incidents({"host:7": 1}),
)
# The same, and its policy sent it again.
RESENT = dataclasses.replace(
    SENT,
    deliveries=[delivery(policy="resend", resent=True, attempt=2)],
    attempts=[LOST, attempt(attempt=2)],
    transactions=[served(), served()],
    incidents=Incidents({"host:7": 1}),
    moves=[*SENT.moves[:2], Move(1, "sending", "in_doubt", 1, 1), Move(1, "in_doubt", "queued", 1, 1)],
)
# Refused for now, and then for good.
REFUSED = dataclasses.replace(
    SENT,
    deliveries=[delivery(state="dead", attempt=2)],
    attempts=[attempt("transient", "rcpt", 451), attempt("permanent", "dot", 554, attempt=2)],
    letters=[*SENT.letters, letter("policy_refused")],
    transactions=[
        served("rcpt", 451, kept=False, message_id=None, digest=None),
        served("dot", 554, kept=False),
    ],
)


def broken(well: Account, **changes: Any) -> set[StrEnum]:
    """Return which promises *well* breaks once *changes* are made to it."""
    return {violation.kind for violation in judge(dataclasses.replace(well, **changes))}


@pytest.mark.parametrize("well", [SENT, HELD, RESENT, REFUSED], ids=["sent", "held", "resent", "refused"])
def test_a_run_that_is_well_breaks_no_promise(well: Account) -> None:
    assert judge(well) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"owed": {EVENT: RECIPIENT, "e2": "r2@chaos.example.com"}},
        {"deliveries": [delivery(), delivery(id=2)], "attempts": [attempt(), attempt(delivery=2)]},
        {"owed": {}},
    ],
    ids=["an event has none", "an event has two", "of an event that was aborted"],
)
def test_an_event_owes_one_delivery(changes: dict[str, Any]) -> None:
    assert Kind.OWED in broken(SENT, **changes)


@pytest.mark.parametrize("state", ["queued", "claimed", "sending", "bounced"])
def test_in_the_end_nothing_is_under_way(state: str) -> None:
    assert broken(SENT, deliveries=[delivery(state=state)]) == {Kind.UNSETTLED}


def test_no_lease_is_left() -> None:
    assert broken(SENT, deliveries=[delivery(leased=True)]) == {Kind.UNSETTLED}


def test_what_says_resend_does_not_stay_in_doubt_unsent() -> None:
    assert Kind.UNSETTLED in broken(HELD, deliveries=[delivery(state="in_doubt", policy="resend")])


def test_a_message_is_accepted_once() -> None:
    assert Kind.DOUBLED in broken(SENT, transactions=[served(), served()])


def test_a_message_that_is_held_in_doubt_is_not_accepted_twice() -> None:
    assert Kind.DOUBLED in broken(HELD, transactions=[served(), served()])


def test_a_message_that_is_sent_again_is_accepted_twice_at_most() -> None:
    assert Kind.DOUBLED in broken(RESENT, transactions=[served()] * 3)


def test_two_attempts_of_a_cycle_are_not_both_accepted() -> None:
    assert Kind.DOUBLED in broken(SENT, attempts=[attempt(), attempt(attempt=2)], deliveries=[delivery(attempt=2)])


def test_a_policy_sends_again_once() -> None:
    thrice = [dataclasses.replace(LOST, attempt=number) for number in (1, 2, 3)]

    assert Kind.DOUBLED in broken(RESENT, attempts=[*thrice, attempt(attempt=4)])


def test_a_message_has_one_message_id() -> None:
    assert broken(RESENT, transactions=[served(), served(message_id="<other@example.com>")]) == {Kind.BYTES}


def test_a_message_that_is_sent_again_has_the_same_bytes() -> None:
    assert broken(RESENT, transactions=[served(), served(digest="other")]) == {Kind.BYTES}


def test_what_is_sent_is_with_a_server() -> None:
    assert Kind.SENT in broken(SENT, transactions=[])
    assert Kind.SENT in broken(SENT, transactions=[served("dot", 451, kept=False)])


def test_nobody_is_mailed_to_whom_nothing_is_owed() -> None:
    assert broken(SENT, transactions=[served(), served(recipient="r9@chaos.example.com")]) == {Kind.SENT}


def test_an_operators_word_that_it_arrived_is_believed() -> None:
    told = {
        "deliveries": [delivery()],
        "letters": [*SENT.letters, letter("in_doubt", resolved=True)],
        "transactions": [],
    }

    assert broken(HELD, **told) == {Kind.SENT}
    assert broken(HELD, **told, settled_by_operator=frozenset((1,))) == set()


@pytest.mark.parametrize("state", ["dead", "expired", "suppressed", "cancelled"])
def test_what_was_given_up_is_with_no_server(state: str) -> None:
    assert Kind.DEAD in broken(REFUSED, deliveries=[delivery(state=state, attempt=2)], transactions=[served()])


def test_a_lost_worker_leaves_a_window_in_doubt_at_most() -> None:
    many = [dataclasses.replace(LOST, delivery=number) for number in range(1, 10)]

    assert Kind.DOUBTS in broken(HELD, attempts=many)
    assert Kind.DOUBTS not in broken(HELD, attempts=many[:8])
    assert Kind.DOUBTS not in broken(HELD, attempts=many, incidents=Incidents({"host:7": 2}))


def test_a_worker_to_which_nothing_was_done_leaves_nothing_in_doubt() -> None:
    assert broken(HELD, incidents=Incidents({})) == {Kind.DOUBTS}


def test_permits_are_capped() -> None:
    assert broken(SENT, permits={"default": 9}) == {Kind.PERMITS}


@pytest.mark.parametrize(
    "attempts",
    [
        [],
        [attempt(code=251)],
        [attempt("in_doubt", "dot", None)],
        [attempt(transport="smtp://127.0.0.1:26")],
        [attempt(), attempt("transient", "rcpt", 451, attempt=2)],
        [attempt(attempt=2)],
    ],
    ids=["none", "another code", "another phase", "another server", "one too many", "a gap"],
)
def test_attempts_are_what_the_server_saw(attempts: list[Attempt]) -> None:
    assert Kind.ATTEMPTS in broken(SENT, attempts=attempts)


def test_a_delivery_counts_its_attempts() -> None:
    assert broken(SENT, deliveries=[delivery(attempt=3)]) == {Kind.ATTEMPTS}


def test_what_the_server_saw_without_an_attempt_was_a_lost_workers() -> None:
    assert broken(REFUSED, transactions=[*REFUSED.transactions, served("rcpt", None, kept=False)]) == {Kind.ATTEMPTS}


def test_a_client_that_leaves_before_the_body_for_another_session_needs_no_attempt() -> None:
    left = dataclasses.replace(served(code=None, kept=False, digest=None), phases=frozenset())

    assert broken(SENT, transactions=[left, served()]) == set()
    assert Kind.ATTEMPTS in broken(SENT, transactions=[dataclasses.replace(left, digest="d"), served()])


def test_a_refusal_before_rcpt_was_given_by_the_server() -> None:
    early = [attempt("transient", "mail", 421), attempt(attempt=2)]

    assert broken(SENT, attempts=early, deliveries=[delivery(attempt=2)]) == set()
    assert broken(SENT, attempts=early, deliveries=[delivery(attempt=2)], turned=[]) == {Kind.ATTEMPTS}


def test_a_client_whose_patience_was_over_is_believed_and_nobody_else() -> None:
    late = attempt("in_doubt", "dot", None, detail="no reply in time")
    doubted = {"deliveries": [delivery(state="in_doubt")], "letters": [*SENT.letters, letter("in_doubt")]}

    assert broken(SENT, attempts=[late], **doubted) == set()
    assert broken(SENT, attempts=[dataclasses.replace(late, detail="broken pipe")], **doubted) == {Kind.ATTEMPTS}


@pytest.mark.parametrize("state", ["dead", "expired"])
def test_an_end_without_a_mail_has_a_dead_letter(state: str) -> None:
    assert broken(REFUSED, deliveries=[delivery(state=state, attempt=2)], letters=SENT.letters) == {Kind.LETTERS}


def test_what_is_in_doubt_has_a_dead_letter() -> None:
    assert broken(HELD, letters=SENT.letters) == {Kind.LETTERS}


def test_what_is_sent_has_no_open_dead_letter() -> None:
    assert broken(SENT, letters=[*SENT.letters, letter("in_doubt")]) == {Kind.LETTERS}


@pytest.mark.parametrize("silent", [{"reason": " "}, {"detail": ""}])
def test_a_dead_letter_says_why(silent: dict[str, str]) -> None:
    silenced = dataclasses.replace(letter("policy_refused"), **silent)  # type: ignore[arg-type] # names of texts

    assert Kind.LETTERS in broken(REFUSED, letters=[*SENT.letters, silenced])


def test_a_malformed_event_is_a_dead_letter_and_no_other_is() -> None:
    assert broken(SENT, letters=[]) == {Kind.LETTERS}
    assert broken(SENT, malformed=frozenset()) == {Kind.LETTERS}


@pytest.mark.parametrize(
    "move",
    [
        Move(1, "sent", "queued", 1, 1),
        Move(1, "sent", "queued", 2, 1),
        Move(1, "claimed", "sent", 1, 1),
        Move(1, "queued", "sending", 1, 1),
        Move(1, "in_doubt", "sent", 1, 1),
        Move(1, "in_doubt", "queued", 1, 1),
        Move(1, "queued", "in_doubt", 1, 1),
        Move(1, "dead", "queued", 1, 1),
        Move(1, "dead", "queued", 3, 1),
    ],
    ids=lambda move: f"{move.former} to {move.state} in cycle {move.cycle}",
)
def test_a_move_that_is_not_in_the_table_is_seen(move: Move) -> None:
    assert broken(SENT, moves=[*SENT.moves, move]) == {Kind.MOVED}


def test_a_policy_sends_again_once_a_cycle() -> None:
    again = Move(1, "in_doubt", "queued", 1, 1)

    assert broken(RESENT, moves=[*RESENT.moves, again]) == {Kind.MOVED}


def test_what_was_to_be_sent_again_and_is_over_age_is_in_doubt_again() -> None:
    assert broken(RESENT, moves=[*RESENT.moves, Move(1, "queued", "in_doubt", 1, 1)]) == set()


def test_what_was_in_doubt_and_redriven_and_is_over_age_is_in_doubt_again() -> None:
    doubted = [Move(1, "sending", "in_doubt", 1, 1), Move(1, "in_doubt", "queued", 2, 1)]

    assert broken(RESENT, moves=[*doubted, Move(1, "queued", "in_doubt", 2, 2)]) == set()


def test_a_redrive_begins_a_cycle_in_the_queue() -> None:
    assert broken(SENT, moves=[*SENT.moves, Move(1, "dead", "queued", 2, 1)]) == set()
    assert broken(SENT, moves=[*SENT.moves, Move(1, "dead", "claimed", 2, 1)]) == {Kind.MOVED}


def test_the_table_of_moves_has_no_way_out_of_sent() -> None:
    assert [move for move in MOVES if move[0] in ("sent", "cancelled")] == []


def test_every_promise_is_counted_also_where_it_held() -> None:
    assert counted([]) == {str(kind): 0 for kind in Kind}
