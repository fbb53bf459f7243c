import re

import pytest
from starlette.testclient import TestClient

from console.errors import UsageError
from console.settings import ConsoleSettings
from console.web.application import make
from console.web.guard import Guard
from tests.support.operators import Rows, started

OPERATOR = ("operator", "let-me-in")


def client_of(database: str, *, password: str | None, base_url: str = "http://127.0.0.1:8321") -> TestClient:
    env = {"OUTBOX_DATABASE_URL": database} | ({"OUTBOX_CONSOLE_PASSWORD": password} if password else {})
    settings = ConsoleSettings.load(env)
    return TestClient(make(settings, Guard.of(settings, host="127.0.0.1")), base_url=base_url)


@pytest.fixture
def reading(database: str) -> TestClient:
    return client_of(database, password=None)


@pytest.fixture
def acting(database: str) -> TestClient:
    client = client_of(database, password="let-me-in")  # noqa: S106 - the test's own
    client.auth = OPERATOR
    return client


def token_of(client: TestClient, path: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', client.get(path).text)
    assert found is not None
    return found[1]


def test_the_pages_show_status_and_dead_letters_and_no_content(reading: TestClient, rows: Rows) -> None:
    delivery = rows.delivery("dead")
    dead = rows.dead("deliver", "recipient_refused", delivery_id=delivery, cycle=1)
    rows.dead("consume", "malformed")

    pages = {
        path: reading.get(path)
        for path in ("/", "/dead", f"/dead/{dead}", "/dead?stage=deliver", "/style.css", "/livez")
    }

    assert {path: page.status_code for path, page in pages.items()} == dict.fromkeys(pages, 200)
    assert "recipient_refused" in pages["/"].text
    assert "malformed" in pages["/dead"].text
    assert "malformed" not in pages["/dead?stage=deliver"].text
    assert "550 5.1.1" in pages[f"/dead/{dead}"].text
    for page in pages.values():
        assert "ada@example.com" not in page.text
        assert "<script" not in page.text


def test_no_page_may_be_framed_or_load_from_elsewhere(reading: TestClient) -> None:
    headers = reading.get("/").headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_what_hosts_wrote_is_text_and_never_markup(reading: TestClient, rows: Rows) -> None:
    rows.dead("consume", "malformed", type="<script>alert(1)</script>")

    page = reading.get("/dead?type=%22%3E%3Cscript%3E")

    assert "<script" not in page.text + reading.get("/dead").text


def test_without_a_password_it_only_reads(reading: TestClient, rows: Rows) -> None:
    dead = rows.dead()

    answer = reading.post("/dead/act", data={"id": str(dead), "action": "discard", "why": "x", "token": "0" * 64})

    assert answer.status_code == 403
    assert "Discard" not in reading.get(f"/dead/{dead}").text
    assert rows.one("select resolution from outbox.dead_letter") is None


def test_without_a_password_another_name_is_not_served(database: str) -> None:
    assert client_of(database, password=None, base_url="http://rebound.example:8321").get("/").status_code == 421


def test_without_a_password_it_serves_no_stranger(database: str) -> None:
    settings = ConsoleSettings.load({"OUTBOX_DATABASE_URL": database})

    for host in ("0.0.0.0", "::", "10.0.0.1", "console.example"):  # noqa: S104 - refused
        with pytest.raises(UsageError, match="expected OUTBOX_CONSOLE_PASSWORD to be set"):
            Guard.of(settings, host=host)


@pytest.mark.parametrize("auth", [None, ("operator", "wrong"), ("somebody", "let-me-in"), ("operator", "")])
def test_with_a_password_everybody_signs_in(database: str, auth: tuple[str, str] | None) -> None:
    client = client_of(database, password="let-me-in")  # noqa: S106 - the test's own

    answers = [client.get(path, auth=auth) for path in ("/", "/dead", "/dead/1")]

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert answers[0].headers["www-authenticate"].startswith("Basic ")


def test_redriving_one_is_audited_under_who_signed_in(acting: TestClient, rows: Rows) -> None:
    dead = rows.dead()
    token = token_of(acting, f"/dead/{dead}")

    answer = acting.post(
        "/dead/act", data={"id": str(dead), "action": "redrive", "why": "parser is mended", "token": token}
    )

    assert answer.status_code == 200
    assert "1 of 1 done" in answer.text
    audited = rows.connection.execute("select actor, action, target, reason from outbox.audit").fetchall()
    assert audited == [("operator", "redrive", f"dead_letter {dead}", "parser is mended")]
    assert rows.one("select resolved_by from outbox.dead_letter") == "operator"


def test_many_are_discarded_after_their_number_was_agreed_to(acting: TestClient, rows: Rows) -> None:
    for _ in range(3):
        rows.dead("consume", "malformed")
    rows.dead("consume", "no_recipient")
    query = {"stage": "consume", "reason": "malformed"}
    plan = acting.get("/dead/plan", params=query | {"action": "discard"})
    form = query | {"action": "discard", "token": token_of(acting, "/dead/plan?stage=consume&action=discard")}

    changed = acting.post("/dead/act", data=form | {"why": "drill", "agreed": "2"})
    done = acting.post("/dead/act", data=form | {"why": "drill", "agreed": "3"})

    assert "Discard 3 dead letters?" in plan.text
    assert (changed.status_code, done.status_code) == (400, 200)
    assert rows.one("select count(*) from outbox.dead_letter where resolution = 'discarded'") == 3


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_that_is_not_ours_changes_nothing(acting: TestClient, rows: Rows, token: str) -> None:
    dead = rows.dead()

    answer = acting.post("/dead/act", data={"id": str(dead), "action": "discard", "why": "x", "token": token})

    assert answer.status_code == 403
    assert rows.one("select resolution from outbox.dead_letter") is None


def test_what_is_wrong_becomes_a_page(acting: TestClient, rows: Rows) -> None:
    dead = rows.dead()
    token = token_of(acting, f"/dead/{dead}")

    assert acting.get("/dead/4711").status_code == 404
    assert acting.get("/dead?since=yesterday").status_code == 400
    assert (
        acting.post("/dead/act", data={"id": str(dead), "action": "discard", "why": " ", "token": token}).status_code
        == 400
    )
    assert "expected a filter" in acting.get("/dead/plan?action=redrive").text


def test_a_database_that_is_gone_becomes_a_page_without_its_password() -> None:
    client = client_of("postgresql://ada:s3cret@127.0.0.1:1/shop", password=None)

    answer = client.get("/")

    assert answer.status_code == 503
    assert "nothing listens there" in answer.text
    assert "s3cret" not in answer.text


def test_the_command_says_where_it_listens_and_ends_with_a_signal(database: str) -> None:
    with started("console", "serve", "--port", "0", dsn=database) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        code = process.wait(15)

    assert re.search(r"console\.web\.started .*url=http://127\.0\.0\.1:\d+/", line)
    assert code == 0
