"""How far an attempt came is known, whatever the server does and whenever: that tells a retry from a doubt."""

import time

import pytest

from mailer.classify import judge_reply
from mailer.meanings import Breaker, Kind
from mailer.reply import Phase, Reply
from mailer.transports import open_transport
from mailer.transports.conformance import message
from tests.support.scripted_smtp import Answer, Drop, Hang, Raw, ScriptedServer, Slow

REFUSALS = {
    "CONNECT": Phase.CONNECT,
    "EHLO": Phase.EHLO,
    "MAIL": Phase.MAIL,
    "RCPT": Phase.RCPT,
    "DATA": Phase.DATA,
    "DOT": Phase.DOT,
}
QUICK = "connect_timeout_seconds=0.3&timeout_seconds=0.3&dot_timeout_seconds=0.3"


def reply_to(script: dict[str, Answer | list[Answer]], *, options: str = "") -> Reply:
    with ScriptedServer(script) as server:
        transport = open_transport(f"smtp://127.0.0.1:{server.port}?{options or 'timeout_seconds=5'}")
        reply = transport.send(message())
        transport.close()
        return reply


@pytest.mark.parametrize("step", REFUSALS)
@pytest.mark.parametrize("code", [451, 554])
def test_a_refusal_comes_with_its_phase_code_and_text(step: str, code: int) -> None:
    reply = reply_to({step: f"{code} {code // 100}.7.1 not now"})

    assert (reply.phase, reply.code, reply.enhanced, reply.text) == (
        REFUSALS[step],
        code,
        f"{code // 100}.7.1",
        "not now",
    )
    assert (reply.accepted, reply.answered) == (False, True)


@pytest.mark.parametrize("step", REFUSALS)
def test_a_drop_is_no_answer_and_in_doubt_only_after_the_dot(step: str) -> None:
    reply = reply_to({step: Drop()})

    assert (reply.phase, reply.accepted, reply.answered) == (REFUSALS[step], False, False)
    assert reply.code is None
    assert reply.text in ("the server closed the connection", "connection reset by peer")


@pytest.mark.parametrize("step", REFUSALS)
def test_silence_is_no_answer(step: str) -> None:
    reply = reply_to({step: Hang()}, options=QUICK)

    assert (reply.phase, reply.accepted, reply.answered, reply.text) == (
        REFUSALS[step],
        False,
        False,
        "no reply in time",
    )


@pytest.mark.parametrize("step", ["EHLO", "RCPT", "DOT"])
def test_a_server_that_drips_does_not_hold_a_worker(step: str) -> None:
    begun = time.monotonic()

    reply = reply_to({step: Hang(drip=b"2")}, options=QUICK)

    assert (reply.phase, reply.answered) == (REFUSALS[step], False)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("step", REFUSALS)
@pytest.mark.parametrize(
    "garbage",
    [b"hello\r\n", b"\x00\xff\xfe\r\n", b"2500 ok\r\n", b"150 hm\r\n", b"250-a\r\n451 b\r\n", b"\r\n", b"-" * 100_000],
)
def test_garbage_is_no_answer(step: str, garbage: bytes) -> None:
    reply = reply_to({step: Raw(garbage)}, options=QUICK)

    assert (reply.phase, reply.accepted, reply.answered) == (REFUSALS[step], False, False)


def test_half_a_reply_to_the_dot_leaves_the_message_in_doubt() -> None:
    reply = reply_to({"DOT": Drop(after=b"250-2.0.0 queued\r\n")})

    assert (reply.phase, reply.answered) == (Phase.DOT, False)


def test_a_reply_to_the_dot_that_is_neither_yes_nor_no_leaves_the_message_in_doubt() -> None:
    reply = reply_to({"DOT": "354 go on"})

    assert (reply.phase, reply.accepted, reply.answered) == (Phase.DOT, False, False)


def test_a_drop_before_the_dot_is_not_in_doubt() -> None:
    with ScriptedServer({"DATA": Drop(after=b"354 go on\r\n")}) as server:
        transport = open_transport(server.dsn)
        big = message()
        reply = transport.send(type(big)(big.sender, big.recipient, b"x" * 20_000_000, big.message_id))
        transport.close()

    assert (reply.phase, reply.accepted, reply.answered) == (Phase.DATA, False, False)
    assert server.messages == []


