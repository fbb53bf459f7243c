import pytest

from runtime.dsn import SecretDsn


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://ada:p%40ss@db:5433/shop", "PostgreSQL at db:5433 database 'shop' as user 'ada'"),
        ("postgresql://a%20b@db/sh%6Fp", "PostgreSQL at db:5432 database 'shop' as user 'a b'"),
        ("postgresql://db", "PostgreSQL at db:5432"),
        ("postgresql:///shop?host=/run/postgresql", "PostgreSQL at the local socket database 'shop'"),
        (
            "postgresql://ada@one:1,two:2/shop?target_session_attrs=read-write",
            "PostgreSQL at one:1,two:2 database 'shop' as user 'ada'",
        ),
        ("postgresql://ada@[::1]:5433/shop", "PostgreSQL at [::1]:5433 database 'shop' as user 'ada'"),
        ("postgresql://ada@[::1]/shop", "PostgreSQL at [::1]:5432 database 'shop' as user 'ada'"),
    ],
)
def test_an_address_is_shown_without_its_password(dsn: str, shown: str) -> None:
    assert str(SecretDsn.parse(dsn).address()) == shown


@pytest.mark.parametrize(
    ("dsn", "problem"),
    [
        ("", "expected an address"),
        ("host=db password=hush", "no scheme"),
        ("postgres://u:hush@db/shop", "write postgresql://, without the name of a driver"),
        ("postgresql+psycopg://u:hush@db/shop", "write postgresql://, without the name of a driver"),
        ("https://u:hush@db/shop", "got https://"),
        ("postgresql://u:hu@sh@db/shop", "expected one @"),
        ("postgresql://u:hu/sh@db/shop", "expected one @"),
        ("postgresql://u:hu%sh@db/shop", "percent-encode"),
        ("postgresql://u:hush@db:port/shop", "expected the port to be a number"),
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(dsn: str, problem: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        SecretDsn.parse(dsn)

    assert problem in str(refused.value)
    assert "hu" not in str(refused.value).replace("host", "")


def test_two_addresses_are_equal_when_their_secrets_are() -> None:
    assert SecretDsn("postgresql://u:a@db") == SecretDsn("postgresql://u:a@db")
    assert SecretDsn("postgresql://u:a@db") != SecretDsn("postgresql://u:b@db")
    assert len({SecretDsn("postgresql://u:a@db"), SecretDsn("postgresql://u:a@db")}) == 1
