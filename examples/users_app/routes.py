"""The HTTP interface: each route is one transaction, and answers only after it has committed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from examples.users_app import accounts
from examples.users_app.accounts import AccountError, AddressTakenError, AlreadySoError, Outcome, UnknownAccountError

router = APIRouter()

Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
# Whether an address works is for its server to say; the mail with the link is how we ask.
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]

_ANSWERS: dict[type[AccountError], tuple[int, str]] = {
    UnknownAccountError: (404, "there is no account with that id"),
    AddressTakenError: (409, "another account has that address"),
    AlreadySoError: (409, "the account is in that state already"),
}


class RehearsedError(Exception):
    """The failure that a request asked for."""


class Change(BaseModel):
    """What every request may say."""

    fail_after_insert: bool = Field(
        default=False, description="Rehearse a failure after the event was inserted: no change, no event, no mail."
    )


class Registration(Change):
    """Who signs up."""

    email: Address
    name: Word | None = None
    locale: Word | None = None


class Lock(Change):
    """Why an account is locked."""

    reason: Word


class Role(Change):
    """Which role an account gets."""

    new_role: Word


class Answer(BaseModel):
    """The account after the change, and the event that was inserted about it."""

    id: int
    event_id: UUID


NOTHING = Change()


@contextmanager
def transaction(request: Request, *, fail: bool) -> Iterator[Session]:
    """Open a transaction for the block; commit at its end, or roll all of it back."""
    sessions: sessionmaker[Session] = request.app.state.sessions
    try:
        with sessions.begin() as session:
            yield session
            if fail:
                raise RehearsedError
    except AccountError as error:
        code, detail = _ANSWERS[type(error)]
        raise HTTPException(code, detail) from error


def _answer(outcome: Outcome) -> Answer:
    """Return what the client is told."""
    return Answer(id=outcome.account_id, event_id=outcome.event_id)


@router.post("/users", status_code=201)
def register(request: Request, body: Registration) -> Answer:
    """Sign up: the account gets a mail with a link that verifies its address."""
    with transaction(request, fail=body.fail_after_insert) as session:
        outcome = accounts.register(
            session,
            email=body.email,
            name=body.name,
            locale=body.locale,
            public_url=request.app.state.public_url,
        )
    return _answer(outcome)


@router.post("/users/{account_id}/lock")
def lock(request: Request, account_id: int, body: Lock) -> Answer:
    """Lock an account, and tell its owner why."""
    with transaction(request, fail=body.fail_after_insert) as session:
        outcome = accounts.lock(session, account_id, reason=body.reason)
    return _answer(outcome)


@router.post("/users/{account_id}/unlock")
def unlock(request: Request, account_id: int, body: Change = NOTHING) -> Answer:
    """Unlock an account."""
    with transaction(request, fail=body.fail_after_insert) as session:
        outcome = accounts.unlock(session, account_id)
    return _answer(outcome)


@router.post("/users/{account_id}/role")
def change_role(request: Request, account_id: int, body: Role) -> Answer:
    """Give an account another role."""
    with transaction(request, fail=body.fail_after_insert) as session:
        outcome = accounts.change_role(session, account_id, new_role=body.new_role)
    return _answer(outcome)


@router.post("/users/{account_id}/professional")
def make_professional(request: Request, account_id: int, body: Change = NOTHING) -> Answer:
    """Give an account professional status."""
    with transaction(request, fail=body.fail_after_insert) as session:
        outcome = accounts.make_professional(session, account_id)
    return _answer(outcome)


@router.post("/users/{account_id}/password-reset", status_code=202)
def request_password_reset(request: Request, account_id: int, body: Change = NOTHING) -> Answer:
    """Mail a link that resets the password."""
    with transaction(request, fail=body.fail_after_insert) as session:
        outcome = accounts.request_password_reset(session, account_id, public_url=request.app.state.public_url)
    return _answer(outcome)


@router.get("/health")
def health(request: Request) -> dict[str, str]:
    """Answer once the database does."""
    sessions: sessionmaker[Session] = request.app.state.sessions
    with sessions() as session:
        session.execute(text("select 1"))
    return {"status": "ok"}
