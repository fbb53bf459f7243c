"""A transport's DSN, read: scheme, host, credentials and options, none of which is shown where it could be a secret.

smtp://user:pass@host:587?starttls=require&max_connections=8 · smtps://… · file:///maildir · console: · null:
resend://KEY@default · postmark://TOKEN@default · ses://KEY:SECRET@default?region=… · failover(smtp://a smtp://b)
roundrobin(smtp://a smtp://b)
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Never
from urllib.parse import parse_qsl, unquote, urlsplit

from mailer.errors import TransportDsnError

_COMBINATOR = re.compile(r"([a-z][a-z0-9]*)\((.*)\)", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
# Of every transport: what it is called in the breakers' table, in logs and in metrics.
_NAME_OPTION = "name"
# Of every transport: the limit that all workers keep together (mailer/pacing.py).
_RATE_OPTION = "max_per_second"
_LEAST_RATE = 0.001


@dataclass(frozen=True, slots=True)
class Dsn:
    """One transport's address. Its text form and its repr show neither user nor password."""

    scheme: str
    host: str | None
    port: int | None
    path: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    options: Mapping[str, str]

    def __str__(self) -> str:
        """Return the DSN, masked. The user is masked too: with some providers it is the token."""
        login = "***:***@" if self.password is not None else "***@" if self.user is not None else ""
        port = f":{self.port}" if self.port is not None else ""
        return f"{self.scheme}:{self._slashes}{login}{_bracketed(self.host)}{port}{self._shown_path}"

    @property
    def name(self) -> str:
        """Return the transport's name: stable, and without a secret, for the breakers of all workers meet under it."""
        if _NAME_OPTION in self.options:
            return self.options[_NAME_OPTION]
        port = f":{self.port}" if self.port is not None else ""
        # Two logins at one host are two transports; the digest tells them apart without naming them.
        login = f"#{sha256(self.user.encode()).hexdigest()[:6]}" if self.user is not None else ""
        where = f"{self._slashes}{_bracketed(self.host)}{port}{self._shown_path}{login}"
        return f"{self.scheme}:{where}" if where else self.scheme

    @property
    def _shown_path(self) -> str:
        """Return the path of a file. Any other could be a key, or the credentials of a DSN that lacks its slashes."""
        return self.path if self.path.startswith("/") and self.host is None else ""

    @property
    def _slashes(self) -> str:
        return "//" if self.host is not None or self._shown_path else ""

    @property
    def max_per_second(self) -> float | None:
        """Return how many messages a second all workers together may hand to it; nothing where there is no limit."""
        rate = self.number(_RATE_OPTION, default=0, least=0, most=1_000_000)
        if 0 < rate < _LEAST_RATE:
            self.refuse(f"expected {_RATE_OPTION} to be {_LEAST_RATE} or more, got {rate:g}", fix="0 is no limit")
        return rate or None

    def only(self, *known: str) -> None:
        """Raise TransportDsnError for an option that is neither among *known* nor one of every transport."""
        known = (*known, _NAME_OPTION, _RATE_OPTION)
        for option in self.options:
            if option not in known:
                self.refuse(f"unknown option {option!r}", fix=f"known are {', '.join(sorted(known))}")

    def choice(self, option: str, choices: Iterable[str], *, default: str) -> str:
        """Return *option*, which is one of *choices*."""
        value = self.options.get(option, default)
        if value not in (choices := tuple(choices)):
            self.refuse(f"expected {option} to be {'|'.join(choices)}, got {value!r}")
        return value

    def number(self, option: str, *, default: float, least: float, most: float) -> float:
        """Return *option* as a number from *least* to *most*."""
        value = self.options.get(option, str(default))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            self.refuse(f"expected {option} to be a number from {least:g} to {most:g}, got {value!r}")
        return number

    def refuse(self, problem: str, *, fix: str | None = None) -> Never:
        """Raise TransportDsnError with *problem*, and with *fix* as its note."""
        raise _error(str(self), problem, fix)


def split_combinator(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the name and the parts of `failover(a b)`, or nothing when *text* is a plain DSN."""
    match = _COMBINATOR.fullmatch(text.strip())
    return (match[1], tuple(_parts(match[2], name=match[1]))) if match else None


def parse_dsn(text: str) -> Dsn:
    """Return the DSN in *text*; raise TransportDsnError, which shows nothing of it but the scheme."""
    text = text.strip()
    scheme, colon, _ = text.partition(":")
    if not colon or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise _error("…", "it has no scheme", "write smtp://host:587, file:///maildir, console: or null:")
    try:
        parts = urlsplit(text)
        port = parts.port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        fix = "percent-encode what is special in user and password: @ is %40, / is %2F, # is %23, ? is %3F"
        raise _error(f"{scheme}:…", "it cannot be read as a URL", fix) from None
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    options = dict(pairs)
    dsn = Dsn(scheme, parts.hostname or None, port, unquote(parts.path), user, password, options)
    if len(options) != len(pairs):
        dsn.refuse("an option is given twice")
    if parts.fragment:
        dsn.refuse("it has a # outside an option", fix="percent-encode it as %23")
    if _NAME_OPTION in options and not _NAME.fullmatch(options[_NAME_OPTION]):
        dsn.refuse("expected name to be of lower-case letters, digits, dots, - and _")
    return dsn


def _parts(text: str, *, name: str) -> Iterable[str]:
    """Yield the DSNs in a combinator's brackets: separated by blanks, those inside inner brackets aside."""
    depth, part = 0, ""
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
        if character.isspace() and depth == 0:
            if part:
                yield part
            part = ""
        else:
            part += character
    if depth:
        raise _error(f"{name}(…)", "its brackets do not match", "percent-encode brackets in a password: %28 and %29")
    if part:
        yield part


def _bracketed(host: str | None) -> str:
    return f"[{host}]" if host and ":" in host else host or ""


def _error(dsn: str, problem: str, fix: str | None) -> TransportDsnError:
    error = TransportDsnError(dsn, problem)
    if fix:
        error.add_note(fix)
    return error
