import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from mailer.claims import BreakerRow, Failures
from mailer.meanings import Kind
from mailer.reply import OutgoingMessage, Phase, Reply, accepted, refused, unanswered
from mailer.sending import Made, against, send

MESSAGE = OutgoingMessage("from@example.com", "ada@example.com", b"", "<1@example.com>")
RECIPIENT = MESSAGE.recipient


class Scripted:
    def __init__(self, name: str, reply: Callable[[str], Reply]) -> None:
        self.name = name
        self._reply = reply
        self.sent = 0

    def send(self, message: OutgoingMessage) -> Reply:
        assert message.message_id == MESSAGE.message_id
        self.sent += 1
        return self._reply(self.name)


def ok(name: str) -> Reply:
    return accepted(name, code=250, text="2.0.0 ok", recipient=RECIPIENT)


def down(name: str) -> Reply:
    return unanswered(name, Phase.CONNECT, text="connection refused", recipient=RECIPIENT)


def bounce(name: str) -> Reply:
    return refused(name, Phase.RCPT, code=550, text="5.1.1 no such user", recipient=RECIPIENT)


def lost(name: str) -> Reply:
    return unanswered(name, Phase.DOT, text="connection reset", recipient=RECIPIENT)


def wrong_password(name: str) -> Reply:
    return refused(name, Phase.AUTH, code=535, text="5.7.8 no", recipient=RECIPIENT)


def raises(name: str) -> Reply:
    raise RuntimeError(name)


def always(reply: Reply) -> Callable[[str], Reply]:
    return lambda _: reply


def made(*replies: Reply) -> list[Made]:
    return [one for reply in replies for one in send(MESSAGE, [Scripted(reply.transport, always(reply))], needs=1)]


def broken(name: str) -> dict[str, BreakerRow]:
    return {name: BreakerRow(name, "open", 7, timedelta(0))}


def test_the_second_transport_is_asked_when_the_first_is_down() -> None:
    first, second = Scripted("a", down), Scripted("b", ok)

    tries = send(MESSAGE, [first, second], needs=1)

    assert [one.judgement.meaning.kind for one in tries] == [Kind.TRANSIENT, Kind.ACCEPTED]


@pytest.mark.parametrize("reply", [ok, bounce, lost])
def test_the_second_transport_is_not_asked_when_the_first_has_decided(reply: Callable[[str], Reply]) -> None:
    second = Scripted("b", ok)

    send(MESSAGE, [Scripted("a", reply), second], needs=1)

    assert second.sent == 0


@pytest.mark.parametrize(("left", "asked"), [(60.0, 1), (5.0, 0), (-1.0, 0)])
def test_another_transport_is_asked_only_while_there_is_the_time_for_it(left: float, asked: int) -> None:
    message = replace(MESSAGE, until=time.monotonic() + left)
    second = Scripted("b", ok)

    tries = send(message, [Scripted("a", down), second], needs=30)

    assert second.sent == asked
    assert tries[-1].cut_short is (asked == 0)


def test_a_transport_that_is_quick_at_most_is_asked_late() -> None:
    quick = Scripted("b", ok)
    quick.longest_attempt_seconds = 1.0  # type: ignore[attr-defined] # a transport need not have it

    send(replace(MESSAGE, until=time.monotonic() + 5), [Scripted("a", down), quick], needs=30)

    assert quick.sent == 1


def test_a_transport_that_raises_leaves_the_message_in_doubt() -> None:
    [one] = send(MESSAGE, [Scripted("a", raises)], needs=1)

    assert one.judgement.meaning.kind is Kind.IN_DOUBT


def test_recipients_refusals_never_count_against_a_transport() -> None:
    assert against(made(*[bounce("a")] * 100), breakers={}, probing=None) == ((), ())


def test_failures_of_a_window_are_counted_together() -> None:
    failures, recovered = against(made(down("a"), down("a"), down("b")), breakers={}, probing=None)

    assert failures == (
        Failures("a", 2, at_once=False, reason="unreachable"),
        Failures("b", 1, at_once=False, reason="unreachable"),
    )
    assert recovered == ()


def test_one_good_reply_among_failures_means_that_the_transport_is_there() -> None:
    assert against(made(down("a"), ok("a"), down("a")), breakers=broken("a"), probing=None) == ((), ("a",))


def test_a_wrong_password_opens_the_breaker_at_once() -> None:
    failures, _ = against(made(wrong_password("a")), breakers={}, probing=None)

    assert failures == (Failures("a", 1, at_once=True, reason="not_authorised"),)


def test_a_probe_that_reaches_the_recipient_closes_the_breaker_even_when_that_one_is_refused() -> None:
    assert against(made(bounce("a")), breakers=broken("a"), probing="a") == ((), ("a",))


def test_a_probe_that_comes_to_nothing_opens_the_breaker_again() -> None:
    failures, recovered = against(made(lost("a")), breakers=broken("a"), probing="a")

    assert failures == (Failures("a", 0, at_once=True, reason="a probe came to nothing"),)
    assert recovered == ()
