from collections.abc import Iterator
from pathlib import Path

import pytest

from console import trace
from console.database import Database
from devstack import providers
from runtime.dsn import SecretDsn
from tests.support.operators import Operator, Rows
from tests.support.relays import Relays, relays_on


@pytest.fixture
def publishing(database: str, kafka: providers.Kafka, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})


@pytest.fixture
def relays(database: str, kafka: providers.Kafka, tmp_path: Path) -> Iterator[Relays]:
    with relays_on(database, kafka.bootstrap, tmp_path) as made:
        yield made


def test_an_event_is_followed_from_commit_to_record(
    publishing: Operator, rows: Rows, relays: Relays, aggregate_type: str
) -> None:
    for number in range(20):
        rows.event(aggregate_type, str(number % 4))
    wanted = rows.event(aggregate_type, "key")
    before = publishing.json("trace", wanted)
    relays.drain()

    after = publishing.json("trace", wanted)
    text = publishing("trace", wanted).out

    assert (before["published"], before["window"], before["record"]) == (False, None, None)
    assert (after["published"], after["window"]["seq"], after["window"]["n"]) == (True, 1, 21)
    record = after["record"]["found"]
    assert record["topic"] == f"outbox.event.{aggregate_type}"
    assert after["record"]["looked_at"] <= 21
    assert f"partition {record['partition']}, offset {record['offset']}" in text
    assert "ada@example.com" not in text


def test_windows_are_found_by_the_transaction_that_they_carry(
    publishing: Operator, rows: Rows, relays: Relays, aggregate_type: str
) -> None:
    events = []
    for _ in range(3):
        events.append(rows.event(aggregate_type))
        relays.drain()

    windows = [publishing.json("trace", event)["window"]["seq"] for event in events]

    assert windows == [1, 2, 3]


def test_deliveries_attempts_and_dead_letters_are_part_of_it(outbox: Operator, rows: Rows) -> None:
    event = rows.event()
    delivery = rows.delivery("dead", event_id=event)
    rows.dead("deliver", "recipient_refused", event_id=event, delivery_id=delivery, cycle=1)

    answer = outbox.json("trace", event)
    text = outbox("trace", event).out

    assert [(one["state"], one["attempts"][0]["enhanced_code"]) for one in answer["deliveries"]] == [("dead", "5.1.1")]
    assert [one["reason"] for one in answer["dead_letters"]] == ["recipient_refused"]
    for words in ("550 5.1.1", "no such user", "deliver/recipient_refused", "unresolved"):
        assert words in text


def test_a_publish_dead_letter_says_that_it_was_not_published(outbox: Operator, rows: Rows) -> None:
    event = rows.event()
    row_id = rows.one("select id from outbox.event where event_id = %s", event)
    rows.dead("publish", "payload_too_large", event_id=event, event_row_id=row_id)

    assert outbox.json("trace", event)["published"] is False
    assert "no: it is a dead letter" in outbox("trace", event).out


def test_a_redriven_event_names_the_one_that_failed(outbox: Operator, rows: Rows) -> None:
    failed = rows.event()
    row_id = rows.one("select id from outbox.event where event_id = %s", failed)
    dead = rows.dead("publish", "payload_too_large", event_id=failed, event_row_id=row_id)
    outbox("dead", "redrive", str(dead), "--reason", "limit was raised")

    again = outbox.json("trace", failed)["dead_letters"][0]["redriven_event_id"]

    assert outbox.json("trace", again)["event"]["redriven_from"] == failed
    assert f"from event {failed}" in outbox("trace", again).out


def test_an_event_that_retention_took_is_known_by_its_deliveries(outbox: Operator, rows: Rows) -> None:
    event = rows.event()
    rows.delivery("sent", event_id=event)
    rows.connection.execute("delete from outbox.event")

    outcome = outbox("trace", event)

    assert outcome.code == 0
    assert "its row is gone: retention deletes what is published" in outcome.out


def test_a_scheduled_event_says_until_when(outbox: Operator, rows: Rows) -> None:
    event = rows.one("select outbox.schedule('t', 'user', '1', '{}'::json, null, now() + interval '1 day')")

    assert "kept aside until" in outbox("trace", str(event)).out


def test_an_event_of_an_open_transaction_is_nowhere(outbox: Operator) -> None:
    outcome = outbox("trace", "5d0c2b1e-0000-4000-8000-000000000000")

    assert outcome.code == 1
    assert outcome.err.startswith("error: there is no event 5d0c2b1e-0000-4000-8000-000000000000\nfix: its transaction")


def test_what_is_no_id_is_refused(outbox: Operator) -> None:
    assert outbox("trace", "42").code == 2


def test_the_search_for_a_window_asks_few_times(rows: Rows, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.connection.execute(
        "insert into outbox.batch (shard, seq, epoch, a, b, n)"
        " select 0, g, 1, format('%s:%s:', 1000 + g - 1, 1000 + g - 1)::pg_snapshot,"
        " format('%s:%s:', 1000 + g, 1000 + g)::pg_snapshot, 1 from generate_series(1, 5000) as g"
    )
    asked: list[str] = []
    former = Database.row

    def counting(self: Database, name: str, **parameters: object) -> object:
        asked.append(name)
        return former(self, name, **parameters)

    monkeypatch.setattr(Database, "row", counting)
    with Database.open(SecretDsn(database)) as opened:
        window = trace.window_of(opened, shard=0, tx="5321")

    assert window is not None
    assert window["seq"] == 4322
    assert len(asked) < 20
