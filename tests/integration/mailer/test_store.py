from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from mailer.claims import Claim, Failures, Intent, Outcome, TryMade
from mailer.database import Database
from mailer.delivery import Dead, InDoubt, Retry, Sent, State
from mailer.store import Store
from tests.integration.mailer.conftest import Query

Owe = Callable[..., int]
TRY = TryMade("smtp://a", "rcpt", 451, "4.7.1", "transient", "later", 0.5)


def claim(store: Store, limit: int = 50) -> tuple[Claim, ...]:
    return store.claim(limit=limit)[0]


def intend(store: Store, *claims: Claim) -> set[int]:
    return store.record_and_intend([], [], [], [Intent(one, b"bytes", "v1", "smtp://a") for one in claims])[1]


def column(query: Query, delivery: int, *names: str) -> tuple[object, ...]:
    [row] = query("select * from outbox.delivery where id = %s", delivery)
    return tuple(row[name] for name in names)


def test_the_states_of_the_table_are_those_of_the_machine(query: Query) -> None:
    [row] = query(
        "select pg_get_constraintdef(oid) as definition from pg_constraint"
        " where conrelid = 'outbox.delivery'::regclass and pg_get_constraintdef(oid) like '%%cancelled%%'"
    )

    assert all(f"'{state.value}'" in row["definition"] for state in State)
    assert row["definition"].count("'") == 2 * len(State)


def test_what_is_due_is_claimed_most_urgent_first(store: Store, owe: Owe) -> None:
    late = owe(priority=100)
    urgent = owe(priority=10)
    owe(next_attempt_at="2999-01-01")

    claims = claim(store)

    assert [one.id for one in claims] == [urgent, late]
    assert claims[0].payload == {"n": Decimal("1.10")}
    assert timedelta(hours=23) < claims[0].left <= timedelta(days=1)


def test_two_workers_never_claim_the_same(make_store: Callable[..., Store], owe: Owe) -> None:
    owed = {owe() for _ in range(60)}
    stores = [make_store(worker=f"w{n}") for n in range(4)]

    def take(store: Store) -> list[int]:
        return [one.id for _ in range(10) for one in claim(store, limit=5)]

    with ThreadPoolExecutor(len(stores)) as pool:
        taken = [one for found in pool.map(take, stores) for one in found]

    assert len(taken) == len(owed)
    assert set(taken) == owed


def test_a_stale_claim_cannot_mark_a_delivery_sent(store: Store, owe: Owe, query: Query) -> None:
    delivery = owe()
    [stale] = claim(store)
    query("update outbox.delivery set claim_token = %s where id = %s", uuid4(), delivery)

    intended = intend(store, stale)
    recorded = store.record([Outcome(stale, Sent(), (TRY,))], [], [])

    assert (intended, recorded) == (set(), set())
    assert column(query, delivery, "state") == ("claimed",)
    assert query("select 1 from outbox.attempt") == []


def test_a_stale_claim_cannot_give_back_what_another_worker_holds(store: Store, owe: Owe, query: Query) -> None:
    delivery = owe()
    [stale] = claim(store)
    query("update outbox.delivery set claim_token = %s where id = %s", uuid4(), delivery)

    store.release([stale], pause=timedelta(0))

    assert column(query, delivery, "state") == ("claimed",)


def test_an_intent_stores_what_is_sent_and_survives_being_said_twice(store: Store, owe: Owe, query: Query) -> None:
    delivery = owe()
    [held] = claim(store)

    assert intend(store, held) == {delivery}
    assert intend(store, held) == {delivery}

    assert column(query, delivery, "state", "content", "template_version", "pinned_transport") == (
        "sending",
        b"bytes",
        "v1",
        "smtp://a",
    )


def test_a_sent_delivery_is_finished_and_forgets_its_bytes(store: Store, owe: Owe, query: Query) -> None:
    delivery = owe()
    [held] = claim(store)
    intend(store, held)

    assert store.record([Outcome(held, Sent(), (replace(TRY, outcome="accepted"),))], [], []) == {delivery}

    [row] = query("select * from outbox.delivery")
    assert (row["state"], row["attempt"], row["content"], row["claim_token"]) == ("sent", 1, None, None)
    assert row["finished_at"] is not None
    [attempt] = query("select * from outbox.attempt")
    assert (attempt["attempt"], attempt["outcome"], attempt["worker"]) == (1, "accepted", "w1")
    assert attempt["at"] < attempt["finished_at"]


