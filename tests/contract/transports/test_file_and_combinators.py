"""A maildir has whole messages or none; a failover goes on only while nothing can have been accepted."""

import mailbox
from pathlib import Path

import pytest

from mailer.errors import TransportDsnError
from mailer.reply import Phase
from mailer.transports import open_limited, open_transport, orders_of
from mailer.transports.conformance import message
from mailer.transports.dsn import parse_dsn
from mailer.transports.file import FileTransport
from tests.support.scripted_smtp import Answer, Drop, ScriptedServer


def test_a_message_is_in_new_and_nothing_is_left_in_tmp(tmp_path: Path) -> None:
    open_transport(f"file://{tmp_path}/out").send(message())

    (read,) = mailbox.Maildir(tmp_path / "out", create=False)
    assert read["Subject"] == "Conformance 1"
    assert read.get_payload() == "Hello\n.dot\n"
    assert list((tmp_path / "out" / "tmp").iterdir()) == []


def test_a_message_that_is_sent_again_replaces_itself(tmp_path: Path) -> None:
    transport = open_transport(f"file://{tmp_path}/out")

    for number in (1, 1, 1, 2):
        transport.send(message(number))

    assert len(list((tmp_path / "out" / "new").iterdir())) == 2


def test_a_message_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    open_transport(f"file://{tmp_path}/out").send(message())

    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


class _Full(FileTransport):
    """A maildir on a disk that is full: its temporary files are a device on which no write finds space."""

    def _temporary(self, name: str) -> Path:
        link = super()._temporary(name)
        link.symlink_to("/dev/full")
        return link


def test_a_full_disk_is_an_outage_that_names_the_cause_and_leaves_nothing(tmp_path: Path) -> None:
    reply = _Full(parse_dsn(f"file://{tmp_path}/out")).send(message())

    assert (reply.phase, reply.accepted, reply.answered) == (Phase.CONNECT, False, True)
    assert (reply.code, reply.enhanced) == (None, "4.3.0")
    assert reply.text == f"no space left on the disk of {tmp_path}/out"
    assert [list((tmp_path / "out" / folder).iterdir()) for folder in ("tmp", "new")] == [[], []]


def test_a_path_through_a_file_is_an_outage_that_names_the_cause(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    reply = open_transport(f"file://{tmp_path}/file/out").send(message())

    assert reply.text == f"not a directory: {tmp_path}/file/out"


@pytest.mark.parametrize("answer", ["421 4.3.2 closing", "554 5.3.2 go away", Drop()])
def test_a_server_that_takes_nothing_is_passed_over(answer: Answer) -> None:
    with ScriptedServer({"CONNECT": answer}) as first, ScriptedServer() as second:
        transport = open_transport(f"failover({first.dsn} {second.dsn})")
        reply = transport.send(message())
        transport.close()

    assert reply.accepted
    assert reply.transport == transport.children[1].name
    assert len(second.messages) == 1


@pytest.mark.parametrize(
    "script",
    [
        {"RCPT": "550 5.1.1 no"},
        {"RCPT": "450 4.7.1 later"},
        {"DOT": Drop()},
        {"DOT": "554 5.7.1 spam"},
        {"RCPT": Drop()},
    ],
)
def test_what_is_said_of_the_message_is_not_asked_elsewhere(script: dict[str, Answer | list[Answer]]) -> None:
    with ScriptedServer(script) as first, ScriptedServer() as second:
        transport = open_transport(f"failover({first.dsn} {second.dsn})")
        reply = transport.send(message())
        transport.close()

    assert not reply.accepted
    assert reply.transport == transport.children[0].name
    assert second.connections == 0


def names(dsn: str) -> list[str]:
    transport = open_transport(dsn)
    return [" ".join(child.name for child in order) for order in orders_of(transport)]


def test_transports_that_take_turns_come_first_one_after_the_other() -> None:
    assert names("roundrobin(null:?name=a null:?name=b null:?name=c)") == ["a b c", "b c a", "c a b"]


def test_combinators_keep_their_orders_inside_each_other() -> None:
    assert names("failover(roundrobin(null:?name=a null:?name=b) null:?name=c)") == ["a b c", "b a c"]
    assert names("roundrobin(failover(null:?name=a null:?name=b) null:?name=c)") == ["a b c", "c a b"]


def test_two_transports_of_one_name_are_refused_for_they_would_share_a_breaker() -> None:
    with pytest.raises(TransportDsnError, match="two transports are called null"):
        open_transport("failover(null: null:)")


def test_the_last_reply_is_given_when_all_are_away() -> None:
    with ScriptedServer({"CONNECT": "421 a"}) as first, ScriptedServer({"CONNECT": "421 b"}) as second:
        transport = open_transport(f"failover({first.dsn} {second.dsn})")
        reply = transport.send(message())
        transport.close()

    assert (reply.transport, reply.text) == (transport.children[1].name, "b")


@pytest.mark.parametrize(
    "dsn",
    [
        "smtp://localhost",
        "smtps://localhost",
        "file:///out",
        "console:",
        "null:",
        "resend://key@default",
        "postmark://token@default",
        "ses://default?region=eu-central-1",
    ],
)
def test_every_transport_may_have_a_limit_which_is_not_its_own_to_keep(dsn: str) -> None:
    opened = open_limited(f"{dsn}{'&' if '?' in dsn else '?'}max_per_second=2.5")
    opened.transport.close()

    assert opened.rates == {opened.transport.name: 2.5}
    assert open_limited(dsn).rates == {}


def test_the_limits_of_a_combination_are_those_of_its_parts() -> None:
    opened = open_limited(
        "failover(null:?name=a&max_per_second=3 roundrobin(null:?name=b null:?name=c&max_per_second=5))"
    )

    assert opened.rates == {"a": 3, "c": 5}


@pytest.mark.parametrize("rate", ["-1", "0.0001", "nan", "many"])
def test_a_limit_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(TransportDsnError, match="max_per_second"):
        open_transport(f"null:?max_per_second={rate}")


def test_a_limit_of_nothing_is_no_limit() -> None:
    assert open_limited("null:?max_per_second=0").rates == {}
