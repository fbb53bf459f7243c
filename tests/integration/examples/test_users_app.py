from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.rows import DictRow, dict_row

from examples.users_app.app import Settings, create_app
from examples.users_app.routes import RehearsedError

ADA = {"email": "ada@example.com", "name": "Ada", "locale": "de"}


@pytest.fixture
def client(database: str) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(database_url=database))) as client:
        yield client


@pytest.fixture
def observer(database: str, client: TestClient) -> Iterator[psycopg.Connection[DictRow]]:
    del client  # it has created the tables
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def ada(client: TestClient) -> str:
    return f"/users/{client.post('/users', json=ADA).json()['id']}"


def last_event(observer: psycopg.Connection[DictRow]) -> dict[str, Any]:
    row = observer.execute(
        "select event_id::text, aggregate_type, aggregate_id, type, payload from outbox.event order by id desc limit 1"
    ).fetchone()
    assert row is not None
    return row


def test_a_sign_up_is_an_account_and_its_event(client: TestClient, observer: psycopg.Connection[DictRow]) -> None:
    answer = client.post("/users", json=ADA)

    assert answer.status_code == 201
    event = last_event(observer)
    url = event["payload"].pop("verification_url")
    assert event == {
        "event_id": answer.json()["event_id"],
        "aggregate_type": "user",
        "aggregate_id": str(answer.json()["id"]),
        "type": "user.registered",
        "payload": ADA,
    }
    assert url.startswith("https://users.example.com/verify/")


CHANGES: dict[str, tuple[dict[str, str] | None, str, dict[str, str]]] = {
    "lock": ({"reason": "three wrong passwords"}, "user.locked", {"reason": "three wrong passwords"}),
    "role": ({"new_role": "ADMIN"}, "user.role_upgraded", {"old_role": "MEMBER", "new_role": "ADMIN"}),
    "professional": (None, "user.professional_status_upgraded", {}),
}


@pytest.mark.parametrize("route", CHANGES)
def test_a_change_is_told_with_its_facts(
    client: TestClient, ada: str, observer: psycopg.Connection[DictRow], route: str
) -> None:
    body, type_, facts = CHANGES[route]

    answer = client.post(f"{ada}/{route}", json=body)

    assert answer.status_code == 200
    event = last_event(observer)
    assert (event["type"], event["payload"]) == (type_, ADA | facts)


def test_an_unlocked_account_can_be_locked_again(
    client: TestClient, ada: str, observer: psycopg.Connection[DictRow]
) -> None:
    for route in ("lock", "unlock", "lock"):
        assert client.post(f"{ada}/{route}", json={"reason": "r"}).status_code == 200

    types = [row["type"] for row in observer.execute("select type from outbox.event order by id")]
    assert types == ["user.registered", "user.locked", "user.unlocked", "user.locked"]


def test_a_password_reset_is_told_with_a_link_that_expires(
    client: TestClient, ada: str, observer: psycopg.Connection[DictRow]
) -> None:
    answer = client.post(f"{ada}/password-reset")

    assert answer.status_code == 202
    event = last_event(observer)
    assert event["type"] == "user.password_reset_requested"
    assert event["payload"]["reset_url"].startswith("https://users.example.com/reset/")
    expires = observer.execute(
        "select (payload->>'expires_at')::timestamptz - created_at between '59 min' and '1 hour' as soon"
        " from outbox.event order by id desc limit 1"
    ).fetchone()
    assert expires == {"soon": True}


def test_a_request_that_fails_after_the_insert_leaves_nothing(
    client: TestClient, observer: psycopg.Connection[DictRow]
) -> None:
    with pytest.raises(RehearsedError):
        client.post("/users", json={**ADA, "fail_after_insert": True})

    assert observer.execute("select type from outbox.event").fetchall() == []
    assert observer.execute("select email from app.account").fetchall() == []


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/users", ADA, 409),
        ("/users", {"email": "no address"}, 422),
        ("/users/4711/lock", {"reason": "r"}, 404),
        ("/users/1/lock", {"reason": ""}, 422),
        ("/users/1/unlock", None, 409),
        ("/users/1/role", {"new_role": "MEMBER"}, 409),
    ],
)
@pytest.mark.usefixtures("ada")
def test_a_request_that_does_not_fit_is_refused(
    client: TestClient, path: str, body: dict[str, str] | None, code: int
) -> None:
    assert client.post(path, json=body).status_code == code


@pytest.mark.usefixtures("ada")
def test_a_refused_request_inserts_no_event(client: TestClient, observer: psycopg.Connection[DictRow]) -> None:
    client.post("/users", json=ADA)
    client.post("/users/1/unlock")

    assert observer.execute("select type from outbox.event").fetchall() == [{"type": "user.registered"}]


def test_tokens_are_kept_as_digests_only(client: TestClient, ada: str, observer: psycopg.Connection[DictRow]) -> None:
    client.post(f"{ada}/password-reset")

    token = last_event(observer)["payload"]["reset_url"].rpartition("/")[2]
    row = observer.execute("select a::text as text from app.account a").fetchone()
    assert row is not None
    assert token not in row["text"]


def test_it_is_healthy_while_the_database_answers(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_without_a_database_it_says_which_setting_is_missing() -> None:
    with pytest.raises(ValueError, match="expected DATABASE_URL to be postgresql"):
        Settings.from_env({})
