from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from mailer.claims import Intent
from mailer.database import Database
from mailer.permits import Permits
from mailer.store import Store
from mailer.sweep import Sweeper, SweepRule
from mailer.telemetry import SweeperMetrics
from runtime.stopping import StopSignal
from tests.integration.mailer.conftest import Query
from tests.support.waiting import wait_until

Owe = Callable[..., int]
RULE = SweepRule(
    tick=timedelta(seconds=1),
    permit_age=timedelta(seconds=60),
    resend_pause=timedelta(0),
    due_limit=400,
    redact_days=30,
    prune_days=90,
)


class Broker:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.away = False

    def publish(self, lane: str, permit: UUID) -> None:
        assert isinstance(permit, UUID)
        if self.away:
            raise ConnectionError("the broker is away")
        self.sent.append(lane)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def sweeper(connect: Callable[[], Database], broker: Broker, registry: CollectorRegistry) -> Iterator[Sweeper]:
    database = connect()
    stop = StopSignal()
    permits = Permits(database, broker.publish, cap=4, claim=50)
    yield Sweeper(database, permits=permits, rule=RULE, stop=stop, metrics=SweeperMetrics(registry))
    stop.close()


def hold(store: Store, *, sending: bool) -> None:
    claims, _ = store.claim(limit=50)
    if sending:
        store.record_and_intend([], [], [], [Intent(one, b"bytes", "v1", "smtp://a") for one in claims])


def states(query: Query) -> dict[int, str]:
    return {row["id"]: row["state"] for row in query("select id, state from outbox.delivery")}


def test_permits_are_issued_for_what_is_due_and_not_over_the_cap(sweeper: Sweeper, broker: Broker, owe: Owe) -> None:
    for _ in range(60):
        owe()
    owe(lane="security")
    owe(lane="later", next_attempt_at="2999-01-01")

    sweeper.sweep()
    sweeper.sweep()

    assert sorted(broker.sent) == ["default"] * 4 + ["security"] * 2


def test_the_cap_holds_however_often_it_sweeps(sweeper: Sweeper, broker: Broker, owe: Owe, query: Query) -> None:
    owe()

    for _ in range(10):
        sweeper.sweep()

    assert len(broker.sent) == 4
    assert query("select count(*) as n from outbox.permit") == [{"n": 4}]


def test_permits_that_the_broker_did_not_take_do_not_count(
    sweeper: Sweeper, broker: Broker, owe: Owe, query: Query
) -> None:
    owe()
    broker.away = True
    sweeper.sweep()
    assert query("select 1 from outbox.permit") == []

    broker.away = False
    sweeper.sweep()

    assert broker.sent == ["default"]


def test_permits_that_nobody_took_are_forgotten(sweeper: Sweeper, query: Query) -> None:
    query("insert into outbox.permit (id, lane, issued_at) values (%s, 'default', now() - interval '61 s')", uuid4())
    query("insert into outbox.permit (id, lane, issued_at) values (%s, 'default', now() - interval '59 s')", uuid4())

    sweeper.sweep()

    assert query("select count(*) as n from outbox.permit") == [{"n": 1}]


def test_a_claim_that_ran_out_before_anybody_was_contacted_goes_back_unspent(
    sweeper: Sweeper, make_store: Callable[..., Store], owe: Owe, query: Query
) -> None:
    delivery = owe()
    hold(make_store(lease=timedelta(seconds=-1)), sending=False)

    sweeper.sweep()

    assert query("select id, state, attempt, claim_token from outbox.delivery") == [
        {"id": delivery, "state": "queued", "attempt": 0, "claim_token": None}
    ]


def test_a_claim_that_ran_out_while_it_was_being_sent_is_in_doubt(
    sweeper: Sweeper, make_store: Callable[..., Store], owe: Owe, query: Query
) -> None:
    delivery = owe(in_doubt_policy="hold")
    hold(make_store(lease=timedelta(seconds=-1)), sending=True)

    sweeper.sweep()

    assert states(query) == {delivery: "in_doubt"}
    assert query("select transport, phase, outcome, worker from outbox.attempt") == [
        {"transport": "smtp://a", "phase": "unknown", "outcome": "in_doubt", "worker": "w1"}
    ]
    assert query("select reason, delivery_id from outbox.dead_letter") == [
        {"reason": "in_doubt", "delivery_id": delivery}
    ]


def test_claims_that_still_stand_are_left_alone(sweeper: Sweeper, store: Store, owe: Owe, query: Query) -> None:
    delivery = owe()
    hold(store, sending=True)

    sweeper.sweep()

    assert states(query) == {delivery: "sending"}


def test_what_is_in_doubt_is_sent_once_more_where_the_mail_says_so(
    sweeper: Sweeper, make_store: Callable[..., Store], owe: Owe, query: Query
) -> None:
    delivery = owe(in_doubt_policy="resend")
    lost = make_store(lease=timedelta(seconds=-1))
    hold(lost, sending=True)
    sweeper.sweep()
    assert query("select state, resent, pinned_transport, content from outbox.delivery") == [
        {"state": "queued", "resent": True, "pinned_transport": "smtp://a", "content": b"bytes"}
    ]

    hold(lost, sending=True)
    sweeper.sweep()

    assert states(query) == {delivery: "in_doubt"}
    assert query("select reason from outbox.dead_letter") == [{"reason": "in_doubt"}]


def test_old_settled_deliveries_lose_what_is_personal_and_later_go(sweeper: Sweeper, owe: Owe, query: Query) -> None:
    young = owe(state="sent", finished_at="now")
    old = owe(state="sent", finished_at="2020-01-01")
    middle = owe(state="suppressed", finished_at="now")
    query("update outbox.delivery set finished_at = now() - interval '31 days' where id = %s", middle)

    sweeper.sweep()

    assert old not in states(query)
    assert query("select id, recipient is null as r, payload is null as p from outbox.delivery order by id") == [
        {"id": young, "r": False, "p": False},
        {"id": middle, "r": True, "p": True},
    ]


def test_what_an_operator_has_yet_to_decide_is_kept_whole(sweeper: Sweeper, owe: Owe, query: Query) -> None:
    delivery = owe(state="dead", finished_at="2020-01-01")
    query(
        "insert into outbox.dead_letter (stage, reason, delivery_id, cycle) values ('deliver', 'age_spent', %s, 1)",
        delivery,
    )

    sweeper.sweep()

    assert query("select recipient is null as gone from outbox.delivery where id = %s", delivery) == [{"gone": False}]


def test_one_of_two_sweepers_is_elected(connect: Callable[[], Database]) -> None:
    first, second = connect(), connect()

    assert first.rows("elect") == [{"elected": True}]
    assert second.rows("elect") == [{"elected": False}]
    first.close()
    wait_until(lambda: second.rows("elect")[0]["elected"], timeout_seconds=10, what="the second to be elected")


def test_metrics_say_what_is_not_settled(
    sweeper: Sweeper, registry: CollectorRegistry, owe: Owe, store: Store, query: Query
) -> None:
    owe()
    hold(store, sending=True)
    owe(next_attempt_at="2020-01-01")
    query("insert into outbox.transport (name, breaker, retry_at) values ('smtp://a', 'open', now())")

    sweeper.sweep()

    def metric(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert metric("outbox_mailer_deliveries", state="queued") == 1
    assert metric("outbox_mailer_deliveries", state="sending") == 1
    assert metric("outbox_mailer_breaker_open", transport="smtp://a") == 1
    assert (metric("outbox_mailer_oldest_due_seconds") or 0) > 3600
