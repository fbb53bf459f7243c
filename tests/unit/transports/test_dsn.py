"""A DSN is read or refused with the reason, and never shown whole."""

import pytest

from mailer.errors import TransportDsnError
from mailer.transports import open_transport
from mailer.transports.dsn import parse_dsn, split_combinator
from mailer.transports.smtp import SmtpTransport

SECRETS = ("hunter2", "apikey")


@pytest.mark.parametrize(
    ("dsn", "name"),
    [
        ("null:", "null"),
        ("console:", "console"),
        ("null:?name=trial", "trial"),
        ("file:///var/mail/out", "file:///var/mail/out"),
        ("smtp://mx.example.com", "smtp://mx.example.com"),
        ("smtp://mx.example.com:2525?max_connections=4", "smtp://mx.example.com:2525"),
        ("smtp://[::1]:2525", "smtp://[::1]:2525"),
        ("smtps://apikey:hunter2@mx.example.com", "smtps://mx.example.com#6c7936"),
        ("smtp://apikey:hunter2@mx.example.com?name=primary", "primary"),
    ],
)
def test_the_name_is_stable_and_shows_no_secret(dsn: str, name: str) -> None:
    assert open_transport(dsn).name == name


def test_a_changed_password_keeps_the_name_and_another_login_has_another() -> None:
    first, changed, other = (
        open_transport(f"smtp://{login}@mx.example.com").name for login in ("a:one", "a:two", "b:one")
    )

    assert first == changed != other


@pytest.mark.parametrize(
    "dsn", ["smtp://apikey:hunter2@mx.example.com:587", "failover(smtp://apikey:hunter2@a.example null:)"]
)
def test_no_secret_is_in_any_form_of_a_transport(dsn: str) -> None:
    transport = open_transport(dsn)

    for shown in (repr(transport), str(transport), transport.name, *(repr(child) for child in transport.children)):
        assert not any(secret in shown for secret in SECRETS)


def test_no_secret_is_in_any_form_of_a_dsn() -> None:
    dsn = parse_dsn("smtp://apikey:hunter2@mx.example.com:587/x?starttls=never")

    assert str(dsn) == "smtp://***:***@mx.example.com:587"
    assert not any(secret in repr(dsn) for secret in SECRETS)


def test_user_and_password_are_percent_decoded() -> None:
    dsn = parse_dsn("smtp://ada%40example.com:p%23%2F%3A@mx.example.com")

    assert (dsn.user, dsn.password) == ("ada@example.com", "p#/:")


@pytest.mark.parametrize(
    ("dsn", "problem"),
    [
        ("", "has no scheme"),
        ("mx.example.com", "has no scheme"),
        ("foo:hunter2", "no transport for the scheme"),
        ("smtp:apikey:hunter2@mx", "has no host"),
        ("smtp://apikey:hunter2@mx:port", "cannot be read as a URL"),
        ("smtp://apikey:hun#ter2@mx", "cannot be read as a URL"),
        ("smtp://apikey:hunter2@mx#x", "outside an option"),
        ("smtp://apikey:hunter2@mx/path", "has a path"),
        ("smtp://apikey:hunter2@mx?starttls=maybe", "expected starttls to be require|try|never"),
        ("smtp://apikey:hunter2@mx?starttls=try", "would show the password"),
        ("smtps://apikey:hunter2@mx?starttls=require", "encrypts from the start"),
        ("smtp://apikey:hunter2@mx?max_conections=1", "unknown option 'max_conections'"),
        ("smtp://apikey:hunter2@mx?max_connections=0", "a number from 1 to 1000"),
        ("smtp://apikey:hunter2@mx?timeout_seconds=nan", "a number from"),
        ("smtp://apikey:hunter2@mx?timeout_seconds=x", "a number from"),
        ("smtp://apikey:hunter2@mx?starttls=never&starttls=require", "an option is given twice"),
        ("smtp://apikey:hunter2@mx?ca_file=/nowhere", "ca_file cannot be read"),
        ("smtp://apikey:hunter2@mx?ehlo=a%0D%0Ab", "expected ehlo to be a host name"),
        ("smtp://apikey:hunter2@mx?name=A%20B", "expected name to be"),
        ("file://relative/path", "expected an absolute path"),
        ("file:///", "expected an absolute path"),
        ("null:?x=1", "unknown option"),
        ("failover()", "names no transport"),
        ("failover(null: (console:)", "brackets do not match"),
        ("failover(smtp://apikey:hunter2@mx?x=1 null:)", "unknown option"),
        ("fallback(null:)", "no such combinator"),
    ],
)
def test_a_wrong_dsn_is_refused_with_the_reason_and_without_the_secret(dsn: str, problem: str) -> None:
    with pytest.raises(TransportDsnError) as refused:
        open_transport(dsn)

    shown = "\n".join((str(refused.value), repr(refused.value), *getattr(refused.value, "__notes__", ())))
    assert problem in shown
    assert not any(secret in shown for secret in SECRETS)


def test_a_combinator_is_taken_apart_at_blanks_outside_inner_brackets() -> None:
    assert split_combinator("failover(null: \n failover(console: file:///a))") == (
        "failover",
        ("null:", "failover(console: file:///a)"),
    )


def test_a_plain_dsn_is_no_combinator() -> None:
    assert split_combinator("smtp://mx.example.com") is None


def test_nested_failovers_are_one_list_in_order() -> None:
    transport = open_transport("failover(null:?name=a failover(null:?name=b null:?name=c))")

    assert [child.name for child in transport.children] == ["a", "b", "c"]
    assert transport.name == "failover(a b c)"


@pytest.mark.parametrize("dsn", ["null:", "console:", "file:///a", "smtp://mx.example.com"])
def test_a_plain_transport_is_its_own_only_child(dsn: str) -> None:
    transport = open_transport(dsn)

    assert transport.children == (transport,)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.2.1", "[::1]"])
def test_a_loopback_server_is_spoken_to_in_the_clear_unless_told_otherwise(host: str) -> None:
    assert SmtpTransport(parse_dsn(f"smtp://{host}:25"))._settings.starttls == "never"
    assert SmtpTransport(parse_dsn(f"smtp://{host}:25?starttls=require"))._settings.starttls == "require"


def test_any_other_server_has_to_encrypt_unless_told_otherwise() -> None:
    assert SmtpTransport(parse_dsn("smtp://mx.example.com"))._settings.starttls == "require"


@pytest.mark.parametrize(
    ("dsn", "port"),
    [
        ("smtp://mx.example.com", 25),
        ("smtp://a:b@mx.example.com", 587),
        ("smtps://mx.example.com", 465),
        ("smtp://mx.example.com:2525", 2525),
    ],
)
def test_the_port_is_the_usual_one_unless_given(dsn: str, port: int) -> None:
    assert SmtpTransport(parse_dsn(dsn))._settings.port == port
