import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from devstack import providers
from devstack.sink import Sink
from relay.lease import LOCK_SPACE
from relay.transactions import Transactions
from relay.wire import Wire
from tests.support.hanging import forgetful, hang
from tests.support.operators import Logins, Operator, Rows
from tests.support.topics import TopicAdmin

NO_KAFKA = {"OUTBOX_KAFKA_BOOTSTRAP": "127.0.0.1:1"}


def marks(answer: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["mark"] for check in answer["checks"]}


def found(answer: dict[str, Any], check: str) -> dict[str, Any]:
    (one,) = [one for one in answer["checks"] if one["check"] == check]
    return one  # type: ignore[no-any-return]  # JSON


@contextlib.contextmanager
def held_lease(dsn: str) -> Iterator[None]:
    with psycopg.connect(dsn, autocommit=True, application_name="outbox relay") as relay:
        relay.execute("select pg_advisory_lock(%s, 0)", [LOCK_SPACE])
        yield


def test_a_database_in_order_has_no_failed_check(database: str, outbox: Operator) -> None:
    with held_lease(database):
        answer = outbox.json("doctor")

    failed = {check["check"] for check in answer["checks"] if check["mark"] == "failed"}
    # The tests' server does not wait for its disk.
    assert failed - {"postgres.fsync", "postgres.full_page_writes"} == set()
    for check in (
        "postgres.connection", "postgres.version", "postgres.primary", "postgres.direct", "relay.retention",
        "postgres.synchronous_commit", "postgres.clock", "schema.migrated", "schema.sequence_cache", "schema.identity",
        "roles.present", "transactions.long", "transactions.prepared", "relay.shard_0", "relay.backlog",
        "mail.breakers", "mail.in_doubt", "dead_letters",
    ):  # fmt: skip
        assert marks(answer)[check] == "good", check
    assert marks(answer)["roles.current"] == "warned"
    assert marks(answer)["kafka"] == marks(answer)["mail"] == "skipped"


def test_what_is_not_as_it_should_be_is_said_with_the_fix(outbox: Operator, rows: Rows) -> None:
    rows.connection.execute("alter table outbox.event alter column id set cache 10")
    rows.connection.execute("update outbox.meta set sysid = 1")
    rows.connection.execute("update outbox.shard set halted_reason = 'position of another history', halted_at = now()")
    rows.connection.execute(
        "insert into outbox.transport (name, breaker, reason, retry_at) values ('smtp', 'open', 'refused', now())"
    )
    rows.dead()
    rows.delivery("in_doubt")

    outcome = outbox("doctor")
    answer = outbox.json("doctor")

    assert outcome.code == 1
    assert answer["ok"] is False
    expected = {
        "schema.sequence_cache": ("failed", "10"),
        "schema.identity": ("failed", "cluster "),
        "relay.shard_0": ("failed", "position of another history"),
        "mail.breakers": ("failed", "smtp open: refused"),
        "mail.in_doubt": ("warned", "1 delivery"),
        "dead_letters": ("warned", "1 unresolved: 1 consume/malformed"),
    }
    for check, (mark, actual) in expected.items():
        one = found(answer, check)
        assert (one["mark"], actual in one["actual"], bool(one["fix"])) == (mark, True, True), one
        assert f"    fix: {one['fix']}" in outcome.out


