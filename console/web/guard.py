"""Who may do what: everybody on this machine may look; only who signed in may act, and only from our own form.

Without a password the console answers requests to this machine's own name alone: a page elsewhere that resolves its
name to 127.0.0.1 would else read it through an operator's browser.
"""

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from console.errors import UsageError
from console.settings import ConsoleSettings
from runtime.loopback import is_loopback

# Nothing is loaded from elsewhere, no script runs, and no page of others may frame ours.
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules of one server; *key* makes the tokens of its forms, and dies with it."""

    user: str
    password: str | None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @classmethod
    def of(cls, settings: ConsoleSettings, *, host: str) -> "Guard":
        """Return the guard, or refuse to serve strangers without asking who they are."""
        password = settings.console_password.get_secret_value() if settings.console_password else None
        if not password and not is_loopback(host):
            error = UsageError(f"expected OUTBOX_CONSOLE_PASSWORD to be set before serving on {host}, got none")
            error.add_note("set it, or serve on 127.0.0.1; put TLS in front where the network is not yours")
            raise error
        return cls(settings.console_user, password or None)

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that may not be served; None for one that may."""
        if self.password is None:
            name = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
            return None if name in _LOCAL_NAMES else PlainTextResponse("expected a request to this machine\n", 421)
        if self.actor(request) is None:
            return PlainTextResponse("sign in\n", 401, {"www-authenticate": 'Basic realm="outbox", charset="UTF-8"'})
        return None

    def actor(self, request: Request) -> str | None:
        """Return who signed in; None without the right name and password."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if self.password is None or scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        # Both are compared, in constant time, whichever is wrong.
        right = [
            hmac.compare_digest(given.encode(), own.encode())
            for given, own in ((user, self.user), (password, self.password))
        ]
        return user if all(right) else None

    def token(self, actor: str) -> str:
        """Return what proves that a form is ours: a page of others cannot read it, though it could post."""
        return hmac.new(self.key, actor.encode(), "sha256").hexdigest()

    def may_act(self, actor: str, token: str) -> bool:
        """Return whether *token* came with a form of ours to *actor*."""
        return hmac.compare_digest(self.token(actor).encode(), token.encode())
