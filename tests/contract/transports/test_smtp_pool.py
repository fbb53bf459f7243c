"""Sessions are shared, reused while they are good, and dropped when they are not."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailer.reply import Phase
from mailer.transports import open_transport
from mailer.transports.conformance import message
from tests.support.scripted_smtp import Answer, Drop, Hang, ScriptedServer


def test_a_session_is_used_again() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        replies = [transport.send(message(number)) for number in range(5)]
        transport.close()

    assert all(reply.accepted for reply in replies)
    assert server.connections == 1


def test_a_session_serves_a_hundred_messages_and_no_more() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        for number in range(101):
            assert transport.send(message(number)).accepted
        transport.close()

    assert server.connections == 2
    assert server.commands(1).count("MAIL") == 100
    assert server.commands(1)[-1] == "QUIT"


def test_there_are_no_more_connections_than_allowed() -> None:
    with ScriptedServer() as server:
        transport = open_transport(f"{server.dsn}&max_connections=3")
        with ThreadPoolExecutor(10) as threads:
            replies = list(threads.map(lambda number: transport.send(message(number)), range(60)))
        transport.close()

    assert all(reply.accepted for reply in replies)
    assert server.connections <= 3


def test_waiting_for_a_connection_has_an_end() -> None:
    with ScriptedServer({"RCPT": Hang()}) as server:
        options = "max_connections=1&attempt_timeout_seconds=0.3&timeout_seconds=20"
        transport = open_transport(f"smtp://127.0.0.1:{server.port}?{options}")
        with ThreadPoolExecutor(2) as threads:
            replies = list(threads.map(lambda number: transport.send(message(number)), range(2)))
        transport.close()

    assert not any(reply.accepted or reply.answered for reply in replies)
    assert {reply.phase for reply in replies} <= {Phase.CONNECT, Phase.RCPT}


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_refused_message_does_not_cost_the_session(step: str) -> None:
    with ScriptedServer({step: ["550 5.1.1 no", "354 go on" if step == "DATA" else "250 ok"]}) as server:
        transport = open_transport(server.dsn)
        first, second = transport.send(message(1)), transport.send(message(2))
        transport.close()

    assert (first.accepted, second.accepted) == (False, True)
    assert server.connections == 1
    assert "RSET" in server.commands()


def test_a_session_that_only_hears_refusals_is_left_before_the_server_loses_patience() -> None:
    answers: list[Answer] = [*["550 5.1.1 no"] * 3, "250 ok", *["550 5.1.1 no"] * 5]
    with ScriptedServer({"RCPT": answers}) as server:
        transport = open_transport(server.dsn)
        replies = [transport.send(message(number)) for number in range(9)]
        transport.close()

    assert [reply.accepted for reply in replies] == [False] * 3 + [True] + [False] * 5
    assert server.connections == 2
    assert server.commands(1).count("MAIL") == 8


def test_a_session_is_dropped_after_421() -> None:
    with ScriptedServer({"RCPT": ["421 4.3.2 closing", "250 ok"]}) as server:
        transport = open_transport(server.dsn)
        first, second = transport.send(message(1)), transport.send(message(2))
        transport.close()

    assert (first.code, first.phase, second.accepted) == (421, Phase.RCPT, True)
    assert server.connections == 2


def test_a_session_is_dropped_after_silence() -> None:
    with ScriptedServer({"RCPT": [Hang(), "250 ok"]}) as server:
        transport = open_transport(f"smtp://127.0.0.1:{server.port}?timeout_seconds=0.3")
        first, second = transport.send(message(1)), transport.send(message(2))
        transport.close()

    assert (first.answered, second.accepted) == (False, True)
    assert server.connections == 2


@pytest.mark.parametrize("closed", [Drop(), "421 4.4.2 idle too long"])
def test_a_session_that_the_server_closed_while_idle_costs_no_attempt(closed: Drop | str) -> None:
    with ScriptedServer({"MAIL": ["250 ok", closed, "250 ok"]}) as server:
        transport = open_transport(server.dsn)
        first, second = transport.send(message(1)), transport.send(message(2))
        transport.close()

    assert (first.accepted, second.accepted) == (True, True)
    assert server.connections == 2


def test_a_fresh_session_that_is_refused_is_not_tried_twice() -> None:
    with ScriptedServer({"MAIL": Drop()}) as server:
        reply = open_transport(server.dsn).send(message())

    assert (reply.phase, reply.answered) == (Phase.MAIL, False)
    assert server.connections == 1


def test_a_message_in_doubt_is_never_sent_again_by_the_transport() -> None:
    with ScriptedServer({"DOT": ["250 ok", Drop()]}) as server:
        transport = open_transport(server.dsn)
        transport.send(message(1))
        reply = transport.send(message(2))
        transport.close()

    assert (reply.phase, reply.answered) == (Phase.DOT, False)
    assert len(server.messages) == 2


def test_an_idle_session_is_checked_before_it_is_used() -> None:
    with ScriptedServer({"NOOP": ["250 ok", Drop()]}) as server:
        transport = open_transport(f"{server.dsn}&idle_trusted_seconds=0")
        assert all(transport.send(message(number)).accepted for number in range(3))
        transport.close()

    assert server.commands(1) == ["EHLO", "MAIL", "RCPT", "DATA", "NOOP", "MAIL", "RCPT", "DATA", "NOOP"]
    assert server.connections == 2


def test_close_ends_idle_sessions_politely() -> None:
    with ScriptedServer() as server:
        transport = open_transport(server.dsn)
        transport.send(message())
        transport.close()

    assert server.commands()[-1] == "QUIT"


def test_a_session_in_use_while_the_pool_is_closed_does_not_come_back() -> None:
    with ScriptedServer({"RCPT": [Hang(), "250 ok"]}) as server:
        transport = open_transport(f"smtp://127.0.0.1:{server.port}?timeout_seconds=0.5")
        sending = threading.Thread(target=transport.send, args=(message(1),))
        sending.start()
        transport.close()
        sending.join()
        assert transport.send(message(2)).accepted
        transport.close()
