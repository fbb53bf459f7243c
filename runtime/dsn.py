"""The address of PostgreSQL, checked before anything connects; libpq's own messages would show parts of a password."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from runtime.secrets import SecretUrl

_BAD_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_DEFAULT_PORT = "5432"
_ENCODE = "percent-encode @ : / ? # % and blanks in user and password"


@dataclass(frozen=True, slots=True)
class Address:
    """What of an address may be shown."""

    hosts: tuple[str, ...]  # host:port each; a libpq address may name several
    user: str | None
    database: str | None

    def __str__(self) -> str:
        """Return host, port, database and user, as error messages name them."""
        database = f" database {self.database!r}" if self.database else ""
        user = f" as user {self.user!r}" if self.user else ""
        return f"PostgreSQL at {','.join(self.hosts) or 'the local socket'}{database}{user}"


class SecretDsn(SecretUrl):
    """`postgresql://user:password@host:5432/database?…`, as libpq takes it."""

    shows_user = True

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the address; a `ValueError` says what is wrong with it, and shows no part of a password."""
        dsn = super().parse(value)
        dsn.address()
        return dsn

    def address(self) -> Address:
        """Return the parts that may be shown."""
        scheme, separator, rest = self.get_secret_value().partition("://")
        if not separator or scheme != "postgresql":
            raise ValueError(f"expected postgresql://user:password@host:5432/database, got {_what(scheme, separator)}")
        netloc, slash, path = rest.partition("/")
        userinfo, _, hosts = netloc.rpartition("@")
        if "@" in userinfo or "@" in path.partition("?")[0] or _BAD_PERCENT.search(userinfo):
            raise ValueError(f"expected one @, after user:password; {_ENCODE}")
        hosts, question, _ = hosts.partition("?")
        if "#" in hosts or (question and slash):
            raise ValueError(f"expected host:port after the @; {_ENCODE}")
        database = unquote(path.partition("?")[0]) or None
        named = tuple(_host(host) for host in hosts.split(",")) if hosts else ()
        return Address(named, unquote(userinfo.partition(":")[0]) or None, database)


def _host(text: str) -> str:
    name, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        return f"{text}:{_DEFAULT_PORT}"
    if not port.isdecimal():
        # Not shown: when an unencoded / cut the address short, this is a piece of the password.
        raise ValueError(f"expected the port to be a number; {_ENCODE}")
    return f"{name}:{port}"


def _what(scheme: str, separator: str) -> str:
    if not separator:
        return "no scheme: key=value connection strings are not taken"
    if scheme == "postgres" or scheme.startswith("postgresql+"):
        return f"{scheme}://: write postgresql://, without the name of a driver"
    return f"{scheme}://"
