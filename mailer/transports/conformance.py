"""What every transport has to do: a suite for plug-in authors, which our own transports pass.

    from mailer.transports.conformance import TransportConformance

    class TestOurs(TransportConformance):
        @pytest.fixture
        def dsn(self) -> str: ...           # of a server that accepts
        @pytest.fixture
        def unreachable(self) -> str: ...   # of one that cannot be reached; None where there is no such thing
        @pytest.fixture
        def secrets(self) -> tuple[str, ...]: ...   # what `dsn` has in it that must not be shown

The transport must be found by `open_transport`: register it under the entry-point group `outbox.transports`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mailer.reply import OutgoingMessage, Phase, Reply
from mailer.transports import Transport, open_transport

T = TypeVar("T")
_THREADS = 8
_RECIPIENT = "ada.conformance@example.com"


def message(number: int = 1, *, recipient: str = _RECIPIENT) -> OutgoingMessage:
    """Return a message like those that the mailer sends."""
    head = f"From: no-reply@example.com\r\nTo: {recipient}\r\nSubject: Conformance {number}\r\n"
    content = f"{head}Message-ID: <{number}@example.com>\r\n\r\nHello\r\n.dot\r\n"
    return OutgoingMessage("no-reply@example.com", recipient, content.encode(), f"<{number}@example.com>")


class TransportConformance:
    """Subclass it with the fixtures `dsn`, `unreachable` and `secrets`."""

    def test_opening_does_not_connect(self, unreachable: str | None) -> None:
        """A worker must be able to start while the server is away."""
        if unreachable is not None:
            open_transport(unreachable).close()

    def test_an_accepted_message_is_done(self, dsn: str) -> None:
        """Acceptance is phase `done`, and nothing else is."""
        reply = _with(dsn, lambda transport: transport.send(message()))

        _expect(reply.accepted, "the message to be accepted", reply)
        _expect(reply.phase is Phase.DONE, "phase done", reply)
        _expect(reply.answered, "an acceptance to count as an answer", reply)

    def test_the_reply_names_the_transport_that_gave_it(self, dsn: str) -> None:
        """The breaker's row is found by it."""
        reply, names = _with(
            dsn, lambda transport: (transport.send(message()), [child.name for child in transport.children])
        )

        _expect(reply.transport in names, f"the reply to name one of {names}", reply)

    def test_the_name_is_the_same_each_time(self, dsn: str) -> None:
        """All workers share the breaker's row."""
        first, second = (_with(dsn, lambda transport: transport.name) for _ in range(2))

        _expect(first == second, "equal names of equal DSNs", (first, second))

    def test_a_plain_transport_is_its_own_only_child(self, dsn: str) -> None:
        """The delivery machine walks children, and a combinator's children are plain."""
        children = _with(dsn, lambda transport: [(child, child.children) for child in transport.children])

        _expect(bool(children), "at least one child", children)
        _expect(all(own == (child,) for child, own in children), "each child to be its own only child", children)

    def test_an_outage_is_a_reply_and_not_an_exception(self, unreachable: str | None) -> None:
        """Whoever raises here takes a worker's other messages along."""
        if unreachable is None:
            return
        reply = _with(unreachable, lambda transport: transport.send(message()))

        _expect(not reply.accepted, "the message not to be accepted", reply)
        _expect(reply.phase not in (Phase.DOT, Phase.DONE), "an outage before the message was out", reply)
        _expect(bool(reply.text), "a text that names the cause", reply)

    def test_no_reply_shows_an_address(self, dsn: str, unreachable: str | None) -> None:
        """Replies are kept longer than mail."""
        for address in (dsn, unreachable):
            if address is not None:
                reply = _with(address, lambda transport: transport.send(message()))

                _expect(_RECIPIENT not in reply.text and "@" not in reply.text, "a text without addresses", reply)

    def test_nothing_shows_a_secret(self, dsn: str, secrets: tuple[str, ...]) -> None:
        """Names and reprs end up in logs, metrics and tables."""
        shown = _with(dsn, lambda transport: (transport.name, repr(transport), str(transport)))

        for secret in secrets:
            _expect(not any(secret in text for text in shown), "no secret to be shown", shown)

    def test_many_threads_send_at_once(self, dsn: str) -> None:
        """A worker sends a window of messages at a time."""

        def send(transport: Transport) -> list[Reply]:
            with ThreadPoolExecutor(_THREADS) as threads:
                return list(threads.map(lambda number: transport.send(message(number)), range(5 * _THREADS)))

        replies = _with(dsn, send)

        _expect(all(reply.accepted for reply in replies), "every message to be accepted", replies)

    def test_a_closed_transport_can_be_used_again(self, dsn: str) -> None:
        """A worker closes its transports when it is idle."""

        def send(transport: Transport) -> Reply:
            transport.send(message(1))
            transport.close()
            transport.close()
            return transport.send(message(2))

        reply = _with(dsn, send)

        _expect(reply.accepted, "the message after close to be accepted", reply)


def _with(dsn: str, use: Callable[[Transport], T]) -> T:
    transport = open_transport(dsn)
    try:
        return use(transport)
    finally:
        transport.close()


def _expect(holds: object, what: str, got: object) -> None:
    """Fail with a sentence: `assert` would be rewritten by pytest in test modules only, which this one is not."""
    if not holds:
        raise AssertionError(f"expected {what}, got {got!r}")
