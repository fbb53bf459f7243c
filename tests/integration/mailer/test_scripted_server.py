"""The scripted mail server does what a fate says, and its register says what the transport says of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mailer.reply import Reply
from mailer.transports import open_transport
from mailer.transports.conformance import message
from tests.chaos.scripted import certificates
from tests.chaos.scripted.fates import (
    CONNECTION,
    DOUBTFUL,
    EARLY,
    FOR_GOOD,
    HANDSHAKE,
    LATE_NO,
    ODD_YES,
    Given,
    Step,
    Trouble,
    noticed,
)
from tests.chaos.scripted.register import Register
from tests.chaos.scripted.server import MailServer
from tests.chaos.scripted.traps import Trap, Traps
from tests.support.scripted_smtp import Hang

NAMED = (*EARLY, *LATE_NO, *DOUBTFUL, *ODD_YES, *FOR_GOOD)
# Of a busy machine's server nobody runs out of patience, of one that never answers soon.
PATIENT, HASTY = 30, 0.3


class OnEach(Given):
    """The same trouble on every connection."""

    def of_connection(self, server: int, number: int, *, tls: bool) -> Trouble | None:  # noqa: ARG002 - as Fates has it
        return self.troubles[0][0]


@contextmanager
def serving(fate: Given, folder: Path, *, pipelining: bool = False, tls: bool = False) -> Iterator[MailServer]:
    made = certificates.made(folder) if tls else None
    with MailServer(fate, register=Register(), traps=Traps(), pipelining=pipelining, certificates=made) as server:
        yield server


def never_answers(trouble: Trouble) -> bool:
    return isinstance(trouble.answer, Hang) or trouble.delay_seconds > 1


def sent(server: MailServer, folder: Path, *, seconds: float = PATIENT) -> Reply:
    times = f"connect_timeout_seconds={PATIENT}&timeout_seconds={seconds}&dot_timeout_seconds={seconds}"
    secure = f"&starttls=require&ca_file={folder / certificates.TRUSTED}" if server.certificates else ""
    transport = open_transport(f"{server.transport}?{times}{secure}")
    try:
        return transport.send(replace(message(), recipient="r1@chaos.example.com"))
    finally:
        transport.close()


@pytest.mark.parametrize("trouble", NAMED, ids=lambda trouble: trouble.name)
def test_a_trouble_is_noticed_where_the_register_says(trouble: Trouble, tmp_path: Path) -> None:
    with serving(Given({1: (trouble,)}), tmp_path) as server:
        reply = sent(server, tmp_path, seconds=HASTY if never_answers(trouble) else PATIENT)
        [transaction] = server.register.transactions

    assert reply.phase in transaction.phases
    assert reply.code == transaction.code
    assert reply.accepted is trouble.accepts
    assert transaction.kept is trouble.keeps
    assert (transaction.digest is not None) is (trouble.step is Step.DOT)


@pytest.mark.parametrize("trouble", [one for one in EARLY if not never_answers(one)], ids=lambda trouble: trouble.name)
def test_a_trouble_is_noticed_in_the_same_place_when_commands_are_pipelined(trouble: Trouble, tmp_path: Path) -> None:
    with serving(Given({1: (trouble,)}), tmp_path, pipelining=True) as server:
        reply = sent(server, tmp_path)
        [transaction] = server.register.transactions

    assert reply.phase in transaction.phases
    assert (reply.code, reply.accepted, transaction.kept) == (transaction.code, False, False)


@pytest.mark.parametrize("trouble", [*CONNECTION, *HANDSHAKE], ids=lambda trouble: trouble.name)
def test_who_is_turned_away_before_a_recipient_is_named_is_in_the_register(trouble: Trouble, tmp_path: Path) -> None:
    with serving(OnEach({0: (trouble,)}), tmp_path, tls=trouble in HANDSHAKE) as server:
        reply = sent(server, tmp_path, seconds=HASTY if never_answers(trouble) else PATIENT)

        assert server.register.transactions == []
        turned = server.register.turned[0]

    assert reply.phase in turned.phases
    assert (reply.phase, reply.code) in {(phase, noticed(trouble)[1]) for phase in turned.phases}


def test_a_trap_springs_once_at_its_step_with_the_clients_port(tmp_path: Path) -> None:
    ports: list[int] = []
    with serving(Given({}), tmp_path) as server:
        trap = Trap(Step.DOT, after=False, spring=ports.append)
        server.traps.lay(trap)
        replies = [sent(server, tmp_path), sent(server, tmp_path)]

    assert [reply.accepted for reply in replies] == [True, True]
    assert trap.sprung.is_set()
    assert len(ports) == 1
    assert [one.kept for one in server.register.transactions] == [True, True]


def test_a_server_that_is_away_turns_everybody_away(tmp_path: Path) -> None:
    with serving(Given({}), tmp_path) as server:
        server.away = True
        first = sent(server, tmp_path)
        server.away = False
        second = sent(server, tmp_path)

    assert (first.accepted, first.answered) == (False, False)
    assert second.accepted
