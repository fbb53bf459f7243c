import re

import pytest

from outbox.envelope import StoredEvent
from relay import machine
from relay.machine import (
    TRANSITIONS,
    Clean,
    Evidence,
    Slice,
    State,
    Suspicion,
    Unclean,
    judge_commit,
    next_pause,
    next_slice,
    policy_for,
    retry_pause,
    split_parked,
)
from relay.window import Row


def row(number: int, key: str = "k") -> Row:
    event = StoredEvent("e", "t", key, "happened", "{}", None, None, "")
    return Row(number, event)


ROWS = tuple(row(number) for number in (1, 2, 3, 4))


def test_the_docstring_lists_every_transition() -> None:
    listed = re.findall(r"^([A-Z_]+) --([a-z_]+)--> ([A-Z_]+)$", machine.__doc__ or "", re.MULTILINE)

    table = [(state.name, signal.value, to.name) for state, row in TRANSITIONS.items() for signal, to in row.items()]
    assert sorted(listed) == sorted(table)


def test_every_state_but_the_last_ones_can_stop() -> None:
    assert {state for state, row in TRANSITIONS.items() if not row} == {State.HALTED, State.STOPPED}
    assert all(State.STOPPED in row.values() for row in TRANSITIONS.values() if row)


def test_one_plain_answer_within_the_socket_timeout_is_clean() -> None:
    assert judge_commit(Evidence(("NO_ERROR",), 4.9), [1]) == Clean()


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (Evidence((), 0.1), "expected one EndTxn answered without an error, got []"),
        (Evidence(("NO_ERROR", "NO_ERROR"), 0.1), "got ['NO_ERROR', 'NO_ERROR']"),
        (Evidence(("_TRANSPORT", "NO_ERROR"), 0.1), "got ['_TRANSPORT', 'NO_ERROR']"),
        (Evidence(("CONCURRENT_TRANSACTIONS",), 0.1), "got ['CONCURRENT_TRANSACTIONS']"),
        (Evidence(("NO_ERROR",), 5.0), "the commit took 5.0 s"),
        (Evidence(("NO_ERROR",), 0.1, code=-185, problem="timed out"), "timed out"),
        (Evidence(("NO_ERROR",), 0.1, failures=((-152, frozenset({1})),)), "1 records failed"),
    ],
)
def test_anything_else_is_unclean_and_accuses_nobody(evidence: Evidence, reason: str) -> None:
    verdict = judge_commit(evidence, [1, 2])

    assert isinstance(verdict, Unclean)
    assert reason in verdict.reason
    assert not verdict.suspects


@pytest.mark.parametrize(
    ("evidence", "slow"),
    [
        (Evidence((), 6.0, code=-185, problem="timed out"), True),
        (Evidence(("NO_ERROR",), 5.0), True),
        (Evidence(("_TRANSPORT", "NO_ERROR"), 0.1), False),
        (Evidence((), 0.1, code=-144, problem="fenced"), False),
    ],
)
def test_what_took_too_long_says_so(evidence: Evidence, *, slow: bool) -> None:
    verdict = judge_commit(evidence, [1, 2])

    assert isinstance(verdict, Unclean)
    assert verdict.slow is slow


def test_a_record_that_kafka_refuses_is_suspected_and_those_that_were_purged_with_it_are_not() -> None:
    failures = ((10, frozenset({2})), (-152, frozenset({1, 3})))

    verdict = judge_commit(Evidence((), 0.1, code=10, problem="aborted", failures=failures), [1, 2, 3])

    assert verdict == Unclean("aborted", frozenset({2}), 10)


def test_a_topic_that_fails_the_transaction_without_naming_it_makes_all_suspects() -> None:
    verdict = judge_commit(Evidence((), 0.1, code=29, problem="not authorised"), [1, 2, 3])

    assert verdict == Unclean("not authorised", frozenset({1, 2, 3}), 29)


@pytest.mark.parametrize(
    ("suspects", "expected"),
    [
        (set(), Slice(ROWS, alone=False)),
        ({9}, Slice(ROWS, alone=False)),
        ({3}, Slice(ROWS[:2], alone=False)),
        ({1, 3}, Slice(ROWS[:1], alone=True)),
    ],
)
def test_the_prefix_goes_first_and_each_suspect_alone(suspects: set[int], expected: Slice) -> None:
    assert next_slice(ROWS, suspects) == expected


def test_a_row_is_guilty_after_it_failed_alone_twice() -> None:
    suspicion = Suspicion().accuse([2, 3])
    assert not suspicion.guilty(2)

    suspicion = suspicion.strike(2)
    assert not suspicion.guilty(2)

    suspicion = suspicion.strike(2)
    assert suspicion.guilty(2)
    assert not suspicion.guilty(3)


def test_a_row_that_was_published_is_suspected_no_more() -> None:
    suspicion = Suspicion().accuse([2, 3]).strike(2).clear([2])

    assert suspicion == Suspicion(frozenset({3}), {})


def test_rows_of_parked_keys_are_held_back_in_order() -> None:
    rows = (row(1, "a"), row(2, "b"), row(3, "a"), row(4, "c"))

    publish, held = split_parked(rows, {("t", "a")})

    assert [one.id for one in publish] == [2, 4]
    assert [one.id for one in held] == [1, 3]


@pytest.mark.parametrize(
    ("topic", "policy"),
    [("a.b", "block"), ("a.c", "skip"), ("a.bc", "park-key"), ("other", "park-key")],
)
def test_the_policy_of_a_topic_is_its_own_or_of_the_longest_prefix(topic: str, policy: str) -> None:
    policies = {"a.b": "block", "a.*": "skip", "a.b*": "park-key"}

    assert policy_for(topic, policies=policies, default="park-key") == policy  # type: ignore[arg-type]  # literals


def test_polling_slows_down_from_2_to_50_and_after_some_seconds_to_250_milliseconds() -> None:
    pauses, pause = [], next_pause(0.032, idle_seconds=0.09)
    for _ in range(7):
        pauses.append(pause)
        pause = next_pause(pause, idle_seconds=0.1)
    assert pauses == [0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05]

    for _ in range(4):
        pause = next_pause(pause, idle_seconds=11)
    assert pause == 0.25


def test_retries_wait_from_a_tenth_to_five_seconds() -> None:
    assert [retry_pause(failures) for failures in (1, 2, 3, 6, 7, 10_000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]
