"""`outbox mailer listen`: what comes in by HTTP: clicks on List-Unsubscribe, and providers' webhooks.

It is the one part that strangers reach, by the reverse proxy that has the certificate. It believes a signature only,
shows no address, logs no path (a link is a key), and has nothing to say to anybody else.
"""

import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from mailer import pages
from mailer.bounce_record import record_bounce
from mailer.database import DATABASE_AWAY, Database
from mailer.hooks import Heard, HookRefusedError, HookRequest, postmark, resend
from mailer.settings import MailerSettings
from mailer.telemetry import logger
from mailer.unsubscribing import PATH, Unsubscribing

_LARGEST_BODY: Final = 1_048_576
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
Hook = Callable[[HookRequest], Heard]


class Inbox:
    """What is done in the database because of a request; one connection, one request at a time."""

    def __init__(self, database: Database) -> None:
        """Write to *database*."""
        self._database = database
        self._lock = threading.Lock()

    def unsubscribe(self, key: bytes) -> None:
        """Hold what is suppressible from the recipient with *key*."""
        with self._lock:
            self._database.rows("unsubscribe", {"recipient_key": key, "reason": "unsubscribed"})
        logger().info("mailer.recipient.unsubscribed")

    def record(self, heard: Heard) -> None:
        """Record every bounce and complaint of *heard*."""
        with self._lock:
            for bounce in heard.bounces:
                record_bounce(self._database, bounce)
            for complaint in heard.complaints:
                arguments = {"message_uuid": complaint, "reason": "complained"}
                if self._database.rows("unsubscribe_delivery", arguments):
                    logger().warning("mailer.recipient.complained", message=str(complaint))


@dataclass(frozen=True, slots=True)
class Listening:
    """The answers; whatever touches the database does so in a thread."""

    inbox: Inbox
    unsubscribing: Unsubscribing | None
    hooks: Mapping[str, Hook] = field(repr=False)

    def application(self) -> Starlette:
        """Return it as an application."""
        routes = [
            Route(f"{PATH}{{token}}", _guarded(self._ask), methods=["GET"]),
            Route(f"{PATH}{{token}}", _guarded(self._unsubscribe), methods=["POST"]),
            Route("/hooks/{name}", _guarded(self._hook), methods=["POST"]),
            Route("/livez", _live),
        ]
        return Starlette(routes=routes)

    async def _ask(self, request: Request) -> Response:
        return self._page(request, pages.unknown if self._key(request) is None else pages.ask)

    async def _unsubscribe(self, request: Request) -> Response:
        key = self._key(request)
        if key is None:
            return self._page(request, pages.unknown)
        await run_in_threadpool(self.inbox.unsubscribe, key)
        return self._page(request, pages.done)

    @staticmethod
    def _page(request: Request, page: Callable[[str], str]) -> Response:
        tongue = pages.language(request.headers.get("accept-language", ""))
        headers = {"content-language": tongue, "vary": "accept-language"}
        return HTMLResponse(page(tongue), 404 if page is pages.unknown else 200, headers)

    async def _hook(self, request: Request) -> Response:
        hook = self.hooks.get(request.path_params["name"])
        if hook is None:
            return PlainTextResponse("no such hook here\n", 404)
        # The other clock is the provider's, and minutes do: the database need not be asked for the time by strangers.
        now = datetime.now(UTC)  # noqa: TID251
        asked = HookRequest({name.lower(): value for name, value in request.headers.items()}, await _body(request), now)
        await run_in_threadpool(lambda: self.inbox.record(hook(asked)))
        return PlainTextResponse("heard\n")

    def _key(self, request: Request) -> bytes | None:
        return self.unsubscribing.key_of(request.path_params["token"]) if self.unsubscribing else None


def listening(settings: MailerSettings) -> Listening:
    """Return what *settings* describe; a hook whose secret is not set is not there."""
    hooks: dict[str, Hook] = {}
    if (secret := settings.mail_hook_resend_secret) is not None:
        hooks["resend"] = lambda request: resend.hear(request, secret=secret.get_secret_value())
    if (login := settings.mail_hook_postmark_login) is not None:
        hooks["postmark"] = lambda request: postmark.hear(request, login=login.get_secret_value())
    if (topic := settings.mail_hook_ses_topic) is not None:
        hooks["ses"] = _ses(topic)
    database = Database(settings.database_url, name="outbox mailer listen")
    return Listening(Inbox(database), settings.unsubscribing(), hooks)


def _ses(topic: str) -> Hook:
    from mailer.hooks import ses  # noqa: PLC0415 - cryptography comes with the extra `ses`

    known: dict[str, bytes] = {}

    def fetch(url: str) -> bytes:
        if url not in known:
            answer = httpx.get(url, timeout=10).raise_for_status()
            if url.endswith(".pem"):
                known[url] = answer.content
            return answer.content
        return known[url]

    return lambda request: ses.hear(request, topic=topic, fetch=fetch)


Endpoint = Callable[[Request], Awaitable[Response]]


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Return *endpoint* with its failures as answers: providers try again after 503, and not after 4xx."""

    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except HookRefusedError as error:
            logger().warning("mailer.hook.refused", hook=request.path_params.get("name"), reason=str(error))
            response = PlainTextResponse(f"{error}\n", error.status)
        except (*DATABASE_AWAY, httpx.HTTPError) as error:
            logger().warning("mailer.hook.postponed", error=type(error).__name__)
            response = PlainTextResponse("try again\n", 503, {"retry-after": "60"})
        response.headers.update(_HEADERS)
        return response

    return answer


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise HookRefusedError(f"expected at most {_LARGEST_BODY} bytes", status=413)
    return body


async def _live(_: Request) -> Response:
    return PlainTextResponse("live\n")
