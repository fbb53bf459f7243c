import pytest

from runtime.secrets import Options, SecretUrl, mask


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:hush@db/shop", "postgresql://ada:***@db/shop"),
        ("postgresql://ada@db/shop", "postgresql://ada@db/shop"),
        ("could not connect to amqp://ada:hu@sh@mq// again", "could not connect to amqp://ada:***@mq// again"),
        ("failover(smtp://a:hush@one smtp://b:hush@two)", "failover(smtp://a:***@one smtp://b:***@two)"),
        (
            "postgresql://db/shop?user=ada&password=hush&sslmode=require",
            "postgresql://db/shop?user=ada&password=***&sslmode=require",
        ),
        ("host=db password=hush", "host=db password=***"),
        ("no secret here, mail to ada@example.com", "no secret here, mail to ada@example.com"),
    ],
)
def test_passwords_of_urls_are_masked_wherever_they_stand(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_a_user_can_be_a_key_and_is_masked_too() -> None:
    assert str(SecretUrl("resend://re_hush@default")) == "resend://***@default"
    assert "hush" not in repr(SecretUrl("smtp://hush@host"))


def test_options_show_which_secrets_are_set_and_not_what_they_are() -> None:
    options = Options({"sasl.password": "hush", "ssl.key.pem": "hush", "sasl.jaas.config": "hush", "linger.ms": "5"})

    assert str(options) == "{'sasl.password': '***', 'ssl.key.pem': '***', 'sasl.jaas.config': '***', 'linger.ms': '5'}"
    assert options["sasl.password"] == "hush"
