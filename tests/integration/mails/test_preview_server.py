"""Previews are served on this machine, load nothing, and show a change by themselves."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from mailer.preview import CHANGES, Previews, stamp
from tests.support.mails import MailFiles
from tests.support.waiting import wait_until

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass(frozen=True, slots=True)
class Served:
    mail: MailFiles
    previews: Previews
    url: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers=headers, trust_env=False, timeout=60)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    mail = MailFiles(tmp_path / "mails")
    with Previews(mail.root, port=0) as previews:
        serving = threading.Thread(target=previews.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield Served(mail, previews, f"http://127.0.0.1:{previews.server_port}")
        previews.shutdown()
        serving.join()


def test_a_mail_is_served_as_it_would_be_read(served: Served) -> None:
    answer = served.get("/greeting/typical/en.html")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Good day." in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_nothing_else_is_served(served: Served) -> None:
    for path in ("/../../etc/passwd", "/greeting/mail.toml", "/_base/brand.toml"):
        assert served.get(path).status_code == 404


def test_it_listens_on_this_machine_only(served: Served) -> None:
    assert served.previews.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/greeting/typical/en.html", f"{CHANGES}x"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost@evil.example"]
)
def test_a_name_of_others_that_leads_here_is_not_answered(served: Served, path: str, host: str) -> None:
    answer = served.get(path, Host=host)

    assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST
    assert "Good day" not in answer.text


def test_localhost_is_this_machine(served: Served) -> None:
    assert served.get("/", Host=f"localhost:{served.previews.server_port}").status_code == 200


def test_a_page_that_waits_is_told_when_a_file_was_changed(served: Served) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(served.get, f"{CHANGES}{stamp(served.mail.root)}")
        served.mail.replace("body.txt", "Good day.", "Good night, and more.")

        assert waiting.result(timeout=60).text == "changed\n"


def test_a_page_that_waits_is_let_go_when_the_previews_end(served: Served) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(served.previews.changed, stamp(served.mail.root))
        served.previews.closing.set()

        assert waiting.result(timeout=60) is False


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_a_change_by_itself(served: Served, tmp_path: Path) -> None:
    asked: list[str] = []

    def pages() -> int:
        return asked.count("/greeting/typical/en")

    def waits() -> int:
        return sum(path.startswith(CHANGES) for path in asked)

    def within(condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, timeout_seconds=60, what=what)

    watch(served.previews, asked.append)
    url = f"{served.url}/greeting/typical/en"
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path}/b",
    )
    with subprocess.Popen(
        [str(BROWSER), *options, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as browser:
        try:
            within(lambda: pages() == 1 and waits() == 1, "the page, and its question")
            served.mail.replace("body.txt", "Good day.", "{{ payload.nope }}")
            # The page that says what is wrong asks too, until the mistake is mended.
            within(lambda: pages() == 2 and waits() == 2, "the page again")
            served.mail.replace("body.txt", "{{ payload.nope }}", "Good day.")
            within(lambda: pages() == 3, "the page once more")
        finally:
            browser.terminate()


def watch(previews: Previews, tell: Callable[[str], None]) -> None:
    """Tell the path of each request from now on."""

    class Watched(previews.RequestHandlerClass):  # type: ignore[misc, name-defined]  # the handler is the server's own
        def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
            tell(self.path)
            super().do_GET()

    previews.RequestHandlerClass = Watched
