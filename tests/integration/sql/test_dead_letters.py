"""`outbox.redrive` and `outbox.discard`: each stage, once only, with a reason, audited."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row

pytestmark = pytest.mark.versions

Transaction = psycopg.Connection
EVENT = UUID("00000000-0000-0000-0000-00000000000e")


def test_a_letter_that_does_not_park_becomes_a_new_event(transaction: Transaction) -> None:
    letter = _publish(transaction)

    said = _redrive(transaction, letter)

    row = _letter(transaction, letter)
    assert transaction.execute(
        "select event_id, type, aggregate_id, payload, headers from outbox.event"
    ).fetchall() == [(row["redriven_event_id"], "a.b", "1", {"n": 1}, {"k": "v", "redriven-from": str(EVENT)})]
    assert said == f"event {row['redriven_event_id']} is inserted"
    assert (row["resolution"], row["resolution_reason"], row["redrive_pending"]) == ("redriven", "fixed", False)


def test_a_new_event_goes_where_the_host_wrote_not_where_the_route_led(transaction: Transaction) -> None:
    transaction.execute(
        "insert into outbox.event (aggregate_type, aggregate_id, type, payload) values ('a', '1', 'a.b', '{}')"
    )
    (row_id,) = transaction.execute("select id from outbox.event").fetchone() or (0,)
    letter = _publish(transaction, event_row_id=row_id, topic="outbox.event.a")

    _redrive(transaction, letter)

    assert transaction.execute("select topic from outbox.event").fetchall() == [(None,), (None,)]


def test_the_head_of_a_parked_key_is_left_to_the_relay(transaction: Transaction) -> None:
    head = _publish(transaction, parks=True)

    said = _redrive(transaction, head)

    row = _letter(transaction, head)
    assert said == "the relay publishes it, and then what waits behind it"
    assert (row["resolution"], row["redrive_pending"], row["redriven_event_id"]) == ("redriven", True, None)
    assert transaction.execute("select count(*) from outbox.event").fetchone() == (0,)


def test_what_waits_behind_a_head_is_not_redriven_before_it(transaction: Transaction) -> None:
    head = _publish(transaction, parks=True)
    held = _publish(transaction, event_row_id=2, reason="held_behind", behind=head)

    with pytest.raises(psycopg.Error, match=f"dead letter {held} waits behind {head} of the same key") as refused:
        _redrive(transaction, held)

    assert refused.value.sqlstate == "OB003"
    assert refused.value.diag.message_hint == f"select outbox.redrive({head}, '…') or outbox.discard({head}, '…')"


def test_what_waits_behind_a_head_can_be_discarded(transaction: Transaction) -> None:
    head = _publish(transaction, parks=True)
    held = _publish(transaction, event_row_id=2, reason="held_behind", behind=head)

    said = _discard(transaction, held)

    assert said == "discarded"
    assert _letter(transaction, held)["redrive_pending"] is False
    assert _letter(transaction, head)["resolution"] is None


def test_a_discarded_head_lets_go_what_waits_behind_it(transaction: Transaction) -> None:
    head = _publish(transaction, parks=True)

    said = _discard(transaction, head)

    row = _letter(transaction, head)
    assert said == "discarded; the relay publishes what waits behind it"
    assert (row["resolution"], row["redrive_pending"]) == ("discarded", True)


def test_a_record_that_was_not_planned_is_left_to_the_mailer(transaction: Transaction) -> None:
    letter = _insert(transaction, "dead_letter", stage="consume", reason="malformed", topic="t")

    said = _redrive(transaction, letter)

    assert said == "the mailer plans it again"
    assert _letter(transaction, letter)["redrive_pending"] is True
    assert transaction.execute("select count(*) from outbox.event").fetchone() == (0,)


@pytest.mark.parametrize("state", ["dead", "expired", "in_doubt"])
def test_a_delivery_is_queued_for_another_cycle(transaction: Transaction, state: str) -> None:
    delivery, letter = _deliver(transaction, state=state, attempt=5, resent=True, content=b"x", pinned_transport="smtp")

    said = _redrive(transaction, letter)

    row = _delivery(transaction, delivery)
    assert said == f"delivery {delivery} is queued, cycle 2"
    assert (row["state"], row["cycle"], row["attempt"], row["resent"]) == ("queued", 2, 0, False)
    assert row["finished_at"] is None
    # The same bytes through the same transport where they may have arrived; else rendered anew.
    kept = (b"x", "smtp") if state == "in_doubt" else (None, None)
    assert (row["content"], row["pinned_transport"]) == kept
    assert _letter(transaction, letter)["redrive_pending"] is False


def test_each_cycle_has_as_much_time_as_the_first(transaction: Transaction) -> None:
    delivery, letter = _deliver(transaction, state="dead")
    transaction.execute(
        "update outbox.delivery set created_at = now() - interval '9 d', expires_at = now() - interval '7 d'"
    )

    _redrive(transaction, letter)
    lifetimes = [transaction.execute("select expires_at - now() from outbox.delivery").fetchone()]
    transaction.execute("update outbox.delivery set state = 'dead', expires_at = now() + interval '2 d'")
    again = _insert(transaction, "dead_letter", stage="deliver", reason="x", delivery_id=delivery, cycle=2)
    _redrive(transaction, again)
    lifetimes.append(transaction.execute("select expires_at - now() from outbox.delivery").fetchone())

    assert [lifetime[0].days for lifetime in lifetimes if lifetime] == [2, 2]


def test_a_delivery_that_was_erased_cannot_be_sent_again(transaction: Transaction) -> None:
    _, letter = _deliver(transaction, state="dead", recipient=None)

    with pytest.raises(psycopg.Error, match="its recipient or its content was erased") as refused:
        _redrive(transaction, letter)

    assert refused.value.sqlstate == "OB004"


def test_a_delivery_that_is_under_way_is_not_queued_twice(transaction: Transaction) -> None:
    delivery, letter = _deliver(transaction, state="sent")

    with pytest.raises(
        psycopg.Error, match=f"expected delivery {delivery} to be dead or expired or in_doubt, got sent"
    ) as refused:
        _redrive(transaction, letter)

    assert refused.value.sqlstate == "OB002"


def test_discarding_a_delivery_in_doubt_cancels_it(transaction: Transaction) -> None:
    delivery, letter = _deliver(transaction, state="in_doubt")

    _discard(transaction, letter)

    assert _delivery(transaction, delivery)["state"] == "cancelled"


def test_a_suppressed_delivery_is_redriven_by_its_own_id(transaction: Transaction) -> None:
    delivery = _insert(transaction, "delivery", **_OWED, state="suppressed")

    said = transaction.execute("select outbox.redrive_delivery(%s, 'asked for')", [delivery]).fetchone()

    assert said == (f"delivery {delivery} is queued, cycle 2",)
    assert _audit(transaction) == [("redrive", f"delivery {delivery}", "asked for")]


def test_redriving_a_delivery_resolves_its_letter(transaction: Transaction) -> None:
    delivery, letter = _deliver(transaction, state="dead")

    transaction.execute("select outbox.redrive_delivery(%s, 'again')", [delivery])

    assert _letter(transaction, letter)["resolution"] == "redriven"


@pytest.mark.parametrize(
    ("former", "state"), [("in_doubt", "sent"), ("in_doubt", "cancelled"), ("queued", "cancelled")]
)
def test_a_delivery_is_settled_and_its_letter_with_it(transaction: Transaction, former: str, state: str) -> None:
    delivery, letter = _deliver(transaction, state=former)

    said = transaction.execute("select outbox.settle_delivery(%s, %s, 'it arrived')", [delivery, state]).fetchone()

    row = _delivery(transaction, delivery)
    assert said == (f"delivery {delivery} is {state}",)
    assert (row["state"], row["finished_at"] is not None) == (state, True)
    assert _letter(transaction, letter)["resolution"] == "discarded"


@pytest.mark.parametrize(
    ("former", "state"), [("sent", "cancelled"), ("dead", "sent"), ("queued", "sent"), ("in_doubt", "queued")]
)
def test_a_delivery_is_not_settled_against_what_is_known(transaction: Transaction, former: str, state: str) -> None:
    delivery, _ = _deliver(transaction, state=former)

    with pytest.raises(psycopg.Error, match=f"got {former} and {state}") as refused:
        transaction.execute("select outbox.settle_delivery(%s, %s, 'why not')", [delivery, state])

    assert refused.value.sqlstate == "OB002"


@pytest.mark.parametrize("call", ["redrive", "discard"])
@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_reason_is_required(transaction: Transaction, call: str, reason: str | None) -> None:
    letter = _publish(transaction)

    with pytest.raises(errors.InvalidParameterValue, match="expected a reason, got none"):
        transaction.execute(f"select outbox.{call}(%s, %s)", [letter, reason])


@pytest.mark.parametrize("call", ["redrive", "discard"])
def test_a_letter_that_is_resolved_stays_so(transaction: Transaction, call: str) -> None:
    letter = _publish(transaction)
    _discard(transaction, letter)

    with pytest.raises(psycopg.Error, match=f"dead letter {letter} was already discarded at .* by postgres") as refused:
        transaction.execute(f"select outbox.{call}(%s, 'again')", [letter])

    assert refused.value.sqlstate == "OB002"


@pytest.mark.parametrize("call", ["redrive", "discard", "redrive_delivery"])
def test_what_does_not_exist_is_named(transaction: Transaction, call: str) -> None:
    with pytest.raises(psycopg.Error, match="got none with id 77") as refused:
        transaction.execute(f"select outbox.{call}(77, 'why not')")

    assert refused.value.sqlstate == "OB001"


def test_every_action_is_audited_with_the_login_beside_the_name(transaction: Transaction) -> None:
    letter = _publish(transaction)
    transaction.execute("select set_config('outbox.actor', 'ada', true)")

    _redrive(transaction, letter)

    assert _letter(transaction, letter)["resolved_by"] == "ada"
    found = transaction.execute("select actor, action, target, reason, detail from outbox.audit").fetchall()
    detail = {"login": "postgres", "stage": "publish", "event_id": str(EVENT)}
    assert found == [("ada", "redrive", f"dead_letter {letter}", "fixed", detail)]


def test_an_operators_login_is_the_actor(transaction: Transaction) -> None:
    letter = _publish(transaction)
    transaction.execute("create role ada_of_ops login in role outbox_operator")
    transaction.execute("set session authorization ada_of_ops")

    _redrive(transaction, letter)

    transaction.execute("reset session authorization")
    assert _letter(transaction, letter)["resolved_by"] == "ada_of_ops"


def test_many_are_resolved_at_once_and_each_says_what_came_of_it(transaction: Transaction) -> None:
    head = _publish(transaction, parks=True)
    held = _publish(transaction, event_row_id=2, behind=head, reason="held_behind")
    plain = _publish(transaction, event_row_id=3)

    found = transaction.execute(
        "select id, done, outcome from outbox.redrive_many(%s, 'fixed')", [[plain, held, head, 77, plain]]
    ).fetchall()

    assert [(id_, done) for id_, done, _ in found] == [(head, True), (held, False), (plain, True), (77, False)]
    assert found[1][2] == f"dead letter {held} waits behind {head} of the same key, which is to be resolved first"
    assert [reason for _, _, reason in _audit(transaction)] == ["fixed", "fixed"]


def test_many_are_discarded_at_once(transaction: Transaction) -> None:
    letters = [_publish(transaction, event_row_id=number) for number in range(1, 4)]

    found = transaction.execute("select id, done, outcome from outbox.discard_many(%s, 'old')", [letters]).fetchall()

    assert found == [(letter, True, "discarded") for letter in letters]


def test_many_without_a_reason_change_nothing(transaction: Transaction) -> None:
    letter = _publish(transaction)

    with pytest.raises(errors.InvalidParameterValue), transaction.transaction():
        transaction.execute("select outbox.redrive_many(%s, '')", [[letter]])

    assert _letter(transaction, letter)["resolved_at"] is None


def test_a_redrive_that_is_rolled_back_has_not_been(transaction: Transaction) -> None:
    letter = _publish(transaction)

    with transaction.transaction(force_rollback=True):
        _redrive(transaction, letter)

    assert _letter(transaction, letter)["resolved_at"] is None
    assert _audit(transaction) == []
    assert transaction.execute("select count(*) from outbox.event").fetchone() == (0,)


_OWED: dict[str, Any] = {
    "event_id": EVENT,
    "event_type": "a.b",
    "aggregate_type": "a",
    "aggregate_id": "1",
    "mail": "m",
    "recipient": "ada@example.com",
    "recipient_key": b"k",
    "payload": "{}",
    "expires_at": "2100-01-01",
}


def _publish(connection: Transaction, **more: object) -> int:
    columns: dict[str, Any] = {"reason": "payload_too_large", "event_row_id": 1, "shard": 0} | more
    return _insert(
        connection,
        "dead_letter",
        stage="publish",
        event_id=EVENT,
        type="a.b",
        aggregate_type="a",
        aggregate_id="1",
        payload='{"n": 1}',
        headers='{"k": "v"}',
        **columns,
    )


def _deliver(connection: Transaction, **columns: object) -> tuple[int, int]:
    delivery = _insert(connection, "delivery", **(_OWED | {"event_id": uuid4()} | columns))
    return delivery, _insert(
        connection, "dead_letter", stage="deliver", reason="refused", delivery_id=delivery, cycle=1
    )


def _insert(connection: Transaction, table: str, **columns: object) -> int:
    names, places = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
    statement = f"insert into outbox.{table} ({names}) values ({places}) returning id"  # noqa: S608 - names of ours
    (id_,) = connection.execute(statement, columns).fetchone() or (0,)
    return int(id_)


def _redrive(connection: Transaction, id_: int) -> str:
    (said,) = connection.execute("select outbox.redrive(%s, 'fixed')", [id_]).fetchone() or ("",)
    return str(said)


def _discard(connection: Transaction, id_: int) -> str:
    (said,) = connection.execute("select outbox.discard(%s, 'worthless')", [id_]).fetchone() or ("",)
    return str(said)


def _letter(connection: Transaction, id_: int) -> dict[str, Any]:
    return _row(connection, "dead_letter", id_)


def _delivery(connection: Transaction, id_: int) -> dict[str, Any]:
    return _row(connection, "delivery", id_)


def _row(connection: Transaction, table: str, id_: int) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        statement = f"select * from outbox.{table} where id = %s"  # noqa: S608 - as above
        return cursor.execute(statement, [id_]).fetchone() or {}


def _audit(connection: Transaction) -> list[tuple[str, str, str]]:
    return connection.execute("select action, target, reason from outbox.audit order by id").fetchall()
