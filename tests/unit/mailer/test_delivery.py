import re
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import mailer.delivery
from mailer.backoff import Backoff
from mailer.delivery import (
    SETTLED,
    TERMINAL,
    TRANSITIONS,
    Dead,
    InDoubt,
    Retry,
    Sent,
    Signal,
    State,
    Try,
    goes_elsewhere,
    judge,
    state_after,
)
from mailer.meanings import (
    ACCEPTED,
    MAILBOX_FULL,
    NOT_AUTHORISED,
    POLICY_REFUSED,
    RECIPIENT_DEFERRED,
    RECIPIENT_REFUSED,
    UNANSWERED,
    UNREACHABLE,
    Judgement,
    Meaning,
)

DAY = timedelta(days=1)
MEANINGS = [value for value in vars(mailer.meanings).values() if isinstance(value, Meaning)]


def tried(meaning: Meaning, *, transport: str = "first", hint: timedelta | None = None) -> Try:
    return Try(transport, Judgement(meaning, hint), "what it said")


def verdict(*tries: Try, attempt: int = 1, left: timedelta = DAY, jitter: float = 0.5) -> object:
    return judge(tries, attempt=attempt, left=left, backoff=Backoff(), jitter=jitter)


def test_every_state_has_a_way_out_or_is_terminal() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {State.CANCELLED} == TERMINAL
    assert all(TRANSITIONS[state] for state in set(State) - TERMINAL)


def test_every_state_is_reached_from_the_queue() -> None:
    reached, new = {State.QUEUED}, {State.QUEUED}
    while new:
        new = {after for state in new for after in TRANSITIONS[state].values()} - reached
        reached |= new

    assert reached == set(State)


def test_from_every_state_that_is_not_terminal_a_delivery_can_still_be_sent() -> None:
    for state in set(State) - TERMINAL:
        reached, new = {state}, {state}
        while new:
            new = {after for one in new for after in TRANSITIONS[one].values()} - reached
            reached |= new
        assert State.SENT in reached, state


def test_nothing_is_sent_or_doubted_that_was_not_about_to_be_sent_or_in_doubt_before() -> None:
    doubtful = {
        (state, signal)
        for state, moves in TRANSITIONS.items()
        for signal, after in moves.items()
        if after in (State.SENT, State.IN_DOUBT) and state is not State.SENDING
    }

    assert doubtful == {(State.IN_DOUBT, Signal.CONFIRM), (State.QUEUED, Signal.LAPSE)}


def test_the_documentation_has_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/explanation/mail.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)

    assert rows == [
        (state.value, signal.value, after.value)
        for state, moves in TRANSITIONS.items()
        for signal, after in moves.items()
    ]


def test_only_an_operator_moves_a_settled_delivery() -> None:
    assert all(set(TRANSITIONS[state]) <= {Signal.REDRIVE, Signal.BOUNCE} for state in SETTLED)


def test_the_docstring_names_every_transition() -> None:
    named = set(re.findall(r"^(\w+) --(\w+)--> (\w+)$", mailer.delivery.__doc__ or "", re.MULTILINE))

    assert named == {
        (state.name, signal.value, after.name)
        for state, moves in TRANSITIONS.items()
        for signal, after in moves.items()
    }


def test_an_accepted_message_is_sent() -> None:
    assert verdict(tried(ACCEPTED)) == Sent()
    assert state_after(Sent()) is State.SENT


def test_a_lost_reply_is_in_doubt_with_the_transport_that_may_have_it() -> None:
    assert verdict(tried(UNREACHABLE), tried(UNANSWERED, transport="second")) == InDoubt("second")
    assert state_after(InDoubt("second")) is State.IN_DOUBT


def test_a_transient_refusal_is_tried_again_within_the_backoff() -> None:
    assert verdict(tried(RECIPIENT_DEFERRED), attempt=3, jitter=0.5) == Retry(
        timedelta(seconds=60), "recipient_deferred"
    )


def test_a_full_mailbox_is_left_alone_for_an_hour() -> None:
    assert verdict(tried(MAILBOX_FULL), jitter=0.0) == Retry(timedelta(hours=1), "mailbox_full")


def test_a_refused_recipient_is_dead_and_suppressed() -> None:
    assert verdict(tried(RECIPIENT_REFUSED)) == Dead("recipient_refused", "what it said", suppress=True)


def test_a_policy_refusal_is_dead_and_suppresses_nobody() -> None:
    assert verdict(tried(POLICY_REFUSED)) == Dead("policy_refused", "what it said", suppress=False)


def test_a_wrong_password_spends_no_attempt() -> None:
    assert verdict(tried(NOT_AUTHORISED), jitter=0.0) == Retry(timedelta(0), "not_authorised", spent=False)


def test_a_policy_refusal_of_one_transport_does_not_kill_what_another_may_take_later() -> None:
    outcome = verdict(tried(UNREACHABLE), tried(POLICY_REFUSED, transport="second"), jitter=0.0)

    assert outcome == Retry(timedelta(0), "unreachable")


def test_a_delivery_whose_age_is_spent_is_dead() -> None:
    outcome = verdict(tried(RECIPIENT_DEFERRED), left=timedelta(seconds=10))

    assert isinstance(outcome, Dead)
    assert outcome.reason == "age_spent"


def test_no_other_transport_is_asked_once_one_may_have_taken_it() -> None:
    assert not goes_elsewhere(Judgement(UNANSWERED))
    assert not goes_elsewhere(Judgement(ACCEPTED))
    assert not goes_elsewhere(Judgement(RECIPIENT_REFUSED))
    assert goes_elsewhere(Judgement(UNREACHABLE))


@given(
    st.lists(st.sampled_from(MEANINGS), min_size=1, max_size=4),
    st.integers(1, 1000),
    st.timedeltas(timedelta(days=-1), timedelta(days=5)),
    st.floats(0, 1, exclude_max=True),
)
def test_every_attempt_ends_in_a_state_that_loses_nothing(
    meanings: list[Meaning], attempt: int, left: timedelta, jitter: float
) -> None:
    outcome = judge(
        [tried(meaning) for meaning in meanings], attempt=attempt, left=left, backoff=Backoff(), jitter=jitter
    )

    assert state_after(outcome) in {State.SENT, State.QUEUED, State.DEAD, State.IN_DOUBT}
    if isinstance(outcome, Retry):
        assert timedelta(0) <= outcome.pause < left
    if isinstance(outcome, Sent):
        assert meanings[-1] is ACCEPTED
    if isinstance(outcome, Dead) and outcome.suppress:
        assert meanings[-1] is RECIPIENT_REFUSED


def test_a_refusal_that_another_transport_might_not_make_is_not_the_end_when_there_was_no_time_to_ask_it() -> None:
    def judged(*, cut_short: bool) -> object:
        return judge([tried(POLICY_REFUSED)], attempt=1, left=DAY, backoff=Backoff(), jitter=0.5, cut_short=cut_short)

    assert isinstance(judged(cut_short=False), Dead)
    assert isinstance(judged(cut_short=True), Retry)
