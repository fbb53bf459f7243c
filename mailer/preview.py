"""Every mail with every sample in every language, in a browser: read from the files again at each request.

Served on this machine only, and to requests for it by its own name: a page elsewhere that resolves its name to
127.0.0.1 would else read the mails through the author's browser. The mails are shown in frames that may run nothing and
load nothing. A page asks whether a file has changed since it was made, and loads itself again then.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from jinja2 import Environment

from mailer.compose import compose
from mailer.errors import MailerError
from mailer.lint_rendered import sample_event
from mailer.mail_folders import MailFolder, read_sample
from mailer.rendering import Library, Rendered, shipped_templates

HOST = "127.0.0.1"
# Where a page asks, and how long an answer of "nothing yet" may take; files are looked at so often meanwhile.
CHANGES = "/changes?since="
_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.2
_LOCAL_NAMES: Final = frozenset(("127.0.0.1", "localhost"))
# A preview loads nothing and runs nothing; our own page shows frames of itself, and its style and script are inline.
_MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; frame-ancestors 'self'; sandbox"
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; connect-src 'self'; script-src 'nonce-{nonce}';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
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
    policy: str


def stamp(path: Path | None) -> str:
    """Return what is another text as soon as a file of the library in *path*, or of the shipped one, is another."""
    roots = sorted({shipped_templates(), path or shipped_templates()})
    seen = [(str(file), _state(file)) for root in roots for file in sorted(root.rglob("*"))]
    return sha256(repr(seen).encode()).hexdigest()[:16]


def _state(file: Path) -> tuple[int, int] | None:
    try:
        facts = file.stat()
    except OSError:  # an editor that writes anew and renames was between the two
        return None
    return facts.st_mtime_ns, facts.st_size


def page(path: Path | None, url: str) -> Page:
    """Return what the library in *path* has under *url*: `/`, `/MAIL/SAMPLE/LOCALE`, that with .html, .txt or .eml."""
    # Taken before anything is read: what is written meanwhile makes the page load itself again.
    made_of = stamp(path)
    try:
        library = Library.load(path)
        parts = [unquote(part) for part in url.partition("?")[0].split("/")[1:]]
        if parts == [""]:
            return _html(HTTPStatus.OK, title="Mails", stamp=made_of, folders=list(_overview(library)))
        return _case(library, parts, made_of)
    except MailerError as error:
        wrong = HTTPStatus.UNPROCESSABLE_ENTITY
        return _html(wrong, title="A mail cannot be shown", stamp=made_of, problem=str(error), case="/")


class Previews(ThreadingHTTPServer):
    """Serves the library in *path* on this machine; port 0 is a free one."""

    def __init__(self, path: Path | None, *, port: int) -> None:
        """Listen, and serve nothing yet."""
        self.path = path
        self.closing = threading.Event()
        super().__init__((HOST, port), _Handler)

    def changed(self, since: str) -> bool:
        """Return whether the files are not what they were when *since* was their stamp; wait some time for it."""
        for _ in range(int(_PATIENCE_SECONDS / _LOOK_SECONDS)):
            if stamp(self.path) != since:
                return True
            if self.closing.wait(_LOOK_SECONDS):
                break
        return False

    def server_close(self) -> None:
        """Stop listening, and let the pages that wait go."""
        self.closing.set()
        super().server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that went away while it waited."""


class _Handler(BaseHTTPRequestHandler):
    server: Previews

    def do_GET(self) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in _LOCAL_NAMES:
            self._answer(_plain(HTTPStatus.MISDIRECTED_REQUEST, "expected a request to this machine\n"))
        elif self.path.startswith(CHANGES):
            changed = self.server.changed(self.path.removeprefix(CHANGES))
            self._answer(_plain(HTTPStatus.OK, "changed\n" if changed else "the same\n"))
        else:
            self._answer(page(self.server.path, self.path))

    def _answer(self, answer: Page) -> None:
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


def serve(path: Path | None, *, port: int, started: Callable[[str], None]) -> None:
    """Serve previews until interrupted; *started* is told the address."""
    with Previews(path, port=port) as previews:
        started(f"http://{HOST}:{previews.server_port}/")
        previews.serve_forever(poll_interval=0.1)


def _overview(library: Library) -> Iterator[tuple[MailFolder, list[tuple[str, list[tuple[str, str]]]]]]:
    for folder in library.sources.folders.values():
        yield folder, [(sample.stem, _languages(library, folder, sample.stem)) for sample in folder.samples]


def _languages(library: Library, folder: MailFolder, stem: str) -> list[tuple[str, str]]:
    """Return each language of a mail, with where its preview with the sample *stem* is."""
    name = folder.mail.name
    return [(locale, _url(name, stem, locale)) for locale in library.locales_of(name)]


def _url(name: str, stem: str, locale: str) -> str:
    return f"/{name}/{quote(stem)}/{locale}"


def _case(library: Library, parts: list[str], made_of: str) -> Page:
    match parts:
        case [name, stem, last] if name in library.sources.folders:
            kind = Path(last).suffix if Path(last).suffix in _KINDS else ""
            locale = last.removesuffix(kind)
        case _:
            return _not_found(made_of)
    folder = library.folder(name)
    sample = next((sample for sample in folder.samples if sample.stem == stem), None)
    if sample is None or locale not in library.locales_of(name):
        return _not_found(made_of)
    payload = read_sample(sample)
    rendered = library.render(name, payload=payload, event=sample_event(folder), locale=locale)
    if kind:
        return Page(HTTPStatus.OK, _KINDS[kind], _part(kind, rendered), _MAIL_POLICY)
    return _html(
        HTTPStatus.OK,
        title=name,
        stamp=made_of,
        case=_url(name, stem, locale),
        samples=[(one.stem, _url(name, one.stem, locale)) for one in folder.samples],
        locales=_languages(library, folder, stem),
        rendered=rendered,
        source=_part(".eml", rendered).decode(),
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


def _not_found(made_of: str) -> Page:
    problem = "no mail, sample or language of that name"
    return _html(HTTPStatus.NOT_FOUND, title="No such mail", stamp=made_of, problem=problem, case="/")


def _html(status: HTTPStatus, **values: object) -> Page:
    nonce = secrets.token_urlsafe(16)
    content = _TEMPLATE.render(nonce=nonce, changes=CHANGES, **values)
    return Page(status, "text/html", content.encode(), _PAGE_POLICY.format(nonce=nonce))


def _plain(status: HTTPStatus, text: str) -> Page:
    return Page(status, "text/plain", text.encode(), _MAIL_POLICY)