def test_a_database_that_is_not_migrated_fails_and_skips_what_needs_it(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Operator(empty_database, capsys).json("doctor")

    assert found(answer, "schema.migrated")["fix"] == "run `outbox migrate up`"
    assert marks(answer)["state"] == "skipped"


def test_servers_that_are_not_there_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = "postgresql://ada:s3cret@127.0.0.1:1/shop"

    outcome = Operator(nowhere, capsys, NO_KAFKA)("doctor")

    assert outcome.code == 1
    assert (
        "✗ postgres.connection: expected PostgreSQL at 127.0.0.1:1 database 'shop' as user 'ada', got cannot connect"
        in outcome.out
    )
    assert "✗ kafka.connection: expected a broker at 127.0.0.1:1, got cannot reach Kafka" in outcome.out
    assert "s3cret" not in outcome.out + outcome.err


def test_a_login_with_one_role_is_told_what_it_has(logins: Logins, capsys: pytest.CaptureFixture[str]) -> None:
    answer = Operator(logins.of("outbox_operator"), capsys).json("doctor")

    assert found(answer, "roles.current")["mark"] == "good"
    assert found(answer, "roles.current")["actual"].endswith(": outbox_operator")


def test_wrong_settings_of_the_processes_are_found(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = NO_KAFKA | {"OUTBOX_RELAY_PAGE_ROWS": "0", "OUTBOX_MAIL_DSN": "smtp://host", "OUTBOX_MAIL_FROM": "nobody"}

    answer = Operator(database, capsys, env).json("doctor")

    assert "OUTBOX_RELAY_PAGE_ROWS" in found(answer, "settings.relay")["actual"]
    assert "OUTBOX_MAIL_FROM" in found(answer, "settings.mailer")["actual"]


def test_a_forgotten_prepared_transaction_is_named(
    outbox: Operator, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rows.one("show max_prepared_transactions") == "0":
        pytest.skip("this server has no two-phase commit")
    monkeypatch.setattr("console.checks.state.PREPARED_FAILED", -1.0)
    rows.connection.execute("begin; select pg_current_xact_id(); prepare transaction 'forgotten'")
    try:
        one = found(outbox.json("doctor"), "transactions.prepared")
    finally:
        rows.connection.execute("rollback prepared 'forgotten'")

    assert (one["mark"], "'forgotten'" in one["actual"]) == ("failed", True)


def test_mail_and_kafka_are_asked_where_they_are_configured(
    database: str, kafka: providers.Kafka, smtp_sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {
        "OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "OUTBOX_MAIL_DSN": f"failover({smtp_sink.dsn} smtp://127.0.0.1:1)",
        "OUTBOX_MAIL_FROM": "no-reply@example.com",
    }

    answer = Operator(database, capsys, env).json("doctor")

    found_marks = marks(answer)
    for check in ("settings.relay", "settings.mailer", "kafka.connection", "kafka.version", "kafka.transaction_timeout",
                  "kafka.leaders", "kafka.in_sync", "kafka.replicas",
                  "celery.broker", "mail.templates"):  # fmt: skip
        assert found_marks[check] == "good", check
    log = found(answer, "kafka.transaction_log")
    assert (log["mark"], "one broker cannot keep a second copy" in log["fix"]) == ("warned", True)
    assert found_marks["kafka.progress_topic"] == "skipped"
    # Nobody is asked about example.com.
    assert found_marks["mail.dns"] == "skipped"
    transports = {name: mark for name, mark in found_marks.items() if name.startswith("mail.transport")}
    assert sorted(transports.values()) == ["failed", "good"]
    assert smtp_sink.messages() == []


def test_a_progress_topic_that_is_gone_fails(
    database: str, kafka: providers.Kafka, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.connection.execute("update outbox.shard set bootstrapped = true")

    answer = Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap}).json("doctor")

    one = found(answer, "kafka.progress_topic")
    assert (one["mark"], one["actual"]) == ("failed", "it is gone, and this installation has published before")


def test_quiet_shows_only_what_needs_a_look(outbox: Operator, rows: Rows) -> None:
    rows.dead()

    outcome = outbox("doctor", "--quiet")

    assert "✓" not in outcome.out
    assert "! dead_letters" in outcome.out


def test_a_transaction_that_hangs_on_a_topic_of_events_is_named_and_its_end_is_left_to_its_owner(
    database: str, kafka: providers.Kafka, aggregate_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(database, capsys, {"OUTBOX_KAFKA_BOOTSTRAP": kafka.bootstrap})
    topic = f"outbox.event.{aggregate_type}"
    for name in (topic, aggregate_type):
        TopicAdmin(kafka.bootstrap).create(name, partitions=1)
    assert found(operator.json("doctor"), "kafka.hanging_transactions")["mark"] == "good"
    with forgetful(kafka.bootstrap) as network:
        hang(network, topic, name=aggregate_type, sound=aggregate_type)

    one = found(operator.json("doctor"), "kafka.hanging_transactions")

    assert one["mark"] == "failed"
    assert (
        f"hangs on {topic}/0 from offset 0 on; its coordinator has {aggregate_type} as CompleteCommit" in one["actual"]
    )
    assert one["fix"].startswith("ask whose producer it is")
    transactions = Transactions(Wire(kafka.bootstrap, {}))
    [hanging] = transactions.open([(topic, 0)])
    transactions.mark(hanging, commit=True)
