"""What is known of a recipient, held back from it, or taken away for good; addresses are asked by their keyed hash."""

import json
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from console.database import Database, Row
from console.errors import NotMigratedError
from mailer.recipients import hashing_secret, recipient_key


@dataclass(frozen=True, slots=True)
class Known:
    """What the mailer has of a recipient: deliveries by state, and whether its mail is held."""

    deliveries: list[Row]
    suppression: Row | None

    @property
    def named(self) -> int:
        """Return how many deliveries name it still."""
        return sum(row["named"] for row in self.deliveries)


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure took; *held* are deliveries that a worker is sending, which were left."""

    deliveries: int
    cancelled: int
    dead_letters: int
    held: int


class Recipients:
    """The recipients of one installation."""

    def __init__(self, database: Database, *, secret: SecretStr | None) -> None:
        """Hash with *secret*, or with what tells this installation from others."""
        self._database = database
        found = database.row("installation")
        if found is None:
            raise NotMigratedError(str(database.dsn.address()), "an installation")
        self._secret = hashing_secret(secret, found["install"])

    def known(self, address: str) -> Known:
        """Return what is kept of *address*."""
        key = self._key(address)
        return Known(
            self._database.rows("recipient", recipient_key=key),
            self._database.row("suppressed_recipient", recipient_key=key),
        )

    def suppressed(self, *, before: datetime | None, limit: int) -> list[Row]:
        """Return a page of the suppression list, the newest first."""
        return self._database.rows("suppressed_page", before=before, limit=limit)

    def suppress(self, address: str, *, reason: str) -> str:
        """Hold all mail to *address*, and say so."""
        return str(self._database.one("suppress", recipient_key=self._key(address), reason=reason)["outcome"])

    def unsuppress(self, address: str, *, reason: str) -> str:
        """Let mail to *address* through again; raise RefusedError when it is not held."""
        return str(self._database.one("unsuppress", recipient_key=self._key(address), reason=reason)["outcome"])

    def erase(self, address: str, *, reason: str) -> Erased:
        """Take address, payload and content from everything that is kept of *address*."""
        row = self._database.one(
            "erase_recipient", recipient_key=self._key(address), needles=_needles(address), reason=reason
        )
        return Erased(**row)

    def _key(self, address: str) -> bytes:
        return recipient_key(address, secret=self._secret)


def _needles(address: str) -> list[bytes]:
    """Return *address* as a record that was kept may hold it: plain, in lower case, and escaped as JSON does it."""
    forms = {address, address.lower()}
    escaped = {json.dumps(form)[1:-1] for form in forms}
    return [form.encode() for form in sorted(forms | escaped)]
