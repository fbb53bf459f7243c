"""Making a mail asks nobody and reads no file: a server that would notice is asked for nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.support.mails import MailFiles


class Noticing(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Noticing

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/css")
        self.end_headers()
        self.wfile.write(b"p { color: rgb(1, 2, 3); }")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        pass


@pytest.fixture
def elsewhere() -> Iterator[Noticing]:
    with Noticing() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def test_no_stylesheet_is_fetched_and_no_file_is_read(elsewhere: Noticing, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{elsewhere.server_port}"
    secret = tmp_path / "secret.css"
    secret.write_text("p { color: rgb(4, 5, 6); }")
    links = [
        f"{url}/a.css",
        f"file://{secret}",
        str(secret),
        f"//127.0.0.1:{elsewhere.server_port}/b.css",
        "secret.css",
    ]
    head = "".join(f'<link rel="stylesheet" href="{link}">' for link in links)
    style = (
        f"<style>@import url({url}/c.css); @import url(file://{secret}); p {{ background: url({url}/d.png) }}</style>"
    )
    mail = MailFiles(tmp_path / "mails")
    mail.write("body.html", f'<html><head><base href="{url}/">{head}{style}</head><body><p>x</p></body></html>')

    html = str(mail.render({"email": "ada@example.com", "name": "Ada"}).html)

    assert elsewhere.asked == []
    assert "rgb(1, 2, 3)" not in html
    assert "rgb(4, 5, 6)" not in html
    # And the server would have noticed.
    assert httpx.get(f"{url}/a.css", trust_env=False).status_code == 200
    assert elsewhere.asked == ["/a.css"]
