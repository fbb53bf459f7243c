"""What people use instead, each given all its mails before the first is sent: what is compared is sending alone."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bench.mail.texts import PAYLOAD, usual_texts
from bench.peers.environment import python
from bench.programs import REPOSITORY, figures_of, inherited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.mail.flow import Flow
    from bench.mail.sink import Accepted, Sink

_FOLDER = Path(__file__).parent
_DATABASE = "bench_post_office"
# Twice the cores: each waits for the server most of the time.
USUAL_PROCESSES = 4


def usual(flow: Flow, sink: Sink, count: int, *, processes: int = USUAL_PROCESSES) -> Accepted:
    """Return what a Celery task a mail, on the same broker, had accepted."""
    settings = {**flow.settings, "OUTBOX_MAILER_PROCESSES": str(processes)}
    figures_of("bench.mail.usual_process", (count,), settings)
    words = ["-A", "bench.mail.usual_app", "--quiet", "worker", "--loglevel", "WARNING"]
    sink.begin()
    with _process([sys.executable, "-m", "celery", *words], settings):
        return sink.wait(count)


def post_office(flow: Flow, sink: Sink, count: int) -> Accepted:
    """Return what `send_queued_mail` of django-post-office had accepted."""
    with psycopg.connect(flow.servers.database_url, autocommit=True) as connection:
        if not connection.execute("select from pg_database where datname = %s", (_DATABASE,)).fetchone():
            connection.execute(f"create database {_DATABASE}".encode())
    asked = {
        "database_url": flow.servers.database_url,
        "database": _DATABASE,
        "mail_dsn": sink.dsn,
        "texts": usual_texts(),
        "payload": PAYLOAD,
        "count": count,
    }
    _post_office("enqueue", asked)
    sink.begin()
    began = json.loads(_post_office("send", asked).splitlines()[0])["began"]
    return replace(sink.wait(count), first=began)


def _post_office(verb: str, asked: object) -> bytes:
    """Return what it printed."""
    words = [str(python(_FOLDER / "post_office.lock")), str(_FOLDER / "post_office_process.py"), verb]
    ended = subprocess.run(words, input=json.dumps(asked).encode(), capture_output=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"expected django-post-office to {verb}, got:\n{ended.stderr.decode()[-4000:]}")
    return ended.stdout


@contextmanager
def _process(words: list[str], settings: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        words, env=inherited(settings), cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
