import pytest

from devstack import given, providers
from devstack.errors import AddressError, NotOurServerError, UnknownProviderError
from devstack.processes import free_port
from devstack.providers import Provider, choose


@pytest.mark.parametrize(
    ("environment", "wheel", "expected"),
    [
        ({}, "json", Provider.EMBEDDED),
        ({}, "no_such_wheel", Provider.CONTAINER),
        ({"ADDRESS": "here"}, "json", Provider.GIVEN),
        ({"ADDRESS": "", "OUTBOX_PROVIDER": ""}, "json", Provider.EMBEDDED),
        ({"ADDRESS": "here", "OUTBOX_PROVIDER": "embedded"}, "json", Provider.EMBEDDED),
        ({"ADDRESS": "here", "OUTBOX_PROVIDER": "container"}, "json", Provider.CONTAINER),
        ({"ADDRESS": "here", "OUTBOX_PROVIDER": "given"}, "json", Provider.GIVEN),
    ],
)
def test_an_address_comes_first_then_what_is_embedded_then_containers(
    environment: dict[str, str], wheel: str, expected: Provider
) -> None:
    assert choose(environment, address="ADDRESS", wheel=wheel) is expected


def test_an_unknown_provider_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnknownProviderError) as refused:
        choose({"OUTBOX_PROVIDER": "vagrant"}, address="ADDRESS", wheel="json")

    assert str(refused.value) == ("expected OUTBOX_PROVIDER to be one of given, embedded, container, got 'vagrant'")


def test_given_without_an_address_is_refused() -> None:
    with pytest.raises(AddressError, match="OUTBOX_KAFKA_BOOTSTRAP is not set, and OUTBOX_PROVIDER=given asks for it"):
        choose({"OUTBOX_PROVIDER": "given"}, address="OUTBOX_KAFKA_BOOTSTRAP", wheel="json")


def test_a_given_address_of_another_kind_is_refused() -> None:
    with pytest.raises(AddressError, match="OUTBOX_DATABASE_URL is not of the form postgresql://"):
        given.GivenPostgres("mysql://localhost/app")


def test_a_given_database_that_does_not_answer_is_refused_without_its_password() -> None:
    with pytest.raises(AddressError, match=r"OUTBOX_DATABASE_URL cannot be used: .*refused") as refused:
        given.GivenPostgres(f"postgresql://postgres:open-sesame@127.0.0.1:{free_port()}/app")

    assert "open-sesame" not in str(refused.value)


def test_a_given_broker_that_does_not_answer_is_refused() -> None:
    port = free_port()

    with pytest.raises(AddressError) as refused:
        given.GivenKafka(f"127.0.0.1:{port}", timeout_seconds=1)

    assert str(refused.value) == (
        f"OUTBOX_KAFKA_BOOTSTRAP cannot be used: no broker answered at 127.0.0.1:{port} within 1 s"
    )


def test_a_given_database_is_used_and_neither_stopped_nor_crashed(postgres: providers.Postgres) -> None:
    server = given.GivenPostgres(postgres.dsn)

    server.start()
    server.close()

    assert server.dsn == postgres.dsn
    for operation in (server.stop, server.crash):
        with pytest.raises(NotOurServerError, match="its address was given, so it is not ours"):
            operation()