@pytest.mark.parametrize(
    ("early", "phase", "code", "text"),
    [
        (b"250 ok\r\n", Phase.DATA, None, "the server spoke out of turn"),
        (b"552 5.3.4 too big\r\n", Phase.DOT, 552, "too big"),
    ],
)
def test_only_a_no_may_come_before_the_dot(early: bytes, phase: Phase, code: int | None, text: str) -> None:
    # The first piece of a slow answer is the 354; the rest is there before so big a message is read.
    with ScriptedServer({"DATA": Slow(b"354 go\r\n" + early, pause_seconds=0.1), "DOT": Drop()}) as server:
        transport = open_transport(f"smtp://127.0.0.1:{server.port}")
        one = message()
        reply = transport.send(type(one)(one.sender, one.recipient, b"x" * 12_000_000, one.message_id))
        transport.close()

    assert (reply.phase, reply.code, reply.text, reply.accepted) == (phase, code, text, False)


def test_a_reply_of_many_lines_is_read_whole() -> None:
    reply = reply_to({"RCPT": "550-5.1.1 no such\r\n550-5.1.1 mailbox\r\n550 5.1.1 here"})

    assert (reply.code, reply.enhanced, reply.text) == (550, "5.1.1", "no such mailbox here")


def test_a_reply_shows_no_address() -> None:
    reply = reply_to({"RCPT": "550 5.1.1 <ada.conformance@example.com>: user ada.conformance unknown"})

    assert reply.text == "<address>: user <address> unknown"


def test_a_server_that_is_not_there_is_an_outage() -> None:
    with ScriptedServer() as server:
        port = server.port

    reply = open_transport(f"smtp://127.0.0.1:{port}").send(message())

    assert (reply.phase, reply.code, reply.answered, reply.text) == (Phase.CONNECT, None, False, "connection refused")


def test_a_name_that_does_not_resolve_is_an_outage() -> None:
    reply = open_transport("smtp://mx.invalid?starttls=never").send(message())

    assert (reply.phase, reply.answered) == (Phase.CONNECT, False)
    assert "does not resolve" in reply.text


def test_an_attempt_as_a_whole_has_an_end() -> None:
    reply = reply_to({"RCPT": Hang()}, options="attempt_timeout_seconds=0.4&timeout_seconds=60")

    assert (reply.phase, reply.answered) == (Phase.RCPT, False)


def test_a_server_that_knows_helo_only_is_spoken_to() -> None:
    assert reply_to({"EHLO": "502 5.5.1 what"}).accepted


def test_the_message_arrives_as_it_was_with_leading_dots() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        one = message()
        transport.send(type(one)(one.sender, one.recipient, b"A: b\r\n\r\n.\r\n..\r\nx\ny\rz", one.message_id))
        transport.close()

    assert server.messages == [b"A: b\r\n\r\n..\r\n...\r\nx\r\ny\r\nz\r\n"]


def test_a_message_cannot_smuggle_another() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        one = message()
        smuggled = b"A: b\r\n\r\nx\n.\nMAIL FROM:<eve@example.com>\r.\r\nRCPT TO:<bob@example.com>\r\n.\r\nDATA"
        transport.send(type(one)(one.sender, one.recipient, smuggled, one.message_id))
        transport.close()

    assert len(server.messages) == 1
    assert server.commands() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@example.com>\r\nRCPT TO:<eve@example.com",
        "ada@example.com> <eve",
        "a b@example.com",
        "<ada@example.com>",
        "",
    ],
)
def test_an_address_that_no_envelope_can_hold_is_refused_here(recipient: str) -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        reply = transport.send(message(recipient=recipient))
        transport.close()

    assert (reply.phase, reply.code, reply.enhanced, reply.answered) == (Phase.RCPT, 553, "5.1.3", True)
    assert server.commands() == ["EHLO", "QUIT"]


def test_the_size_is_said_where_the_server_asks_for_it() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        transport.send(message())
        transport.close()

    assert server.lines()[1] == f"MAIL FROM:<no-reply@example.com> SIZE={len(server.messages[0])}"


def test_an_international_domain_goes_out_in_ascii() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        reply = transport.send(message(recipient="ada@straße.de"))
        transport.close()

    assert reply.accepted
    assert "RCPT TO:<ada@xn--strae-oqa.de>" in server.lines()


def test_an_international_local_part_goes_to_a_server_that_takes_it() -> None:
    with ScriptedServer({"EHLO": "250-scripted\r\n250-8BITMIME\r\n250 SMTPUTF8"}) as server:
        transport = open_transport(server.dsn)
        reply = transport.send(message(recipient="ö@example.com"))
        transport.close()

    assert reply.accepted
    assert server.lines()[1:3] == [
        "MAIL FROM:<no-reply@example.com> SMTPUTF8 BODY=8BITMIME",
        "RCPT TO:<ö@example.com>",
    ]


