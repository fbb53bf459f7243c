import pytest
from pgmq.base import PGMQConfig
from psycopg.conninfo import conninfo_to_dict

from mailer.broker import make_app
from mailer.settings import MailerSettings
from runtime.errors import SettingsError

PLAIN = {
    "OUTBOX_DATABASE_URL": "postgresql://app:secret@127.0.0.1:5432/outbox",
    "OUTBOX_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "OUTBOX_MAIL_DSN": "null:",
    "OUTBOX_MAIL_FROM": "Users <no-reply@example.com>",
}


def settings(**more: str) -> MailerSettings:
    return MailerSettings.load({**PLAIN, **more})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqla+postgresql://x", "it lost 3 of 200 tasks when a worker was killed"),
        ("sqlalchemy+postgresql://x", "it lost 3 of 200 tasks when a worker was killed"),
        ("filesystem://", "it lost 3 of 200 tasks when a worker was killed"),
        ("kafka://localhost", "acknowledges tasks that are not finished"),
        ("confluentkafka://localhost", "acknowledges tasks that are not finished"),
        ("memory://", "it lives inside one process"),
        ("sqs://", "no test of ours covers it"),
    ],
)
def test_a_broker_that_loses_work_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        settings(OUTBOX_CELERY_BROKER_URL=url)


@pytest.mark.parametrize("url", ["pgmq://", "amqp://u:p@host//", "amqps://host", "redis://host/0", "rediss://host/0"])
def test_a_broker_that_keeps_work_is_taken(url: str) -> None:
    assert settings(OUTBOX_CELERY_BROKER_URL=url).broker == url


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_celerys_own_variable_cannot_put_another_broker_in_the_place_of_ours(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "filesystem://")

    with pytest.raises(SettingsError, match="another broker is named by CELERY_BROKER_URL"):
        make_app(settings(OUTBOX_CELERY_BROKER_URL="amqp://u:p@host//"))


def test_without_a_broker_the_database_is_the_broker() -> None:
    app = make_app(settings())

    assert app.conf.broker_url == "pgmq://127.0.0.1/outbox"
    assert app.conf.worker_enable_remote_control is False


def test_the_address_of_the_database_reaches_pgmq_unharmed() -> None:
    url = "postgresql://ad%20a:p%27a%40%5Css%20w@127.0.0.1:5433/d%20b?sslmode=prefer&connect_timeout=3"

    address = make_app(settings(OUTBOX_DATABASE_URL=url)).conf.broker_transport_options["conn_string"]

    assert conninfo_to_dict(PGMQConfig(conn_string=address).dsn) == {
        "application_name": "outbox mailer broker",
        "connect_timeout": "3",
        "dbname": "d b",
        "host": "127.0.0.1",
        "password": "p'a@\\ss w",
        "port": "5433",
        "sslmode": "prefer",
        "user": "ad a",
    }


def test_rabbitmq_gets_quorum_queues_and_confirms() -> None:
    app = make_app(settings(OUTBOX_CELERY_BROKER_URL="amqp://u:p@host//"))

    [queue] = app.conf.task_queues
    assert queue.queue_arguments["x-queue-type"] == "quorum"
    assert queue.queue_arguments["x-dead-letter-routing-key"] == "outbox_mail_dead"
    assert app.conf.broker_transport_options == {"confirm_publish": True}
    assert app.conf.worker_enable_remote_control is True


def test_tasks_are_acknowledged_late_and_end_before_their_claims_do() -> None:
    app = make_app(settings(OUTBOX_MAIL_LEASE_SECONDS="100"))

    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.task_time_limit < 100
    assert app.conf.worker_prefetch_multiplier == 1


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("OUTBOX_MAIL_FROM", "no address", "expected `address` or `Name <address>`"),
        ("OUTBOX_MAIL_DSN", "smpt://user:secret@host", "no transport for the scheme 'smpt'"),
        ("OUTBOX_MAILER_TOPICS", "outbox.event.user", "begins with"),
        ("OUTBOX_MAILER_TOPICS", "^(", "expected a regular expression"),
        ("OUTBOX_MAIL_BACKOFF_BASE_SECONDS", "90000", "not to exceed"),
        ("OUTBOX_MAIL_LEASE_SECONDS", "0", "greater than or equal to 2"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_should_be(setting: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as raised:
        settings(**{setting: value})

    assert "secret" not in str(raised.value)
