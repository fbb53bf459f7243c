"""The sink's pages and its JSON.

    GET  /                           the mails, newest first
    GET  /mails/ID[?view=text]       one mail: HTML (in a sandboxed frame), text or source
    GET  /mails/ID/html|text|source  the parts themselves
    GET  /api/mails[?recipient=…]    as JSON · GET /api/mails/ID · DELETE /api/mails forgets them
    POST /api/scripts                take {"recipient": …, "replies": […], "phase": "rcpt"} · DELETE forgets
    GET  /api/traffic                counts of connections and commands

Mails come from anywhere, so they are treated as hostile: their HTML is served under a policy that forbids scripts,
forms and loading, whether framed or opened by itself. Other sites cannot read or write through a browser either:
requests must name a loopback host, and those that change something must be JSON, which a foreign page may not send.
"""

from email.utils import format_datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from devstack.sink.mailbox import Mail, Mailbox
from devstack.sink.receiver import Traffic
from devstack.sink.script import Script, ScriptError

# The flags of the frame and of the policy: links open in a new tab, nothing else works.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
MAIL_POLICY = f"sandbox {SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
VIEWS = ("html", "text", "source")


class Pages:
    """Answers requests from the mailbox."""

    def __init__(self, mailbox: Mailbox, script: Script, traffic: Traffic) -> None:
        self._mailbox = mailbox
        self._script = script
        self._traffic = traffic
        loader = FileSystemLoader(Path(__file__).with_name("pages"))
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)

    async def index(self, _request: Request) -> Response:
        """Return the list of mails."""
        return self._page("index.html", mails=self._mailbox.all()[::-1])

    async def mail(self, request: Request) -> Response:
        """Return the page of one mail."""
        mail = self._wanted(request)
        present = [view for view in VIEWS if _part(mail, view) is not None]
        view = request.query_params.get("view", present[0])
        if view not in present:
            raise HTTPException(404, f"mail {mail.id} has no {view}")
        text = None if view == "html" else _part(mail, view)
        return self._page("mail.html", mail=mail, view=view, views=present, text=text, sandbox=SANDBOX)

    async def part(self, request: Request) -> Response:
        """Return the HTML, text or source of a mail by itself."""
        mail, view = self._wanted(request), str(request.path_params["view"])
        content = _part(mail, view) if view in VIEWS else None
        if content is None:
            raise HTTPException(404, f"mail {mail.id} has no {view}")
        kind = "text/html" if view == "html" else "text/plain"
        return Response(content, media_type=kind, headers=_headers(MAIL_POLICY))

    async def list_mails(self, request: Request) -> Response:
        """Return the mails as JSON, or forget them."""
        if request.method == "DELETE":
            self._mailbox.clear()
            return JSONResponse({"mails": []})
        mails = self._mailbox.all(recipient=request.query_params.get("recipient"))
        return JSONResponse({"mails": [_as_json(mail) for mail in mails]})

    async def one_mail(self, request: Request) -> Response:
        """Return one mail as JSON, with its bodies and source."""
        mail = self._wanted(request)
        bodies = {"text": mail.text, "html": mail.html, "source": mail.source.decode(errors="replace")}
        return JSONResponse(_as_json(mail) | {"headers": _header_list(mail)} | bodies)

    async def scripts(self, request: Request) -> Response:
        """Take a script, or forget all."""
        if request.method == "DELETE":
            self._script.clear()
            return JSONResponse({})
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise HTTPException(415, "expected application/json")
        try:
            wanted = await request.json()
            self._script.set(wanted["recipient"], wanted["replies"], phase=wanted.get("phase", "rcpt"))
        except (ScriptError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise HTTPException(422, f"not a script: {problem}") from problem
        return JSONResponse(wanted, status_code=201)

    async def counts(self, _request: Request) -> Response:
        """Return the traffic's counts as JSON."""
        return JSONResponse(self._traffic.read())

    def _page(self, name: str, **values: object) -> Response:
        return HTMLResponse(self._templates.get_template(name).render(values), headers=_headers(PAGE_POLICY))

    def _wanted(self, request: Request) -> Mail:
        mail = self._mailbox.get(request.path_params["id"])
        if mail is None:
            raise HTTPException(404, "no such mail")
        return mail


def application(mailbox: Mailbox, script: Script, traffic: Traffic) -> Starlette:
    """Return the web application over *mailbox* and *script*."""
    pages = Pages(mailbox, script, traffic)
    routes = [
        Route("/", pages.index),
        Route("/mails/{id:int}", pages.mail),
        Route("/mails/{id:int}/{view}", pages.part),
        Route("/api/mails", pages.list_mails, methods=["GET", "DELETE"]),
        Route("/api/mails/{id:int}", pages.one_mail),
        Route("/api/scripts", pages.scripts, methods=["POST", "DELETE"]),
        Route("/api/traffic", pages.counts),
    ]
    local = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False)
    return Starlette(routes=routes, middleware=[local], exception_handlers={HTTPException: _refusal})


async def _refusal(_request: Request, error: Exception) -> Response:
    """Return an error as JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=_headers(PAGE_POLICY))


def _headers(policy: str) -> dict[str, str]:
    return {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def _part(mail: Mail, view: str) -> str | None:
    """Return the *view* of *mail* as text."""
    match view:
        case "html":
            return mail.html
        case "text":
            return mail.text
        case _:
            return mail.source.decode(errors="replace")


def _header_list(mail: Mail) -> list[list[str]]:
    return [[name, str(value)] for name, value in mail.message.items()]


def _as_json(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "date": format_datetime(mail.received_at),
        "sender": mail.sender,
        "recipients": list(mail.recipients),
        "subject": mail.subject,
        "message_id": mail.header("Message-ID"),
        "size": len(mail.source),
        "tls": mail.tls,
        "attachments": list(mail.attachments),
    }
