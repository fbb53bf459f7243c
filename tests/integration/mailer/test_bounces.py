"""What comes back after it was accepted: by notifications in a mailbox, and by providers' webhooks."""

import base64
import logging
import mailbox
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from itsdangerous import URLSafeSerializer
from pydantic import SecretStr
from starlette.testclient import TestClient

from mailer.bounce_record import record_bounce
from mailer.bounces import Bounce, bounced
from mailer.database import Database
from mailer.hooks import Heard, HookRequest
from mailer.hooks.heard import HookRefusedError
from mailer.listening import Inbox, Listening
from mailer.unsubscribing import Unsubscribing
from runtime.dsn import SecretDsn
from tests.integration.mailer.conftest import Query
from tests.support.operators import Operator
from tests.unit.mailer.test_bounces import failed, notification

Owe = Callable[..., int]
KEY = bytes(range(32))
UNSUBSCRIBING = Unsubscribing("https://mail.example.org", SecretStr("of nobody"))


def sent(owe: Owe, query: Query, state: str = "sent") -> UUID:
    delivery = owe(recipient_key=KEY)
    [row] = query("update outbox.delivery set state = %s where id = %s returning message_uuid", state, delivery)
    uuid = row["message_uuid"]
    assert isinstance(uuid, UUID)
    return uuid


def hard(message: UUID) -> Bounce:
    return bounced(message, reporter="ses", enhanced="5.1.1", code=550, text="no such user")


def soft(message: UUID) -> Bounce:
    return bounced(message, reporter="ses", enhanced="4.2.2", code=450, text="full")


def test_a_hard_bounce_marks_the_delivery_and_suppresses_the_recipient(
    mailer_database: Database, owe: Owe, query: Query
) -> None:
    assert record_bounce(mailer_database, hard(sent(owe, query)))

    assert query("select state from outbox.delivery") == [{"state": "bounced"}]
    assert query("select phase, code, enhanced_code, outcome, transport from outbox.attempt") == [
        {"phase": "bounce", "code": 550, "enhanced_code": "5.1.1", "outcome": "permanent", "transport": "ses"}
    ]
    assert query("select recipient_key, reason from outbox.suppression") == [
        {"recipient_key": KEY, "reason": "bounced"}
    ]


def test_a_soft_bounce_marks_the_delivery_and_suppresses_nobody(
    mailer_database: Database, owe: Owe, query: Query
) -> None:
    assert record_bounce(mailer_database, soft(sent(owe, query)))

    assert query("select state from outbox.delivery") == [{"state": "bounced"}]
    assert query("select 1 from outbox.suppression") == []


def test_a_bounce_that_is_told_twice_is_recorded_once(mailer_database: Database, owe: Owe, query: Query) -> None:
    message = sent(owe, query)

    assert record_bounce(mailer_database, hard(message))
    assert not record_bounce(mailer_database, hard(message))

    assert len(query("select 1 from outbox.attempt")) == 1


def test_a_bounce_of_what_is_in_doubt_is_evidence_for_whoever_decides(
    mailer_database: Database, owe: Owe, query: Query
) -> None:
    record_bounce(mailer_database, soft(sent(owe, query, "in_doubt")))

    assert query("select state from outbox.delivery") == [{"state": "in_doubt"}]
    assert query("select phase from outbox.attempt") == [{"phase": "bounce"}]


def test_a_message_that_was_never_sent_does_not_come_back(mailer_database: Database, owe: Owe, query: Query) -> None:
    assert not record_bounce(mailer_database, hard(sent(owe, query, "queued")))
    assert not record_bounce(mailer_database, hard(UUID(int=1)))

    assert query("select 1 from outbox.attempt union all select 1 from outbox.suppression") == []


# ------------------------------------------------------------------------------------------------- by notification


def arrived(folder: Path, *contents: bytes) -> mailbox.Maildir:
    box = mailbox.Maildir(folder, create=True)
    for content in contents:
        box.add(content)
    return box


def test_notifications_in_a_maildir_are_recorded_and_put_aside(
    outbox: Operator, owe: Owe, query: Query, tmp_path: Path
) -> None:
    message = sent(owe, query)
    returned = f"Message-ID: <{message}@example.org>\r\n"
    report = notification(failed("5.1.1", "smtp; 550 5.1.1 unknown"), returned=returned)
    late = notification(failed("4.4.1", "smtp; 421 busy", action="delayed"), returned=returned)
    box = arrived(tmp_path / "bounces", report, report, late, b"Subject: a person's answer\r\n\r\nhi")

    counts = {"bounced": 1, "known already": 1, "delayed": 1, "not understood": 1}
    assert outbox.json("mail", "bounces", str(tmp_path / "bounces"), "--dry-run")["bounced"] == 2
    assert outbox.json("mail", "bounces", str(tmp_path / "bounces")) == counts
    assert outbox.json("mail", "bounces", str(tmp_path / "bounces")) == dict.fromkeys(counts, 0)

    assert query("select state from outbox.delivery") == [{"state": "bounced"}]
    assert sorted(one.get_flags() for one in box) == ["FS", "S", "S", "S"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "expected a maildir"),
        ("imaps://host/INBOX", "expected a path, or imaps://user:password@host/folder"),
        ("pop://user:secret-word@host/INBOX", "expected a path, or imaps://user:password@host/folder"),
        ("imap://user:secret-word@127.0.0.1:1/INBOX", "ConnectionRefusedError"),
        ("imaps://user:secret-word@127.0.0.1:1/INBOX", "ConnectionRefusedError"),
    ],
)
def test_a_mailbox_that_cannot_be_read_says_why_and_shows_no_password(outbox: Operator, source: str, said: str) -> None:
    outcome = outbox("mail", "bounces", source)

    assert outcome.code == 1
    assert said in outcome.err
    assert "secret-word" not in outcome.err


