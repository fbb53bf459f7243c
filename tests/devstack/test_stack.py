import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from devstack import Stack, folders, providers
from devstack.errors import AddressError, DevstackError
from devstack.postgres import EmbeddedPostgres
from devstack.processes import free_port
from tests.support.waiting import wait_until

EMBEDDED = {"OUTBOX_PROVIDER": "embedded"}


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def processes_below(pid: int) -> list[int]:
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # also when it ends between two looks
        return False


@pytest.fixture
def server(tmp_path: Path) -> EmbeddedPostgres:
    tmp_path.chmod(0o711)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o711)  # pytest closes its folders to the user that PostgreSQL runs as
    return EmbeddedPostgres(tmp_path, durable=False)


def test_a_stack_that_is_closed_leaves_no_process_no_port_and_no_folder() -> None:
    before = processes_below(os.getpid())

    with Stack.start(durable=False, environment=EMBEDDED) as stack:
        addresses = (stack.database_url, stack.kafka_bootstrap, stack.smtp_dsn)
        ports = [int(address.rpartition(":")[2].partition("/")[0]) for address in addresses]
        started = [pid for pid in processes_below(os.getpid()) if pid not in before]
        assert len(started) >= 6  # a server and its guard, three times
        assert [listens(port) for port in ports] == [True, True, True]

    assert alive(started) == []
    assert [listens(port) for port in ports] == [False, False, False]
    assert not stack.folder.exists()


def test_a_stack_whose_process_is_killed_leaves_no_process() -> None:
    program = (
        "import threading; from devstack import Stack\n"
        "stack = Stack.start(kafka=False, durable=False, environment={'OUTBOX_PROVIDER': 'embedded'})\n"
        "print(stack.folder, flush=True); threading.Event().wait(300)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    started = processes_below(owner.pid)
    assert len(started) >= 4

    owner.kill()
    owner.communicate()

    wait_until(lambda: not alive(started), timeout_seconds=20, what="the end of every server")
    folders.remove(folders.new_run_folder())
    assert not folder.exists()


def test_ctrl_c_while_the_stack_starts_leaves_no_process() -> None:
    # A job in the background inherits that Ctrl-C is ignored.
    program = (
        "import signal; from devstack import Stack\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('starting', flush=True); Stack.start(durable=False, environment={'OUTBOX_PROVIDER': 'embedded'})"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    owner.stdout.readline()
    wait_until(lambda: len(processes_below(owner.pid)) >= 2, timeout_seconds=20, what="a server that starts")
    started = processes_below(owner.pid)

    owner.send_signal(signal.SIGINT)
    owner.communicate(timeout=60)

    assert owner.returncode != 0
    assert alive(started) == []


def test_an_error_while_the_stack_runs_says_where_the_logs_are() -> None:
    def fail() -> None:
        with Stack.start(kafka=False, smtp=False, durable=False, environment=EMBEDDED):
            raise LookupError("a defect of the demo")

    with pytest.raises(LookupError, match="a defect of the demo") as failed:
        fail()

    folder = Path(failed.value.__notes__[0].removeprefix("logs of the servers: "))
    assert [path.name for path in folder.iterdir()] == ["postgres.log"]
    folders.remove(folder)


def test_when_one_server_does_not_start_the_others_are_stopped() -> None:
    before = processes_below(os.getpid())
    nobody = f"127.0.0.1:{free_port()}"

    with pytest.raises(AddressError):
        Stack.start(kafka=False, durable=False, environment={"OUTBOX_DATABASE_URL": f"postgresql://x@{nobody}/x"})

    assert alive([pid for pid in processes_below(os.getpid()) if pid not in before]) == []


def test_a_given_database_and_an_embedded_sink_go_together(database: str) -> None:
    with Stack.start(kafka=False, environment={"OUTBOX_DATABASE_URL": database}) as stack:
        assert stack.database_url == database
        assert stack.environment() == {
            "OUTBOX_DATABASE_URL": database,
            "OUTBOX_MAIL_DSN": stack.smtp_dsn,
            "OUTBOX_MAIL_FROM": "Outbox <no-reply@example.com>",
        }


def test_postgresql_keeps_address_and_committed_rows_over_a_crash_and_a_stop(server: EmbeddedPostgres) -> None:
    with contextlib.closing(server):
        server.start()
        address = server.dsn
        with psycopg.connect(address) as connection:
            connection.execute("create table kept (id integer)")
            connection.execute("insert into kept values (1)")

        server.crash()
        assert not server.running
        server.start()
        server.stop()
        assert not server.running
        server.start()

        assert server.dsn == address
        with psycopg.connect(address) as connection:
            assert connection.execute("select id from kept").fetchall() == [(1,)]


def test_postgresql_that_somebody_killed_starts_again(server: EmbeddedPostgres) -> None:
    with contextlib.closing(server):
        server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGQUIT)
        wait_until(lambda: not server.running, timeout_seconds=20, what="the end of the server")

        server.start()

        psycopg.connect(server.dsn).close()


def test_postgresql_asks_for_its_password_and_is_set_up_as_in_production(server: EmbeddedPostgres) -> None:
    with contextlib.closing(server):
        server.start()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.dsn.replace(server.password, "guessed"))
        with psycopg.connect(server.dsn) as connection:
            names = ["wal_level", "max_connections", "max_prepared_transactions", "listen_addresses", "TimeZone"]
            settings = {name: connection.execute(f"show {name}").fetchone() for name in names}

    assert settings == {
        "wal_level": ("replica",),
        "max_connections": ("300",),
        "max_prepared_transactions": ("50",),
        "listen_addresses": ("127.0.0.1",),
        "TimeZone": ("UTC",),
    }


def test_postgresql_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(DevstackError) as failed:
        server.start()

    assert "Address already in use" in failed.value.__notes__[0]
    assert str(server.log) in failed.value.__notes__[0]


def test_kafka_keeps_address_and_acknowledged_records_over_a_crash() -> None:
    with Stack.start(postgres=False, smtp=False, environment=EMBEDDED) as stack:
        assert stack.kafka is not None
        address = stack.kafka_bootstrap
        admin = AdminClient({"bootstrap.servers": address})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(30)
        producer = Producer({"bootstrap.servers": address, "acks": "all", "log_level": 0})
        producer.produce("kept", b"one")
        assert producer.flush(30) == 0

        stack.kafka.crash()
        assert not stack.kafka.running
        stack.kafka.start()

        assert stack.kafka_bootstrap == address
        consumer = Consumer({"bootstrap.servers": address, "group.id": "reader"})
        low_and_high = consumer.get_watermark_offsets(TopicPartition("kept", 0), timeout=30)
        consumer.close()
        assert low_and_high == (0, 1)


def test_kafka_makes_no_topic_by_accident(kafka: providers.Kafka) -> None:
    bootstrap = kafka.bootstrap
    errors = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 3000, "log_level": 0})
    producer.produce("never-made", b"lost", on_delivery=lambda error, _record: errors.append(error))
    producer.flush(20)

    assert errors[0] is not None
    assert "never-made" not in AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