def test_a_retry_is_due_later_with_the_same_bytes(store: Store, owe: Owe, query: Query) -> None:
    delivery = owe()
    [held] = claim(store)
    intend(store, held)

    store.record([Outcome(held, Retry(timedelta(minutes=1), "recipient_deferred"), (TRY,))], [], [])

    assert column(query, delivery, "state", "attempt", "content", "pinned_transport") == ("queued", 1, b"bytes", None)
    assert query("select 1 from outbox.delivery where next_attempt_at > now() + interval '59 seconds'")


def test_an_attempt_that_is_not_spent_keeps_its_number(store: Store, owe: Owe, query: Query) -> None:
    delivery = owe()
    [held] = claim(store)
    intend(store, held)

    store.record([Outcome(held, Retry(timedelta(0), "not_authorised", spent=False), (TRY,))], [], [])

    assert column(query, delivery, "attempt") == (0,)
    assert query("select attempt from outbox.attempt") == [{"attempt": 1}]


def test_a_dead_delivery_has_a_dead_letter_and_its_recipient_is_suppressed(
    store: Store, owe: Owe, query: Query
) -> None:
    delivery = owe(recipient_key=b"ada")
    [held] = claim(store)
    intend(store, held)

    store.record([Outcome(held, Dead("recipient_refused", "no such user", suppress=True), (TRY,))], [], [])

    [letter] = query("select * from outbox.dead_letter")
    assert (letter["stage"], letter["reason"], letter["delivery_id"], letter["cycle"]) == (
        "deliver",
        "recipient_refused",
        delivery,
        1,
    )
    assert query("select recipient_key, delivery_id from outbox.suppression") == [
        {"recipient_key": b"ada", "delivery_id": delivery}
    ]


def test_a_suppressed_recipient_gets_nothing_more_until_an_operator_redrives(
    store: Store, owe: Owe, query: Query
) -> None:
    query("insert into outbox.suppression (recipient_key, reason) values ('ada', 'recipient_refused')")
    suppressed = owe(recipient_key=b"ada")
    redriven = owe(recipient_key=b"ada", cycle=2)

    claims = claim(store)

    assert [one.id for one in claims] == [redriven]
    assert column(query, suppressed, "state") == ("suppressed",)
    intend(store, *claims)
    store.record([Outcome(claims[0], Sent())], [], [])
    assert query("select 1 from outbox.suppression") == []


def test_who_unsubscribed_gets_what_is_not_suppressible_all_the_same(store: Store, owe: Owe, query: Query) -> None:
    query(
        "insert into outbox.suppression (recipient_key, reason, undeliverable, unsubscribed_at)"
        " values ('ada', 'unsubscribed', false, now())"
    )
    news, password = owe(recipient_key=b"ada", suppressible=True), owe(recipient_key=b"ada")

    claims = claim(store)

    assert [one.id for one in claims] == [password]
    assert column(query, news, "state") == ("suppressed",)


def test_who_unsubscribed_stays_so_over_a_hard_bounce_and_a_redrive_that_arrives(
    store: Store, owe: Owe, query: Query
) -> None:
    query(
        "insert into outbox.suppression (recipient_key, reason, undeliverable, unsubscribed_at)"
        " values ('ada', 'unsubscribed', false, now())"
    )
    owe(recipient_key=b"ada")
    [first] = claim(store)
    intend(store, first)
    store.record([Outcome(first, Dead("recipient_refused", "no such user", suppress=True), (TRY,))], [], [])
    held = "select reason, undeliverable from outbox.suppression"
    assert query(held) == [{"reason": "recipient_refused", "undeliverable": True}]

    owe(recipient_key=b"ada", cycle=2)
    [again] = claim(store)
    intend(store, again)
    store.record([Outcome(again, Sent())], [], [])

    assert query(held) == [{"reason": "unsubscribed", "undeliverable": False}]


@pytest.mark.parametrize(("attempt", "seen"), [(0, ("expired", "expired")), (3, ("dead", "age_spent"))])
def test_what_is_over_age_is_not_sent_and_an_operator_can_see_it(
    store: Store, owe: Owe, query: Query, attempt: int, seen: tuple[str, str]
) -> None:
    state, reason = seen
    delivery = owe(expires_in=timedelta(seconds=-1), attempt=attempt)

    assert claim(store) == ()

    assert column(query, delivery, "state") == (state,)
    assert query("select reason from outbox.dead_letter where delivery_id = %s", delivery) == [{"reason": reason}]


def test_in_doubt_is_for_an_operator_unless_the_mail_says_resend(store: Store, owe: Owe, query: Query) -> None:
    hold, again = owe(in_doubt_policy="hold"), owe(in_doubt_policy="resend")
    claims = claim(store)
    intend(store, *claims)

    store.record([Outcome(one, InDoubt("smtp://a"), (TRY,)) for one in claims], [], [])

    assert query("select delivery_id from outbox.dead_letter") == [{"delivery_id": hold}]
    assert column(query, again, "state", "pinned_transport", "content") == ("in_doubt", "smtp://a", b"bytes")


