"""One-click unsubscription (RFC 8058): the headers of a mail, and whose link is clicked.

A link carries the recipient's key, signed, and no address. It never runs out: a mail is read when it is found.
"""

import base64
from collections.abc import Mapping

from itsdangerous import BadSignature, URLSafeSerializer
from pydantic import SecretStr

PATH = "/unsubscribe/"
_SALT = "outbox/unsubscribe"
_KEY_BYTES = 32


class Unsubscribing:
    """Signs and reads links."""

    def __init__(self, base: str, secret: SecretStr) -> None:
        """Make links below *base*; the first word of *secret* signs, any of them is good for reading."""
        self._base = base.rstrip("/")
        newest_last = [word.encode() for word in reversed(secret.get_secret_value().split())]
        self._signer = URLSafeSerializer(newest_last, salt=_SALT)

    def headers(self, key: bytes) -> Mapping[str, str]:
        """Return the headers by which the recipient with *key* unsubscribes with one click."""
        return {
            "List-Unsubscribe": f"<{self._base}{PATH}{self.token(key)}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    def token(self, key: bytes) -> str:
        """Return the part of a link that names the recipient with *key*."""
        token: str | bytes = self._signer.dumps(base64.urlsafe_b64encode(key).decode("ascii"))
        return token if isinstance(token, str) else token.decode("ascii")

    def key_of(self, token: str) -> bytes | None:
        """Return whose link *token* is of; nothing when we did not sign it."""
        try:
            encoded = self._signer.loads(token)
            key = base64.urlsafe_b64decode(encoded)
        except (BadSignature, ValueError, TypeError):
            return None
        return key if len(key) == _KEY_BYTES else None
