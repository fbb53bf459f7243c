"""The Starlette application: routes, who may pass, and errors as pages."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from console import dead, output
from console.errors import ConsoleError, NotFoundError, UsageError
from console.settings import ConsoleSettings
from console.web import pages
from console.web.guard import HEADERS, Guard
from outbox.errors import OutboxError

_FOLDER: Final = Path(__file__).parent / "templates"
_LARGEST_FORM: Final = 65_536
Endpoint = Callable[[Request], Awaitable[Response]]


def make(settings: ConsoleSettings, guard: Guard) -> Starlette:
    """Return the application; it connects at each request, and keeps nothing between two."""
    console = _Console(settings, guard)
    routes = [
        Route("/", console.guarded(console.status)),
        Route("/dead", console.guarded(console.list)),
        Route("/dead/plan", console.guarded(console.plan)),
        Route("/dead/act", console.guarded(console.act), methods=["POST"]),
        Route("/dead/{id:int}", console.guarded(console.show)),
        Route("/style.css", _style),
        Route("/livez", _live),
    ]
    return Starlette(routes=routes)


class _Console:
    def __init__(self, settings: ConsoleSettings, guard: Guard) -> None:
        self._settings, self._guard = settings, guard
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            age=output.age,
            moment=output.moment,
            number=lambda value: f"{value:,}",
            query=urlencode,
        )

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Return *endpoint* behind the guard; what we raise becomes a page."""

        async def checked(request: Request) -> Response:
            answer = self._guard.refusal(request)
            if answer is None:
                try:
                    answer = await endpoint(request)
                except OutboxError as error:
                    answer = self._page(
                        request,
                        "error.html",
                        {"error": error, "fixes": getattr(error, "__notes__", ())},
                        status_code=_code(error),
                    )
            answer.headers.update(HEADERS)
            return answer

        return checked

    async def status(self, request: Request) -> Response:
        """Show what waits and what is stuck."""
        return self._page(request, "status.html", await run_in_threadpool(pages.status_page, self._settings))

    async def list(self, request: Request) -> Response:
        """Show dead letters."""
        values = await run_in_threadpool(pages.list_page, self._settings, dict(request.query_params))
        return self._page(request, "dead.html", values)

    async def show(self, request: Request) -> Response:
        """Show one dead letter."""
        values = await run_in_threadpool(pages.show_page, self._settings, request.path_params["id"])
        return self._page(request, "dead_letter.html", values)

    async def plan(self, request: Request) -> Response:
        """Show what a redrive or discard would do."""
        query = dict(request.query_params)
        action: dead.Action = "redrive" if query.get("action") == "redrive" else "discard"
        values = await run_in_threadpool(lambda: pages.plan_page(self._settings, query, action=action))
        return self._page(request, "plan.html", values)

    async def act(self, request: Request) -> Response:
        """Redrive or discard, for who signed in and sends a form of ours."""
        actor = self._guard.actor(request)
        if actor is None:
            return PlainTextResponse("read-only: set OUTBOX_CONSOLE_PASSWORD to act here\n", 403)
        form = await _form(request)
        if form is None or not self._guard.may_act(actor, form.get("token", "")):
            return PlainTextResponse(
                "this form is not ours, or the console was started anew: load the page again\n", 403
            )
        values = await run_in_threadpool(lambda: pages.act(self._settings, form, actor=actor))
        return self._page(request, "done.html", values)

    def _page(self, request: Request, name: str, values: Mapping[str, Any], *, status_code: int = 200) -> Response:
        actor = self._guard.actor(request)
        token = self._guard.token(actor) if actor else None
        where = str(self._settings.database_url.address())
        html = self._templates.get_template(name).render(**values, actor=actor, token=token, where=where)
        return HTMLResponse(html, status_code)


def _code(error: OutboxError) -> int:
    match error:
        case NotFoundError():
            return 404
        case UsageError():
            return 400
        case ConsoleError():
            return 409
        case _:
            return 503


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a posted form; None for what is none, or too large to be one of ours."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            return None
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


async def _style(_request: Request) -> Response:
    return Response(
        (_FOLDER / "style.css").read_text(encoding="utf-8"),
        media_type="text/css",
        headers={"cache-control": "max-age=60"},
    )


async def _live(_request: Request) -> Response:
    return PlainTextResponse("live\n")
