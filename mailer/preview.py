"""Every mail with every sample in every language, in a browser: read from the files again at each request.

Served on this machine only. The mails are shown in frames that may run nothing and load nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

from jinja2 import Environment

from mailer.compose import compose
from mailer.errors import MailerError
from mailer.lint_rendered import sample_event
from mailer.mail_folders import MailFolder, read_sample
from mailer.rendering import Library, Rendered

HOST = "127.0.0.1"
# A preview loads nothing and runs nothing; our own page shows frames of itself and has its style inline.
_MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; frame-ancestors 'self'; sandbox"
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"
# Any moment does, as long as a preview looks the same twice.
_PREVIEWED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_TEMPLATE = Environment(autoescape=True).from_string(Path(__file__).with_suffix(".html").read_text("utf-8"))
_KINDS = {".html": "text/html", ".txt": "text/plain", ".eml": "text/plain"}


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a browser."""

    status: HTTPStatus
    content_type: str
    content: bytes
    policy: str = _PAGE_POLICY


def page(path: Path | None, url: str) -> Page:
    """Return what the library in *path* has under *url*: `/`, `/MAIL/SAMPLE/LOCALE`, that with .html, .txt or .eml."""
    try:
        library = Library.load(path)
        parts = [unquote(part) for part in url.partition("?")[0].split("/")[1:]]
        if parts == [""]:
            return _html(HTTPStatus.OK, title="Mails", folders=list(_overview(library)))
        return _case(library, parts)
    except MailerError as error:
        return _html(HTTPStatus.UNPROCESSABLE_ENTITY, title="A mail cannot be shown", problem=str(error), case="/")


def server(path: Path | None, *, port: int) -> ThreadingHTTPServer:
    """Return a server of previews that listens on this machine; 0 is a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = page(path, self.path)
            self.send_response(answer.status)
            self.send_header("Content-Type", f"{answer.content_type}; charset=utf-8")
            self.send_header("Content-Length", str(len(answer.content)))
            self.send_header("Content-Security-Policy", answer.policy)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
            """Say nothing: the author looks at the browser."""

    return ThreadingHTTPServer((HOST, port), Handler)


def serve(path: Path | None, *, port: int, started: Callable[[str], None]) -> None:
    """Serve previews until interrupted; *started* is told the address."""
    with server(path, port=port) as previews:
        started(f"http://{HOST}:{previews.server_port}/")
        previews.serve_forever(poll_interval=0.1)


def _overview(library: Library) -> Iterator[tuple[MailFolder, list[tuple[str, list[tuple[str, str]]]]]]:
    for folder in library.sources.folders.values():
        name = folder.mail.name
        yield (
            folder,
            [
                (
                    sample.stem,
                    [(locale, f"/{name}/{quote(sample.stem)}/{locale}") for locale in library.locales_of(name)],
                )
                for sample in folder.samples
            ],
        )


def _case(library: Library, parts: list[str]) -> Page:
    match parts:
        case [name, stem, last] if name in library.sources.folders:
            kind = Path(last).suffix if Path(last).suffix in _KINDS else ""
            locale = last.removesuffix(kind)
        case _:
            return _not_found()
    folder = library.folder(name)
    sample = next((sample for sample in folder.samples if sample.stem == stem), None)
    if sample is None or locale not in library.locales_of(name):
        return _not_found()
    payload = read_sample(sample)
    rendered = library.render(name, payload=payload, event=sample_event(folder), locale=locale)
    if kind:
        return Page(HTTPStatus.OK, _KINDS[kind], _part(kind, rendered), _MAIL_POLICY)
    return _html(
        HTTPStatus.OK, title=f"{name}, {stem}, {locale}", case=f"/{name}/{quote(stem)}/{locale}", rendered=rendered
    )


def _part(kind: str, rendered: Rendered) -> bytes:
    match kind:
        case ".html":
            return (rendered.html or "").encode()
        case ".txt":
            return rendered.text.encode()
        case _:
            return compose(
                rendered,
                message_id="<preview@example.com>",
                sender="Example <no-reply@example.com>",
                recipient="ada@example.com",
                date=_PREVIEWED_AT,
            )


def _not_found() -> Page:
    return _html(
        HTTPStatus.NOT_FOUND, title="No such mail", problem="no mail, sample or language of that name", case="/"
    )


def _html(status: HTTPStatus, **values: object) -> Page:
    return Page(status, "text/html", _TEMPLATE.render(**values).encode())
