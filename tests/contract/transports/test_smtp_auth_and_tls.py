"""Passwords go to a server that proved who it is, and nobody else reads the mail."""

import base64
import ssl
from pathlib import Path

import pytest

from mailer.reply import Phase, Reply
from mailer.transports import open_transport
from mailer.transports.conformance import message
from tests.support.scripted_smtp import Answer, Drop, Raw, ScriptedServer

TLS = Path(__file__).parents[2] / "support" / "tls"
CERTIFICATE = TLS / "certificate.pem"
PLAIN = "250-scripted\r\n250 AUTH PLAIN LOGIN"
LOGIN: dict[str, Answer | list[Answer]] = {
    "EHLO": "250-scripted\r\n250 AUTH LOGIN",
    "AUTH": "334 VXNlcm5hbWU6",
    "LINE": "334 UGFzc3dvcmQ6",
    "DONE": "235 2.7.0 ok",
}
STARTTLS: dict[str, Answer | list[Answer]] = {"EHLO": ["250-scripted\r\n250 STARTTLS", PLAIN]}


def context() -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(CERTIFICATE, TLS / "key.pem")
    return made


def send(server: ScriptedServer, options: str = "", *, scheme: str = "smtp", login: str = "") -> Reply:
    transport = open_transport(
        f"{scheme}://{login}localhost:{server.port}?{options}&timeout_seconds=2".replace("?&", "?")
    )
    reply = transport.send(message())
    transport.close()
    return reply


def test_plain_is_preferred() -> None:
    with ScriptedServer({"EHLO": PLAIN}) as server:
        reply = send(server, login="ada%40example.com:p%C3%A4ss@")

    assert reply.accepted
    sent = next(line for line in server.lines() if line.startswith("AUTH PLAIN "))
    assert base64.b64decode(sent.removeprefix("AUTH PLAIN ")).decode() == "\0ada@example.com\0päss"


def test_login_is_used_where_plain_is_not_offered() -> None:
    with ScriptedServer(LOGIN) as server:
        reply = send(server, login="ada:hunter2@")

    assert reply.accepted
    assert [base64.b64decode(line).decode() for line in server.lines()[2:4]] == ["ada", "hunter2"]


def test_a_wrong_password_is_told_with_its_code() -> None:
    with ScriptedServer({"EHLO": PLAIN, "AUTH": "535 5.7.8 authentication failed"}) as server:
        reply = send(server, login="ada:hunter2@")

    assert (reply.phase, reply.code, reply.enhanced, reply.answered) == (Phase.AUTH, 535, "5.7.8", True)
    assert "hunter2" not in repr(reply)


def test_a_server_that_offers_no_way_to_sign_in_is_told_as_such() -> None:
    with ScriptedServer({"EHLO": "250-scripted\r\n250 AUTH GSSAPI"}) as server:
        reply = send(server, login="ada:hunter2@")

    assert (reply.phase, reply.code, reply.enhanced, reply.answered) == (Phase.AUTH, 504, "5.5.4", True)
    assert "neither AUTH PLAIN nor AUTH LOGIN" in reply.text


def test_starttls_encrypts_before_anything_is_said() -> None:
    with ScriptedServer(STARTTLS, tls=context()) as server:
        reply = send(server, f"starttls=require&ca_file={CERTIFICATE}", login="ada:hunter2@")

    assert reply.accepted
    assert server.commands() == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]


def test_a_server_without_starttls_gets_nothing_when_it_is_required() -> None:
    with ScriptedServer() as server:
        reply = send(server, "starttls=require")

    assert (reply.phase, reply.code, reply.accepted) == (Phase.TLS, None, False)
    assert "offers no STARTTLS" in reply.text
    assert server.commands() == ["EHLO"]


def test_a_certificate_that_nobody_vouches_for_gets_nothing() -> None:
    with ScriptedServer(STARTTLS, tls=context()) as server:
        reply = send(server, "starttls=require", login="ada:hunter2@")

    assert (reply.phase, reply.answered) == (Phase.TLS, False)
    assert "certificate does not verify" in reply.text
    assert server.commands() == ["EHLO", "STARTTLS"]


def test_a_certificate_for_another_host_gets_nothing() -> None:
    with ScriptedServer(STARTTLS, tls=context()) as server:
        dsn = f"smtp://127.0.0.1:{server.port}?starttls=require&ca_file={CERTIFICATE}"
        reply = open_transport(dsn).send(message())

    assert reply.phase is Phase.TLS
    assert "certificate does not verify" in reply.text


@pytest.mark.parametrize("answer", ["454 4.7.0 not now", Drop(), Raw(b"garbage\r\n")])
def test_a_failed_starttls_is_of_the_transport(answer: Answer) -> None:
    with ScriptedServer({**STARTTLS, "STARTTLS": answer}) as server:
        reply = send(server, "starttls=require")

    assert (reply.phase, reply.accepted) == (Phase.TLS, False)
    assert "MAIL" not in server.commands()


def test_what_was_said_in_the_clear_is_forgotten_once_encrypted() -> None:
    # An attacker in between appends replies of his own to the last one in the clear.
    injected = Raw(b"220 go on\r\n250-evil\r\n250 AUTH LOGIN\r\n")
    with ScriptedServer({**STARTTLS, "STARTTLS": injected}, tls=context()) as server:
        reply = send(server, f"starttls=require&ca_file={CERTIFICATE}", login="ada:hunter2@")

    assert reply.accepted
    assert [line.partition(" ")[2][:5] for line in server.lines() if line.startswith("AUTH")] == ["PLAIN"]


def test_try_encrypts_where_it_is_offered_without_asking_who_it_is() -> None:
    with ScriptedServer(STARTTLS, tls=context()) as server:
        reply = send(server, "starttls=try")

    assert reply.accepted
    assert "STARTTLS" in server.commands()


def test_try_goes_on_in_the_clear_where_it_is_not_offered() -> None:
    with ScriptedServer() as server:
        assert send(server, "starttls=try").accepted


def test_smtps_encrypts_from_the_start() -> None:
    with ScriptedServer({"EHLO": PLAIN}, tls=context(), tls_at_once=True) as server:
        reply = send(server, f"ca_file={CERTIFICATE}", scheme="smtps", login="ada:hunter2@")

    assert reply.accepted
    assert server.commands() == ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]


def test_smtps_to_a_server_that_does_not_encrypt_is_an_outage() -> None:
    with ScriptedServer() as server:
        reply = send(server, scheme="smtps")

    assert (reply.phase, reply.answered) == (Phase.TLS, False)
    assert "TLS failed" in reply.text
