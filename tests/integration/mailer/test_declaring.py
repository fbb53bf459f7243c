"""Workers that are the first of an installation, at the same moment, find the queue of permits and live."""

from concurrent.futures import ThreadPoolExecutor

import psycopg

from mailer.broker import QUEUE, declare_queue, make_app
from mailer.settings import MailerSettings
from tests.support.waiting import wait_until

SETTINGS = {
    "OUTBOX_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "OUTBOX_MAIL_DSN": "null:",
    "OUTBOX_MAIL_FROM": "no-reply@example.com",
}
# What another worker has done when it is half way through `pgmq.enable_notify_insert`, and what it does then.
HALF_WAY = "insert into pgmq.notify_insert_throttle (queue_name, throttle_interval_ms) values (%s, 0)"
REST = (
    f"create constraint trigger trigger_notify_queue_insert_listeners after insert on pgmq.q_{QUEUE}"
    " deferrable for each row execute procedure pgmq.notify_queue_listeners()"
)
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


def test_a_queue_that_another_worker_makes_at_the_same_moment_is_found(database: str) -> None:
    app = make_app(MailerSettings.load({**SETTINGS, "OUTBOX_DATABASE_URL": database}))
    with psycopg.connect(database) as other, ThreadPoolExecutor(1) as pool:
        other.execute("select pgmq.create(%s)", (QUEUE,))
        other.commit()
        other.execute(HALF_WAY, (QUEUE,))

        declaring = pool.submit(declare_queue, app)
        with psycopg.connect(database, autocommit=True) as looking:
            wait_until(
                lambda: looking.execute(WAITING).fetchone() == (1,), timeout_seconds=60, what="it to wait for the other"
            )
        other.execute(REST.encode())
        other.commit()

        declaring.result(60)
        triggers = other.execute(
            "select count(*) from pg_trigger where tgrelid = %s::regclass and not tgisinternal", (f"pgmq.q_{QUEUE}",)
        ).fetchone()
    assert triggers == (1,)
