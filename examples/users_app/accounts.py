"""What can happen to an account. Each function changes it and inserts the event about it, in the caller's transaction.

The order is always the same, and it matters: lock the account's row, change it, flush, insert the event last. Whoever
holds the row's lock inserts the next event of that account, so events are published in the order of the changes; and
inserting late keeps the time short between the event's number and the commit.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import outbox
from examples.users_app.tables import Account

RESET_VALID_FOR = timedelta(hours=1)


class AccountError(Exception):
    """A request does not fit the state of the account; nothing has been changed."""


class UnknownAccountError(AccountError):
    """There is no account with that id."""


class AddressTakenError(AccountError):
    """Another account has that address."""


class AlreadySoError(AccountError):
    """The account is in that state already."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The account after a change, and the event that tells of it."""

    account_id: int
    event_id: UUID


def register(session: Session, *, email: str, name: str | None, locale: str | None, public_url: str) -> Outcome:
    """Create an account whose address is yet to be verified."""
    token = secrets.token_urlsafe(24)
    account = Account(email=email, name=name, locale=locale, verification_digest=_digest(token))
    session.add(account)
    try:
        session.flush()
    except IntegrityError as error:
        raise AddressTakenError from error
    return _tell(session, account, "user.registered", verification_url=f"{public_url}/verify/{token}")


def lock(session: Session, account_id: int, *, reason: str) -> Outcome:
    """Lock the account for a reason that its owner is told."""
    account = _locked_row(session, account_id)
    if account.locked_reason is not None:
        raise AlreadySoError
    account.locked_reason = reason
    return _tell(session, account, "user.locked", reason=reason)


def unlock(session: Session, account_id: int) -> Outcome:
    """Unlock the account."""
    account = _locked_row(session, account_id)
    if account.locked_reason is None:
        raise AlreadySoError
    account.locked_reason = None
    return _tell(session, account, "user.unlocked")


def change_role(session: Session, account_id: int, *, new_role: str) -> Outcome:
    """Give the account another role."""
    account = _locked_row(session, account_id)
    old_role = account.role
    if old_role == new_role:
        raise AlreadySoError
    account.role = new_role
    return _tell(session, account, "user.role_upgraded", old_role=old_role, new_role=new_role)


def make_professional(session: Session, account_id: int) -> Outcome:
    """Give the account professional status."""
    account = _locked_row(session, account_id)
    if account.professional:
        raise AlreadySoError
    account.professional = True
    return _tell(session, account, "user.professional_status_upgraded")


def request_password_reset(session: Session, account_id: int, *, public_url: str) -> Outcome:
    """Prepare a reset of the password that only the reader of the mail can go through with."""
    account = _locked_row(session, account_id)
    token = secrets.token_urlsafe(24)
    account.reset_digest = _digest(token)
    account.reset_expires_at = expires_at = session.scalars(select(func.now() + RESET_VALID_FOR)).one()
    return _tell(
        session,
        account,
        "user.password_reset_requested",
        reset_url=f"{public_url}/reset/{token}",
        expires_at=expires_at,
    )


def _locked_row(session: Session, account_id: int) -> Account:
    """Return the account, locked until the transaction ends."""
    account = session.get(Account, account_id, with_for_update=True)
    if account is None:
        raise UnknownAccountError
    return account


def _tell(session: Session, account: Account, type_: str, **facts: object) -> Outcome:
    """Insert the event about *account*: the change goes to the database first, the event last."""
    session.flush()
    known = {"email": account.email, "name": account.name, "locale": account.locale}
    event = outbox.Event(
        aggregate_type="user",
        aggregate_id=str(account.id),
        type=type_,
        payload={name: value for name, value in (known | facts).items() if value is not None},
    )
    return Outcome(account.id, outbox.insert(session, event))


def _digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
