import socket
from urllib.parse import urlsplit

import pytest

from runtime.connecting import check_kafka, connect
from runtime.errors import DatabaseUnavailableError, KafkaUnavailableError, SettingsError


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def replaced(dsn: str, **parts: str) -> str:
    url = urlsplit(dsn)
    user, password = parts.get("user", url.username), parts.get("password", url.password or "")
    return f"postgresql://{user}:{password}@{url.hostname}:{url.port}/{parts.get('database', url.path[1:])}"


def test_a_connection_bears_its_name(database: str) -> None:
    with connect(database, application_name="outbox test", autocommit=True) as connection:
        row = connection.execute("show application_name").fetchone()

    assert row == ("outbox test",)


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"password": "s3cret"}, "the password was not accepted"),
        ({"database": "nowhere"}, "that database does not exist"),
        ({"user": "nobody", "password": "s3cret"}, "the password was not accepted"),
    ],
)
def test_a_refused_connection_says_why_and_never_the_password(
    database: str, parts: dict[str, str], problem: str
) -> None:
    with pytest.raises(DatabaseUnavailableError) as refused:
        connect(replaced(database, **parts), application_name="outbox test")

    assert str(refused.value).endswith(problem)
    assert "s3cret" not in f"{refused.value!r} {refused.value.__notes__}"
    assert refused.value.__cause__ is None


def test_a_server_that_is_not_there_is_named() -> None:
    port = unused_port()

    with pytest.raises(DatabaseUnavailableError) as refused:
        connect(f"postgresql://ada:s3cret@127.0.0.1:{port}/shop", application_name="outbox test")

    assert str(refused.value) == (
        f"cannot connect to PostgreSQL at 127.0.0.1:{port} database 'shop' as user 'ada': nothing listens there"
    )


def test_a_broker_that_is_not_there_is_named() -> None:
    bootstrap = f"127.0.0.1:{unused_port()}"

    with pytest.raises(KafkaUnavailableError, match=f"cannot reach Kafka at {bootstrap}: nothing listens there"):
        check_kafka(bootstrap, {}, timeout_seconds=1)


def test_an_option_that_librdkafka_does_not_know_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r'OUTBOX_KAFKA_OPTIONS: No such configuration property: "no\.such"'):
        check_kafka("127.0.0.1:1", {"no.such": "x"})