def test_an_international_local_part_is_refused_where_the_server_does_not_take_it() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        reply = transport.send(message(recipient="ö@example.com"))
        transport.close()

    assert (reply.phase, reply.code, reply.enhanced, reply.answered) == (Phase.RCPT, 553, "5.6.7", True)


def test_eight_bits_need_a_server_that_takes_them() -> None:
    with ScriptedServer({"EHLO": "250 scripted"}) as server:
        transport = open_transport(server.dsn)
        one = message()
        reply = transport.send(type(one)(one.sender, one.recipient, "ü".encode(), one.message_id))
        transport.close()

    assert (reply.phase, reply.code, reply.enhanced, reply.answered) == (Phase.DATA, 554, "5.6.3", True)


def test_a_session_goes_on_after_a_message_that_was_refused_here() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        first, second = transport.send(message(recipient="ö@example.com")), transport.send(message())
        transport.close()

    assert (first.accepted, second.accepted) == (False, True)
    assert server.commands() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize(
    ("recipient", "content", "reason"),
    [
        ("a b@example.com", b"x", "recipient_refused"),
        ("ö@example.com", b"x", "message_refused"),
        ("ada@example.com", "ü".encode(), "message_refused"),
    ],
)
def test_what_is_refused_here_does_not_count_against_the_server(recipient: str, content: bytes, reason: str) -> None:
    with ScriptedServer({"EHLO": "250 scripted"}) as server:
        transport = open_transport(server.dsn)
        one = message()
        reply = transport.send(type(one)(one.sender, recipient, content, one.message_id))
        transport.close()

    meaning = judge_reply(reply).meaning
    assert (meaning.reason, meaning.kind, meaning.breaker) == (reason, Kind.PERMANENT, Breaker.UNTOUCHED)


PIPELINING = "250-scripted\r\n250 PIPELINING"


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("answer", ["451 4.7.1 later", "554 5.7.1 no", Drop(), Raw(b"garbage\r\n"), Hang()])
def test_phases_are_the_same_when_commands_are_sent_at_once(step: str, answer: Answer) -> None:
    one_by_one = reply_to({step: answer}, options=QUICK)
    at_once = reply_to({step: answer, "EHLO": PIPELINING}, options=QUICK)

    assert (at_once.phase, at_once.code, at_once.enhanced, at_once.answered) == (
        one_by_one.phase,
        one_by_one.code,
        one_by_one.enhanced,
        one_by_one.answered,
    )


@pytest.mark.parametrize("then", ["503 5.5.1 no recipients", "354 go on"])
def test_a_refused_recipient_does_not_cost_the_session_when_commands_are_sent_at_once(then: str) -> None:
    script: dict[str, Answer | list[Answer]] = {
        "EHLO": PIPELINING,
        "RCPT": ["550 5.1.1 no", "250 ok"],
        "DATA": [then, "354 go on"],
        "DOT": ["554 5.5.1 no recipients", "250 ok"] if then.startswith("354") else "250 ok",
    }
    with ScriptedServer(script) as server:
        transport = open_transport(server.dsn)
        first, second = transport.send(message(1)), transport.send(message(2))
        transport.close()

    assert (first.phase, first.code, first.enhanced) == (Phase.RCPT, 550, "5.1.1")
    assert second.accepted
    assert server.connections == 1
    assert [content for content in server.messages if content != b"\r\n"] == [
        message(2).content.replace(b"\r\n.", b"\r\n..")
    ]


def test_a_connection_that_closes_after_a_refusal_leaves_the_refusal() -> None:
    reply = reply_to({"EHLO": PIPELINING, "MAIL": Drop(after=b"421 4.3.2 closing\r\n")})

    assert (reply.phase, reply.code, reply.answered) == (Phase.MAIL, 421, True)


@pytest.mark.parametrize("step", ["MAIL", "DATA"])
def test_a_reply_that_nobody_asked_for_is_not_taken_for_the_next_one(step: str) -> None:
    script = {"RCPT": Raw(b"250 ok\r\n250 ok\r\n")} if step == "DATA" else {"EHLO": Raw(b"250 scripted\r\n250 ok\r\n")}

    reply = reply_to(dict(script), options=QUICK)

    assert (reply.accepted, reply.answered, reply.text) == (False, False, "the server spoke out of turn")
    assert reply.phase == step.lower()


def test_an_acceptance_before_the_dot_is_no_acceptance() -> None:
    reply = reply_to({"DATA": Raw(b"354 go on\r\n250 2.0.0 queued\r\n")}, options=QUICK)

    assert (reply.phase, reply.accepted, reply.answered) == (Phase.DATA, False, False)
