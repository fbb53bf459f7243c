"""`outbox mailer listen` as it is run: strangers' HTTP comes in, rows go out, a signal ends it."""

import base64
import hmac
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from mailer.unsubscribing import Unsubscribing
from tests.acceptance.mailer.pipeline import COMMAND, Process
from tests.support.servers import unreachable

KEY = bytes(range(32))
SECRET = "of nobody"  # noqa: S105 - the test's own
SIGNING = base64.b64encode(b"of nobody at all").decode()
HEARS = {
    "OUTBOX_MAIL_UNSUBSCRIBE_URL": "https://mail.example.org",
    "OUTBOX_MAIL_UNSUBSCRIBE_SECRET": SECRET,
    "OUTBOX_MAIL_HOOK_RESEND_SECRET": f"whsec_{SIGNING}",
}
Query = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def query(database: str) -> Iterator[Query]:
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:

        def run(statement: str, *arguments: object) -> list[dict[str, Any]]:
            return connection.execute(statement.encode(), arguments).fetchall()

        yield run


@pytest.fixture
def environment(database: str) -> Mapping[str, str]:
    return unreachable(os.environ) | {  # noqa: TID251 - what the process inherits
        "OUTBOX_DATABASE_URL": f"{database}?options=-c%20role%3Doutbox_mailer",
        "OUTBOX_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "OUTBOX_MAIL_DSN": "null:",
        "OUTBOX_MAIL_FROM": "no-reply@example.com",
        "OUTBOX_MAILER_LISTEN_PORT": "0",
        "OUTBOX_LOG_FORMAT": "json",
    }


@pytest.fixture
def listening(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Process]:
    process = Process("listener", (*COMMAND, "mailer", "listen"), {**environment, **HEARS}, tmp_path)
    try:
        yield process.wait_for("mailer.endpoint.opened")
    finally:
        if process.popen.poll() is None:
            process.kill()


def address(process: Process) -> str:
    [line] = [line for line in process.said.splitlines() if "mailer.endpoint.opened" in line]
    url: str = json.loads(line)["url"]
    return url


def bounced(message: uuid.UUID) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a webhook as Resend sends it."""
    bounce = {"type": "Permanent", "subType": "General", "message": "no such user"}
    data = {"to": ["ada@example.com"], "tags": {"delivery": str(message)}, "bounce": bounce}
    body = json.dumps({"type": "email.bounced", "data": data}).encode()
    now = f"{time.time():.0f}"
    mac = hmac.digest(base64.b64decode(SIGNING), f"msg_1.{now}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return body, {"svix-id": "msg_1", "svix-timestamp": now, "svix-signature": signature}


def sent(query: Query) -> uuid.UUID:
    """Return the message of a delivery that a server has accepted."""
    [row] = query(
        "insert into outbox.delivery (event_id, event_type, aggregate_type, aggregate_id, mail, recipient,"
        " recipient_key, payload, state, expires_at) values (gen_random_uuid(), 'user.registered', 'user', '42',"
        " 'account_verification', 'ada@example.com', %s, '{}', 'sent', now() + interval '1 day')"
        " returning message_uuid",
        b"of ada",
    )
    message = row["message_uuid"]
    assert isinstance(message, uuid.UUID)
    return message


def test_clicks_and_hooks_become_rows_and_a_signal_ends_it(listening: Process, query: Query) -> None:
    link = Unsubscribing("", SecretStr(SECRET)).token(KEY)
    body, headers = bounced(sent(query))

    with httpx.Client(base_url=address(listening), trust_env=False) as client:
        answers = [
            client.post(f"/unsubscribe/{link}", data={"List-Unsubscribe": "One-Click"}),
            client.post("/hooks/resend", content=body, headers=headers),
            client.post("/hooks/resend", content=body, headers={**headers, "svix-signature": "v1,AAAA"}),
            client.post("/hooks/postmark", content=b"{}"),
            client.get("/livez"),
        ]
    code = listening.stop()

    assert [answer.status_code for answer in answers] == [200, 200, 401, 404, 200]
    assert query("select recipient_key, reason, undeliverable from outbox.suppression order by reason") == [
        {"recipient_key": b"of ada", "reason": "bounced", "undeliverable": True},
        {"recipient_key": KEY, "reason": "unsubscribed", "undeliverable": False},
    ]
    assert query("select state from outbox.delivery") == [{"state": "bounced"}]
    assert code == 0
    assert link not in listening.said
    assert "ada@example.com" not in listening.said


def test_with_nothing_to_listen_for_it_says_so_and_exits_with_2(environment: Mapping[str, str]) -> None:
    ended = subprocess.run(
        [*COMMAND, "mailer", "listen"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 2
    assert "nothing to listen for: no OUTBOX_MAIL_UNSUBSCRIBE_… and no OUTBOX_MAIL_HOOK_… is set" in ended.stderr
