"""Real replies, in `replies.txt` with where each was published and what it means."""

from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.classify import hint_in, judge_reply
from mailer.meanings import Breaker, Kind, Pace, Scope
from mailer.reply import Phase, accepted, refused, unanswered

RECIPIENT = "ada@example.com"


class Case(NamedTuple):
    phase: str
    line: str
    kind: str
    scope: str
    reason: str


def cases() -> list[Case]:
    text = (Path(__file__).parent / "replies.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    replies = zip(lines[::2], lines[1::2], strict=True)
    return [Case(*reply.split(" ", 1), *meaning.split()) for reply, meaning in replies]


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.phase}-{case.line[:40]}")
def test_a_reply_means_what_the_table_says(case: Case) -> None:
    code, _, text = case.line.partition(" ")
    reply = refused("t", Phase(case.phase), code=int(code), text=text, recipient=RECIPIENT)

    meaning = judge_reply(reply).meaning

    assert (meaning.kind.value, meaning.scope.value, meaning.reason) == (case.kind, case.scope, case.reason)


@pytest.mark.parametrize("phase", ["connect", "tls", "ehlo", "auth", "mail", "rcpt", "data"])
def test_no_answer_before_the_dot_means_that_nothing_was_taken(phase: str) -> None:
    meaning = judge_reply(unanswered("t", Phase(phase), text="timed out", recipient=RECIPIENT)).meaning

    assert (meaning.kind, meaning.scope) == (Kind.TRANSIENT, Scope.TRANSPORT)


def test_no_answer_after_the_dot_is_in_doubt_and_touches_no_breaker() -> None:
    meaning = judge_reply(unanswered("t", Phase.DOT, text="connection reset", recipient=RECIPIENT)).meaning

    assert (meaning.kind, meaning.breaker, meaning.elsewhere) == (Kind.IN_DOUBT, Breaker.UNTOUCHED, False)


def test_an_accepted_message_closes_the_breaker() -> None:
    meaning = judge_reply(accepted("t", code=250, text="2.0.0 queued", recipient=RECIPIENT)).meaning

    assert (meaning.kind, meaning.breaker) == (Kind.ACCEPTED, Breaker.CLOSES)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisted, try again in 300 seconds", 300),
        ("please retry in 5 minutes", 300),
        ("try again after 1 hour", 3600),
        ("Greylisting in action, wait 60s", 60),
        ("Deferred, retry after 2 min", 120),
    ],
)
def test_a_server_that_says_when_is_obeyed(text: str, seconds: int) -> None:
    assert hint_in(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["try again later", "try again in 40 hours", "451 4.7.1 try later", ""])
def test_what_names_no_time_within_a_day_is_no_hint(text: str) -> None:
    assert hint_in(text) is None


codes = st.integers(200, 599)
enhanced = st.none() | st.from_regex(r"[245]\.[0-9]\.[0-9]{1,2}", fullmatch=True)


@given(st.sampled_from(Phase), codes, enhanced, st.text(max_size=60))
def test_every_reply_means_something_and_punishes_nobody_innocent(
    phase: Phase, code: int, status: str | None, text: str
) -> None:
    reply = refused("t", phase, code=code, text=f"{status} {text}" if status else text, recipient=RECIPIENT)

    meaning = judge_reply(reply).meaning

    assert meaning.kind is not Kind.ACCEPTED
    if meaning.scope in (Scope.RECIPIENT, Scope.MESSAGE, Scope.POLICY):
        assert meaning.breaker is Breaker.UNTOUCHED
    if meaning.suppresses:
        assert (meaning.kind, meaning.scope) == (Kind.PERMANENT, Scope.RECIPIENT)
    if meaning.pace is not Pace.NORMAL:
        assert meaning.kind is Kind.TRANSIENT
