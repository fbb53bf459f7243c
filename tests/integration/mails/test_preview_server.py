"""Previews are served on this machine, and may load nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mailer.preview import server
from tests.support.mails import MailFiles


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with server(MailFiles(tmp_path).root, port=0) as previews:
        serving = threading.Thread(target=previews.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield f"http://127.0.0.1:{previews.server_port}"
        previews.shutdown()
        serving.join()


def test_a_mail_is_served_as_it_would_be_read(url: str) -> None:
    answer = httpx.get(f"{url}/greeting/typical/en.html", trust_env=False)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Good day." in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_nothing_else_is_served(url: str) -> None:
    for path in ("/../../etc/passwd", "/greeting/mail.toml", "/_base/brand.toml"):
        assert httpx.get(f"{url}{path}", trust_env=False).status_code == 404


def test_it_listens_on_this_machine_only(tmp_path: Path) -> None:
    with server(MailFiles(tmp_path).root, port=0) as previews:
        assert previews.server_address[0] == "127.0.0.1"
