import signal

import psycopg
import pytest

from console import status
from console.database import Database
from relay.lease import LOCK_SPACE
from runtime.dsn import SecretDsn
from runtime.errors import DatabaseUnavailableError
from tests.support.operators import Logins, Operator, Rows, started


def test_an_empty_outbox_has_every_number(outbox: Operator) -> None:
    answer = outbox.json("status")

    assert (answer["backlog"], answer["oldest_unpublished_seconds"]) == (0, None)
    assert answer["dead_letters"] == {"unresolved": 0, "at_least": False, "by_reason": [], "redrives_pending": {}}
    assert answer["deliveries"] == dict.fromkeys(status.DELIVERY_STATES, 0)
    assert [shard["shard"] for shard in answer["shards"]] == [0]


def test_the_backlog_counts_committed_events_and_ages_the_oldest(outbox: Operator, rows: Rows, database: str) -> None:
    rows.event()
    rows.event()
    with psycopg.connect(database) as open_host:
        Rows(open_host).event()

        answer = outbox.json("status")

    assert answer["backlog"] == 2
    assert 0 <= answer["oldest_unpublished_seconds"] < 60
    assert answer["shards"][0]["backlog"] == 2


def test_the_holder_of_a_shard_is_named(outbox: Operator, database: str) -> None:
    with psycopg.connect(database, autocommit=True, application_name="outbox relay shard 0") as relay:
        relay.execute("select pg_advisory_lock(%s, 0)", [LOCK_SPACE])

        holder = outbox.json("status")["shards"][0]["holder"]

        assert holder["pid"] == relay.info.backend_pid
    assert holder["application"] == "outbox relay shard 0"
    assert outbox.json("status")["shards"][0]["holder"] is None


def test_the_oldest_open_transaction_is_named(outbox: Operator, database: str) -> None:
    with psycopg.connect(database, application_name="nightly report") as reader:
        reader.execute("select pg_current_xact_id()")

        oldest = outbox.json("status")["oldest_transaction"]

        assert oldest["pid"] == reader.info.backend_pid
    assert (oldest["application"], oldest["state"], oldest["writes"]) == ("nightly report", "idle in transaction", True)
    assert oldest["age_seconds"] >= 0


def test_dead_letters_are_counted_by_stage_and_reason(outbox: Operator, rows: Rows) -> None:
    for _ in range(3):
        rows.dead("consume", "malformed")
    rows.dead("publish", "payload_too_large", parks=True)
    rows.connection.execute("select outbox.discard(%s, 'known')", [rows.dead("consume", "no_address")])

    letters = outbox.json("status")["dead_letters"]

    assert letters["unresolved"] == 4
    assert [(kind["stage"], kind["reason"], kind["count"]) for kind in letters["by_reason"]] == [
        ("consume", "malformed", 3),
        ("publish", "payload_too_large", 1),
    ]


def test_deliveries_are_counted_by_state(outbox: Operator, rows: Rows) -> None:
    for state in ("queued", "queued", "sending", "sent", "in_doubt"):
        rows.delivery(state)

    answer = outbox.json("status")

    counted = {state: number for state, number in answer["deliveries"].items() if number}
    assert counted == {"queued": 2, "sending": 1, "sent": 1, "in_doubt": 1}
    assert answer["deliveries_estimated"] is False
    assert [(due["lane"], due["count"]) for due in answer["due"]] == [("default", 2)]


def test_a_large_table_is_sampled_and_what_is_under_way_is_still_exact(rows: Rows, database: str) -> None:
    for state in ("queued", "sending", "in_doubt"):
        rows.delivery(state)

    with Database.open(SecretDsn(database)) as opened:
        counts, estimated = status.count_deliveries(opened, counted_bytes=1)

    assert estimated is True
    assert {state: counts[state] for state in ("queued", "sending", "in_doubt")} == {
        "queued": 1,
        "sending": 1,
        "in_doubt": 1,
    }


def test_breakers_permits_and_scheduled_events_are_shown(outbox: Operator, rows: Rows) -> None:
    rows.connection.execute(
        "insert into outbox.transport (name, breaker, failures, reason, retry_at)"
        " values ('smtp', 'open', 5, 'refused', now())"
    )
    rows.connection.execute("insert into outbox.permit (id, lane) values (gen_random_uuid(), 'default')")
    rows.connection.execute("select outbox.schedule('t', 'user', '1', '{}'::json, null, now() + interval '1 day')")

    answer = outbox.json("status")

    assert [(one["name"], one["breaker"], one["reason"]) for one in answer["breakers"]] == [("smtp", "open", "refused")]
    assert [(one["lane"], one["count"]) for one in answer["permits"]] == [("default", 1)]
    assert (answer["scheduled"]["waiting"], answer["scheduled"]["overdue"]) == (1, 0)


def test_a_person_reads_what_hurts(outbox: Operator, rows: Rows) -> None:
    rows.event()
    rows.dead("consume", "malformed")
    rows.delivery("in_doubt")
    rows.connection.execute("update outbox.shard set halted_reason = 'position of another history', halted_at = now()")

    outcome = outbox("status")

    assert outcome.code == 0
    for words in (
        "1 not yet published",
        "nobody",
        "position of another history",
        "1 in doubt",
        "1 unresolved",
        "malformed",
    ):
        assert words in outcome.out


def test_watching_ends_with_a_signal(database: str) -> None:
    with started("status", "--watch", "--json", "--every", "0.2", dsn=database) as process:
        assert process.stdout is not None
        looks = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        code = process.wait(10)

    assert all('"backlog": 0' in look for look in looks)
    assert code == 0


def test_a_database_without_an_outbox_is_said_with_the_fix(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = Operator(empty_database, capsys)("status")

    assert outcome.code == 1
    assert outcome.err.startswith("error: expected PostgreSQL at ")
    assert "fix: run `outbox migrate up`" in outcome.err


@pytest.mark.parametrize("role", ["outbox_operator", "outbox_reader"])
def test_whoever_may_look_may_ask_for_the_status(logins: Logins, capsys: pytest.CaptureFixture[str], role: str) -> None:
    outcome = Operator(logins.of(role), capsys)("status")

    assert (outcome.code, outcome.err) == (0, "")


def test_who_may_not_look_is_told_what_to_be(logins: Logins, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Operator(logins.of("outbox_writer"), capsys)("status")

    assert outcome.code == 1
    assert "may not do this: permission denied for" in outcome.err
    assert "fix: connect as a member of outbox_operator" in outcome.err


def test_a_server_that_goes_away_meanwhile_is_named(database: str, rows: Rows) -> None:
    with Database.open(SecretDsn(database)) as opened:
        rows.connection.execute("select pg_terminate_backend(%s)", [opened.connection.info.backend_pid])

        with pytest.raises(DatabaseUnavailableError, match="cannot connect to PostgreSQL at"):
            status.read(opened)