# ----------------------------------------------------------------------------------------------------- by webhook


@pytest.fixture
def mailer_database(connect: Callable[[], Database]) -> Database:
    return connect()


@pytest.fixture
def outbox(database: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Operator]:
    """The command, as the mailer's role; its log goes to a stream that ends with the test, and so must its handlers."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield Operator(f"{database}?options=-c%20role%3Doutbox_mailer", capsys)
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def client(mailer_database: Database) -> Iterator[TestClient]:
    def hook(request: HookRequest) -> Heard:
        if request.body == b"forged":
            raise HookRefusedError("its signature is nobody's", status=401)
        message = UUID(request.body.decode())
        return Heard((hard(message),), (message,))

    listening = Listening(Inbox(mailer_database), UNSUBSCRIBING, {"ours": hook})
    with TestClient(listening.application()) as client:
        yield client


def test_a_hook_is_recorded(client: TestClient, owe: Owe, query: Query) -> None:
    message = sent(owe, query)

    assert client.post("/hooks/ours", content=str(message)).status_code == 200

    assert query("select state from outbox.delivery") == [{"state": "bounced"}]
    assert query("select undeliverable, unsubscribed_at is not null as told from outbox.suppression") == [
        {"undeliverable": True, "told": True}
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/hooks/ours", b"forged", 401), ("/hooks/other", b"", 404), ("/hooks/ours", b"x" * 2_000_000, 413)],
)
def test_what_is_not_a_hook_of_ours_is_refused(client: TestClient, path: str, body: bytes, status: int) -> None:
    assert client.post(path, content=body).status_code == status


def test_a_database_that_is_away_makes_a_provider_try_again() -> None:
    away = Database(SecretDsn.parse("postgresql://nobody@127.0.0.1:1/none"), name="test")
    listening = Listening(Inbox(away), UNSUBSCRIBING, {})

    with TestClient(listening.application()) as client:
        answer = client.post(f"/unsubscribe/{UNSUBSCRIBING.token(KEY)}")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


# ------------------------------------------------------------------------------------------------- unsubscribing


def test_only_a_post_unsubscribes(client: TestClient, query: Query) -> None:
    path = f"/unsubscribe/{UNSUBSCRIBING.token(KEY)}"

    for method in ("HEAD", "OPTIONS", "PUT", "DELETE"):
        client.request(method, path)
    asked = client.get(path, headers={"accept-language": "de-DE"})
    assert (asked.status_code, query("select 1 from outbox.suppression")) == (200, [])
    assert "Abmelden" in asked.text
    assert '<form method="post">' in asked.text
    assert "default-src 'none'" in asked.headers["content-security-policy"]

    for _ in range(2):
        assert client.post(path, content="List-Unsubscribe=One-Click").status_code == 200
    assert query("select recipient_key, undeliverable from outbox.suppression") == [
        {"recipient_key": KEY, "undeliverable": False}
    ]


def test_a_click_that_is_played_again_changes_nothing(client: TestClient, query: Query) -> None:
    path = f"/unsubscribe/{UNSUBSCRIBING.token(KEY)}"
    client.post(path)
    before = query("select * from outbox.suppression")

    client.post(path)

    assert query("select * from outbox.suppression") == before


def of_another_use(key: bytes) -> str:
    """Return what the same secret signs for something else."""
    token: str | bytes = URLSafeSerializer("s", salt="itsdangerous").dumps(base64.urlsafe_b64encode(key).decode())
    return token if isinstance(token, str) else token.decode()


@pytest.mark.parametrize(
    "token",
    [
        "ImFkYSI.aaaa",
        "x",
        ".",
        "%00",
        "a" * 5000,
        of_another_use(KEY),
        Unsubscribing("", SecretStr("another")).token(KEY),
        # The signature of one and the key of another.
        f"{UNSUBSCRIBING.token(bytes(32)).split('.')[0]}.{UNSUBSCRIBING.token(KEY).split('.')[1]}",
        UNSUBSCRIBING.token(b"short"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_we_did_not_sign_does_nothing(client: TestClient, query: Query, method: str, token: str) -> None:
    answer = client.request(method, f"/unsubscribe/{token}")

    assert answer.status_code == 404
    assert query("select 1 from outbox.suppression") == []