def test_a_resend_that_is_refused_for_now_stays_with_its_transport(store: Store, owe: Owe, query: Query) -> None:
    delivery = owe(pinned_transport="smtp://a", resent=True)
    [held] = claim(store)
    intend(store, held)

    store.record([Outcome(held, Retry(timedelta(0), "unreachable"), (TRY,))], [], [])

    assert column(query, delivery, "pinned_transport") == ("smtp://a",)


def test_a_breaker_opens_at_the_threshold_and_one_worker_probes_it(
    make_store: Callable[..., Store], query: Query
) -> None:
    store, other = make_store(), make_store()
    store.record([], [Failures("a", 2, at_once=False, reason="unreachable")], [])
    assert store.breakers()["a"].breaker == "closed"
    store.record([], [Failures("a", 1, at_once=False, reason="unreachable")], [])
    opened = store.breakers()["a"]
    assert (opened.breaker, opened.failures) == ("open", 3)
    assert timedelta(seconds=29) < opened.retry_in <= timedelta(seconds=30)
    assert store.probe("a") is False

    query("update outbox.transport set retry_at = now()")

    assert store.probe("a") is True
    assert other.probe("a") is False
    assert other.breakers()["a"].breaker == "half_open"


def test_a_probe_that_fails_opens_the_breaker_for_longer(store: Store, query: Query) -> None:
    store.record([], [Failures("a", 3, at_once=False, reason="unreachable")], [])
    query("update outbox.transport set retry_at = now()")
    assert store.probe("a")

    store.record([], [Failures("a", 1, at_once=False, reason="unreachable")], [])

    assert timedelta(seconds=59) < store.breakers()["a"].retry_in <= timedelta(seconds=60)


def test_a_wrong_password_opens_a_breaker_at_once(store: Store) -> None:
    store.record([], [Failures("a", 1, at_once=True, reason="not_authorised")], [])

    assert store.breakers()["a"].breaker == "open"


def test_a_transport_that_takes_a_message_is_well_again(store: Store) -> None:
    store.record([], [Failures("a", 9, at_once=True, reason="unreachable")], [])

    store.record([], [], ["a"])

    assert store.breakers() == {}


def test_slots_begin_behind_those_that_any_worker_has_reserved(make_store: Callable[..., Store], query: Query) -> None:
    first, second = make_store(worker="w1"), make_store(worker="w2")

    begins = [one.reserve({"b": 20.0, "a": 0.5}, patience=timedelta(minutes=1)) for one in (first, second)]

    assert begins[0] == {"a": 0.0, "b": 0.0}
    assert 15 < begins[1]["b"] <= 20
    assert query("select name, breaker from outbox.transport order by name") == [
        {"name": "a", "breaker": "closed"},
        {"name": "b", "breaker": "closed"},
    ]


def test_what_would_begin_too_late_reserves_nothing(store: Store) -> None:
    store.reserve({"a": 60.0}, patience=timedelta(0))

    assert store.reserve({"a": 60.0, "b": 1.0}, patience=timedelta(seconds=30)) == {"b": 0.0}
    assert 50 < store.reserve({"a": 60.0}, patience=timedelta(minutes=5))["a"] <= 60


def test_slots_that_nobody_used_are_gone(store: Store, query: Query) -> None:
    store.reserve({"a": 1.0}, patience=timedelta(0))
    query("update outbox.transport set free_at = now() - interval '1 hour'")

    store.reserve({"a": 1.0}, patience=timedelta(0))

    assert 0 < store.reserve({"a": 1.0}, patience=timedelta(minutes=1))["a"] <= 1


def test_a_breaker_leaves_the_line_as_it_was(store: Store) -> None:
    store.reserve({"a": 60.0}, patience=timedelta(0))

    store.record([], [Failures("a", 3, at_once=False, reason="refused")], [])
    store.record([], [], ["a"])

    assert store.reserve({"a": 1.0}, patience=timedelta(seconds=30)) == {}


def test_a_permit_is_used_once(store: Store, query: Query) -> None:
    permit = uuid4()
    query("insert into outbox.permit (id, lane) values (%s, 'default')", permit)

    assert [store.take_permit(permit) for _ in range(2)] == [True, False]


def test_a_connection_that_was_cut_is_replaced(connect: Callable[[], Database], query: Query) -> None:
    database = connect()
    [row] = database.rows("installation")
    query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test'")

    with pytest.raises(psycopg.OperationalError):
        database.rows("installation")

    assert database.rows("installation") == [row]
