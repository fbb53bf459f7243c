import pickle

import pytest

from runtime import errors
from runtime.connecting import database_unavailable, kafka_unavailable
from runtime.dsn import SecretDsn

EVERY = [
    errors.SettingsError(("a",)),
    errors.DatabaseUnavailableError("PostgreSQL at db:5432", "no answer"),
    errors.KafkaUnavailableError("kafka:9092", "no answer"),
    errors.EndpointError("127.0.0.1", 9100, "Address already in use"),
]
DSN = SecretDsn("postgresql://ada:hush@db:5432/shop")


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_an_error_pickles_with_its_facts_and_its_fix(error: errors.ProcessError) -> None:
    error.add_note("the fix")

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(again) == str(error)
    assert again.__notes__ == ["the fix"]


def test_every_error_class_is_tried() -> None:
    classes = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ProcessError)}

    assert classes - {errors.ProcessError} == {type(error) for error in EVERY}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ('FATAL:  password authentication failed for user "ada"', "the password was not accepted"),
        ('FATAL:  database "shop" does not exist', "that database does not exist"),
        ('FATAL:  role "ada" does not exist', "that user cannot log in"),
        ("Connection refused\n\tIs the server running?", "nothing listens there"),
        ("connection timeout expired", "no answer"),
        ('could not translate host name "db" to address: Name or service not known', "the host name is unknown"),
        (
            "FATAL:  sorry, too many clients already, remaining connection slots are reserved",
            "the server has no connection left",
        ),
        (
            'server "a" failed: session is read-only\nserver "b" failed: Connection refused',
            'server "a" failed: session is read-only',
        ),
        ("something new about hush", "something new about ***"),
    ],
)
def test_what_postgres_says_becomes_a_cause_and_a_fix(said: str, problem: str) -> None:
    error = database_unavailable(DSN, RuntimeError(said))

    assert str(error) == f"cannot connect to PostgreSQL at db:5432 database 'shop' as user 'ada': {problem}"
    assert len(error.__notes__) == 1


@pytest.mark.parametrize(
    ("heard", "problem"),
    [
        (["_TRANSPORT Connect to ipv4#127.0.0.1:1 failed: Connection refused"], "nothing listens there"),
        (["_RESOLVE Failed to resolve 'kafka:9092'", "_TRANSPORT gone"], "the host name is unknown"),
        (["_AUTHENTICATION SASL authentication error"], "the broker refused the credentials"),
        (["_TRANSPORT who knows"], "_TRANSPORT who knows"),
        ([], "no answer"),
    ],
)
def test_what_librdkafka_says_becomes_a_cause_and_a_fix(heard: list[str], problem: str) -> None:
    error = kafka_unavailable("kafka:9092", heard)

    assert str(error) == f"cannot reach Kafka at kafka:9092: {problem}"
    assert len(error.__notes__) == 1
