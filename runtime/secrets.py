"""Values that must not be seen: an address with its password, and options among which some are secret.

Every print masks them; only `get_secret_value()` and item access give the real thing.
"""

import re
from collections.abc import Mapping
from typing import Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

# User and password of any URL in a text, up to the last @ before a blank: a password may hold an @ that should
# have been encoded, and showing its second half would be showing it.
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^:/@\s]*)(?P<rest>[^\s]*)@", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<name>[?&\s](?:ssl)?pass(?:word|file)?|[?&]token|[?&]secret)=(?P<value>[^&\s]*)", re.IGNORECASE
)
_SECRET_OPTION = re.compile(r"password|secret|token|jaas|\.pem$|oauthbearer\.config|sasl\.username", re.IGNORECASE)


def mask(text: str, *, user: bool = True) -> str:
    """Return *text* with every URL's password replaced; without *user*, the user's name too (a key in some schemes)."""

    def shown(found: re.Match[str]) -> str:
        # A user alone is no secret; nor is the example in our own messages.
        if user and found["rest"] in {"", ":password"}:
            return found[0]
        return f"{found['scheme']}{found['user']}:***@" if user else f"{found['scheme']}***@"

    return _QUERY.sub(r"\g<name>=***", _USERINFO.sub(shown, text))


class SecretUrl:
    """An address that may hold a secret."""

    shows_user = False

    def __init__(self, value: str) -> None:
        """Hold *value* as it is."""
        self._value = value

    def get_secret_value(self) -> str:
        """Return the address with its secret, for a driver and nothing else."""
        return self._value

    def __str__(self) -> str:
        """Return the address masked."""
        return mask(self._value, user=self.shows_user)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other._value == self._value

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return *value* as this class; a `ValueError` names what is wrong and never shows the value."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, str) or not value:
            raise ValueError("expected an address")
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


class Options(dict[str, str]):
    """Options of a driver by name; some are secret, so a print shows none of those."""

    def masked(self) -> Mapping[str, str]:
        """Return the options with the secret ones replaced."""
        return {name: "***" if _SECRET_OPTION.search(name) else value for name, value in self.items()}

    def __repr__(self) -> str:
        return repr(self.masked())

    __str__ = __repr__
