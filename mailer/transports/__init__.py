"""Ways out: what hands a message to a mail server, one file each, opened by DSN.

In comes an OutgoingMessage; out goes a Reply that says how far it came. A transport decides nothing: whether to try
again, and where, is decided with the breakers in hand. Third parties add schemes by the entry-point group
`outbox.transports`: the name is the scheme, the object takes a Dsn and returns a Transport. `conformance.py` is what
theirs has to pass, as ours do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from mailer.errors import TransportDsnError
from mailer.reply import OutgoingMessage, Phase, Reply
from mailer.transports.combinators import FailoverTransport, RoundRobinTransport, orders_of
from mailer.transports.console import ConsoleTransport
from mailer.transports.dsn import Dsn, parse_dsn, split_combinator
from mailer.transports.file import FileTransport
from mailer.transports.null import NullTransport
from mailer.transports.smtp import SmtpTransport

__all__ = [
    "Dsn",
    "Opened",
    "OutgoingMessage",
    "Phase",
    "Reply",
    "Transport",
    "TransportFactory",
    "open_limited",
    "open_transport",
    "orders_of",
]

ENTRY_POINTS = "outbox.transports"


class Transport(Protocol):
    """Hands messages to one mail server. Used by many threads at once."""

    @property
    def name(self) -> str:
        """Return what its breaker's row is called: stable over processes, and without a secret."""
        ...

    @property
    def children(self) -> "tuple[Transport, ...]":
        """Return the transports to try, in order; a plain one returns itself alone."""
        ...

    def send(self, message: OutgoingMessage) -> Reply:
        """Return what came of one attempt; never raise because of the server, the network or the message."""
        ...

    def close(self) -> None:
        """Give back every connection; a later `send` opens new ones."""
        ...


TransportFactory = Callable[[Dsn], Transport]


@dataclass(frozen=True, slots=True)
class Opened:
    """A transport, and the messages a second that each of its children may be given: those with a limit, by name."""

    transport: Transport
    rates: Mapping[str, float]


# Their clients are imported where they are used: every command of the mailer passes by here, and few need one.
def _postmark(dsn: Dsn) -> Transport:
    from mailer.transports.postmark import PostmarkTransport  # noqa: PLC0415

    return PostmarkTransport(dsn)


def _resend(dsn: Dsn) -> Transport:
    from mailer.transports.resend import ResendTransport  # noqa: PLC0415

    return ResendTransport(dsn)


def _ses(dsn: Dsn) -> Transport:
    try:
        from mailer.transports.ses import SesTransport  # noqa: PLC0415 - botocore is an extra, too
    except ImportError as error:
        dsn.refuse(f"ses needs botocore ({error.name} is missing)", fix="pip install 'pg-outbox-relay[ses]'")
    return SesTransport(dsn)


_SHIPPED: dict[str, TransportFactory] = {
    "smtp": SmtpTransport,
    "smtps": SmtpTransport,
    "file": FileTransport,
    "console": ConsoleTransport,
    "null": NullTransport,
    "postmark": _postmark,
    "resend": _resend,
    "ses": _ses,
}

_COMBINATORS: dict[str, Callable[[tuple[Transport, ...]], Transport]] = {
    "failover": FailoverTransport,
    "roundrobin": RoundRobinTransport,
}


def open_transport(dsn: str) -> Transport:
    """Return the transport that *dsn* describes, without connecting; raise TransportDsnError if there is none."""
    return open_limited(dsn).transport


def open_limited(dsn: str) -> Opened:
    """Return the transport that *dsn* describes, and its limits; a transport keeps none by itself."""
    if combined := split_combinator(dsn):
        return _combined(*combined)
    parsed = parse_dsn(dsn)
    rate = parsed.max_per_second
    transport = _factory(parsed)(parsed)
    return Opened(transport, {plain.name: rate for plain in transport.children} if rate is not None else {})


def _combined(name: str, parts: tuple[str, ...]) -> Opened:
    if name not in _COMBINATORS:
        raise _unknown(
            f"{name}(…)", "no such combinator", f"there are {' and '.join(map('{}(a b)'.format, _COMBINATORS))}"
        )
    if not parts:
        raise _unknown(f"{name}()", "it names no transport", f"write {name}(smtp://a smtp://b)")
    opened = [open_limited(part) for part in parts]
    children = tuple(one.transport for one in opened)
    names = [plain.name for child in children for plain in child.children]
    if twice := next((one for one in names if names.count(one) > 1), None):
        # Their breakers would be one row, and the second would never be asked.
        raise _unknown(f"{name}(…)", f"two transports are called {twice}", "give one of them another ?name=…")
    rates = {plain: rate for one in opened for plain, rate in one.rates.items()}
    return Opened(_COMBINATORS[name](children), rates)


def _factory(dsn: Dsn) -> TransportFactory:
    if dsn.scheme in _SHIPPED:
        return _SHIPPED[dsn.scheme]
    plugins: dict[str, EntryPoint] = {plugin.name: plugin for plugin in entry_points(group=ENTRY_POINTS)}
    if dsn.scheme not in plugins:
        known = ", ".join(sorted({*_SHIPPED, *plugins}))
        raise _unknown(str(dsn), f"no transport for the scheme {dsn.scheme!r}", f"there are {known}")
    factory: TransportFactory = plugins[dsn.scheme].load()
    return factory


def _unknown(dsn: str, problem: str, fix: str) -> TransportDsnError:
    error = TransportDsnError(dsn, problem)
    error.add_note(fix)
    return error
